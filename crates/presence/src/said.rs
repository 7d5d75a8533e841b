//! What one document says of a person in short, whichever vocabulary its author speaks: RPID, Digium's tuple, the
//! notes of snom's phones.
//!
//! A named activity counts before a note, because anybody can write anything into a note. Digium's tuple says as much
//! as an activity; of several things the one that outweighs the others counts. That a person is available or not
//! shows in what is open.

use std::borrow::Cow;

use crate::format::markup::{Namespace, Node};
use crate::format::pidf::{Basic, Document, Limits, Tuple};
use crate::format::vocabulary;
use crate::status::Status;

/// What a document says; nothing if it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub status: Option<Status>,
    /// Open if any service is; absent if no service says.
    pub basic: Option<Basic>,
    /// RPID names of what the person is doing.
    pub activities: Vec<String>,
    /// The first note: of the person, else of a service, else of the presentity.
    pub note: Option<String>,
}

/// Reads a document that was accepted, or one that was composed.
pub fn said(document: &[u8]) -> Said {
    Document::parse(document, &Limits::COMPOSED).map(|document| Said::of(&document)).unwrap_or_default()
}

impl Said {
    pub(crate) fn of(document: &Document) -> Said {
        let statement = Statement::of(document);
        let by_basic = statement.basic.map(|basic| match basic {
            Basic::Open => Status::Available,
            Basic::Closed => Status::Unreachable,
        });
        let mut activities: Vec<String> = Vec::new();
        for (name, _) in statement.activities.iter().copied().flat_map(named) {
            if !activities.iter().any(|known| known == name) {
                activities.push(name.to_owned());
            }
        }
        let note = notes(document).next().map(Cow::into_owned);
        Said { status: statement.status.or(by_basic), basic: statement.basic, activities, note }
    }
}

/// What the compositor must know of a document.
pub(crate) struct Statement<'d> {
    /// A status that has to be said (`Status::is_said`).
    pub status: Option<Status>,
    /// Open if any service is.
    pub basic: Option<Basic>,
    /// The `<rpid:activities>` of the person.
    pub activities: Vec<Node<'d>>,
    /// What the person adds to Digium's status, if that is the one.
    pub comment: Option<Cow<'d, str>>,
}

impl<'d> Statement<'d> {
    pub fn of(document: &'d Document) -> Statement<'d> {
        let basic = document.tuples().filter_map(basic).reduce(Basic::or);
        let elements = document.persons().flat_map(|person| person.extensions());
        let activities: Vec<_> = elements.filter(|node| node.is(Namespace::Rpid, "activities")).collect();

        let of_rpid = of_activities(&activities, basic.unwrap_or(Basic::Open));
        let digium = document.tuples().filter_map(|tuple| {
            let node = tuple.digium()?;
            of_digium(node).filter(|status| status.is_said()).map(|status| (status, node))
        });
        let of_digium = digium.min_by_key(|(status, _)| *status);
        let of_digium = of_digium.filter(|(status, _)| of_rpid.is_none_or(|other| *status < other));
        let comment = of_digium.and_then(|(_, node)| node.text());
        let status = of_digium.map(|(status, _)| status).or(of_rpid);
        let status = status.or_else(|| of_notes(notes(document)));
        Statement { status, basic, activities, comment }
    }
}

/// Whether a service is open, also if only Digium's extension says so.
pub(crate) fn basic(tuple: Tuple) -> Option<Basic> {
    tuple.basic().or_else(|| Some(of_digium(tuple.digium()?)?.basic()))
}

/// The status that activities tell in a document that is open or closed.
pub(crate) fn of_activities(activities: &[Node], basic: Basic) -> Option<Status> {
    let names = activities.iter().copied().flat_map(named);
    let statuses = names.filter_map(|(name, text)| Status::from_activity(name, &text, basic));
    statuses.filter(|status| status.is_said()).min().or_else(|| {
        // RPID has no activity for somebody whose phone rings, so a note among the activities tells it.
        let inside = activities.iter().copied().flat_map(Node::children);
        of_notes(inside.filter(|child| child.is(Namespace::Rpid, "note")).filter_map(Node::text))
    })
}

/// The names that RPID knows, each with the text that stands in it.
pub(crate) fn named(activities: Node<'_>) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let known = |child: &Node| child.namespace() == Namespace::Rpid && vocabulary::is_activity(child.local());
    activities.children().filter(known).filter_map(|child| match child.local() {
        "other" => Some(("other", child.text()?)),
        name => Some((name, Cow::Borrowed(""))),
    })
}

fn of_digium(node: Node) -> Option<Status> {
    Status::from_asterisk(node.attribute("type")?.trim())
}

fn of_notes<'d>(notes: impl Iterator<Item = Cow<'d, str>>) -> Option<Status> {
    notes.filter_map(|note| Status::from_note(&note)).filter(|status| status.is_said()).min()
}

fn notes<'d>(document: &'d Document) -> impl Iterator<Item = Cow<'d, str>> {
    let of_persons = document.persons().flat_map(|person| person.notes());
    let of_services = document.tuples().flat_map(|tuple| tuple.notes());
    of_persons.chain(of_services).chain(document.notes()).map(|note| note.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(inside: &str) -> Vec<u8> {
        format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
             xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:alice@lab.test'>{inside}</presence>"
        )
        .into_bytes()
    }

    fn person(inside: &str) -> String {
        format!("<dm:person id='p'>{inside}</dm:person>")
    }

    fn tuple(basic: &str, more: &str) -> String {
        format!("<tuple id='t'><status><basic>{basic}</basic></status>{more}</tuple>")
    }

    #[track_caller]
    fn says(inside: &str, status: Option<Status>, basic: Option<Basic>) {
        let said = said(&presence(inside));
        assert_eq!((said.status, said.basic), (status, basic), "{inside}");
    }

    #[test]
    fn a_document_in_short() {
        let activities = "<rpid:activities><rpid:meal/><x xmlns='urn:x'/><rpid:meal/><rpid:other>o</rpid:other></rpid:activities>";
        let document = presence(
            &(tuple("open", "<note>n</note>") + &person(&(activities.to_owned() + "<dm:note>p</dm:note>"))),
        );

        let expected = Said {
            status: Some(Status::Custom),
            basic: Some(Basic::Open),
            activities: vec!["meal".into(), "other".into()],
            note: Some("p".into()),
        };
        assert_eq!(said(&document), expected);
        assert_eq!(said(b"no document"), Said::default());
    }

    #[test]
    fn who_names_no_activity_is_available_while_a_service_is_open() {
        says("", None, None);
        says("<tuple id='t'><status/></tuple>", None, None);
        says(&tuple("open", ""), Some(Status::Available), Some(Basic::Open));
        says(&tuple("closed", ""), Some(Status::Unreachable), Some(Basic::Closed));
        says(&(tuple("closed", "") + &tuple("open", "")), Some(Status::Available), Some(Basic::Open));
        let unknown = person("<rpid:activities><rpid:unknown/></rpid:activities>");
        says(&(tuple("open", "") + &unknown), Some(Status::Available), Some(Basic::Open));
    }

    #[test]
    fn busy_means_two_things() {
        let busy = person("<rpid:activities><rpid:busy/></rpid:activities>");

        says(&busy, Some(Status::OnThePhone), None);
        says(&(tuple("open", "") + &busy), Some(Status::OnThePhone), Some(Basic::Open));
        says(&(tuple("closed", "") + &busy), Some(Status::DoNotDisturb), Some(Basic::Closed));
    }

    #[test]
    fn what_digiums_phones_are_told_is_understood() {
        let digium = |state: &str| {
            format!(
                "<tuple id='digium-presence'><status><digium_presence type='{state}' subtype='s'>till 3</digium_presence></status></tuple>"
            )
        };
        let (open, closed) = (Some(Basic::Open), Some(Basic::Closed));

        says(&(tuple("open", "") + &digium("dnd")), Some(Status::DoNotDisturb), open);
        says(&(tuple("open", "") + &digium("xa")), Some(Status::Away), open);
        says(&(tuple("open", "") + &digium("not_set")), Some(Status::Available), open);
        says(&digium("chat"), Some(Status::Chat), open);
        says(&digium("available"), Some(Status::Available), open);
        says(&digium("unavailable"), Some(Status::Unreachable), closed);
        says(&digium("not_set"), None, None);
        let away = person("<rpid:activities><rpid:away/></rpid:activities>");
        says(&(digium("dnd") + &away), Some(Status::DoNotDisturb), closed);
        let calls = person("<rpid:activities><rpid:on-the-phone/></rpid:activities>");
        says(&(digium("away") + &calls), Some(Status::OnThePhone), open);
    }

    #[test]
    fn what_snoms_phones_note_is_understood_unless_an_activity_is_named() {
        for (note, basic, status) in [
            ("Offline", "closed", Status::Unreachable),
            ("Available", "open", Status::Available),
            ("In_A_Call", "open", Status::OnThePhone),
            ("Forwarded", "open", Status::Away),
            ("Dnd_All", "open", Status::DoNotDisturb),
        ] {
            let noted = tuple(basic, &format!("<note>{note}</note>"));
            assert_eq!(said(&presence(&noted)).status, Some(status), "{note}");

            let named = person("<rpid:activities><rpid:meeting/></rpid:activities>");
            assert_eq!(said(&presence(&(noted + &named))).status, Some(Status::InConference), "{note}");
        }
    }
}
