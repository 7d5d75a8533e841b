//! A status as a PIDF document, so that each watcher sees as much of it as it understands.

use super::table::Activity;
use super::{AltContact, Status, names};
use crate::format::markup::Namespace;
use crate::format::page::Page;
use crate::format::pidf::{Basic, Contact, Note};
use crate::format::service::Service;

impl Status {
    /// The document that says so of `entity`, with a comment of the person's own if there is one.
    ///
    /// Each contact makes the person reachable, whatever is said of their own phones: except of who wants not to be
    /// disturbed, and except by a call who wants to be written to. Without a status the document says nothing but the
    /// contacts and the comment.
    pub fn document(
        status: Option<Status>,
        entity: &str,
        comment: Option<&str>,
        contacts: &[AltContact],
    ) -> Vec<u8> {
        let mut page = Page::default();
        let note = match status {
            Some(status) => status.note(comment),
            None => own(comment).map(str::to_owned),
        };
        let note = note.map(|text| Note { text: text.into(), language: None });
        match status {
            Some(Status::Chat) => {
                Service::voice(entity, "voice").write(&mut page);
                Service { note: note.clone(), ..Service::text(entity, "text") }.write(&mut page);
            }
            Some(status) => {
                let service = Service::of(entity, "status", status.basic());
                Service { note: note.clone(), ..service }.write(&mut page);
            }
            None => {}
        }
        for (number, contact) in (1..).zip(contacts) {
            contact.write(&mut page, number, status);
        }
        match status {
            Some(status) if status.is_said() => status.write_person(&mut page, comment, note.as_ref()),
            Some(_) => {}
            None => note.iter().for_each(|note| note.write(&mut page, Namespace::Pidf)),
        }
        page.finish(entity).to_vec()
    }

    /// The note that goes with the status.
    pub(crate) fn note(self, comment: Option<&str>) -> Option<String> {
        match (self.row().note, own(comment)) {
            (Some(note), Some(comment)) => Some(format!("{note}: {comment}")),
            (note, comment) => note.or(comment).map(str::to_owned),
        }
    }

    /// What RPID calls it, if it has a name for it.
    pub(crate) fn activity(self) -> Option<&'static str> {
        match self.row().activity {
            Activity::Named(name) => Some(name),
            Activity::Other(_) => Some("other"),
            Activity::Nothing | Activity::Note => None,
        }
    }

    /// Writes what the person is doing in the words of RPID.
    pub(crate) fn write_activities(self, page: &mut Page, comment: Option<&str>) {
        page.open(Namespace::Rpid, "activities");
        match self.row().activity {
            Activity::Nothing => {}
            Activity::Named(name) => page.empty(Namespace::Rpid, name),
            Activity::Other(text) => {
                // A comment that is the word of another status would be taken for it.
                let comment = own(comment).filter(|comment| !names::is_word_of_status(comment));
                page.simple(Namespace::Rpid, "other", text.or(comment).unwrap_or_default());
            }
            Activity::Note => page.simple(Namespace::Rpid, "note", self.row().note.unwrap_or_default()),
        }
        page.close(Namespace::Rpid, "activities");
    }

    fn write_person(self, page: &mut Page, comment: Option<&str>, note: Option<&Note>) {
        page.markup("<");
        page.name(Namespace::DataModel, "person");
        page.attribute("id", "person");
        page.markup(">");
        self.write_activities(page, comment);
        // Some phones show the person's note, some the tuple's.
        if let Some(note) = note {
            note.write(page, Namespace::DataModel);
        }
        page.close(Namespace::DataModel, "person");
        page.markup("\n");
    }
}

impl AltContact {
    fn write(&self, page: &mut Page, number: usize, status: Option<Status>) {
        let contact = Contact { uri: self.uri().into(), priority: Some(self.decimal().into()) };
        let basic = match status {
            Some(Status::DoNotDisturb) => Basic::Closed,
            Some(Status::Chat) if !contact.is_for_text() => Basic::Closed,
            _ => Basic::Open,
        };
        let id = format!("contact{number}");
        Service { contact: Some(contact), ..Service::of("", &id, basic) }.write(page);
    }
}

fn own(comment: Option<&str>) -> Option<&str> {
    comment.map(str::trim).filter(|comment| !comment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compositor::{Composed, Contribution, compose};
    use crate::said::said;

    const ALICE: &str = "sip:alice@lab.test";

    fn composed(status: Option<Status>, comment: Option<&str>, contacts: &[AltContact]) -> Composed {
        let document = Status::document(status, ALICE, comment, contacts);
        compose(ALICE, &[Contribution { scope: "api", newest: 1, document: &document }], false)
    }

    fn numbers() -> Vec<AltContact> {
        let numbers = [("tel:+4930123456", 800), ("mailto:alice@example.com", 0)];
        AltContact::list(numbers.into_iter()).unwrap()
    }

    #[test]
    fn a_status_shows_as_basic_activity_and_note() {
        let rows: &[(Status, Basic, &[&str], &[&str])] = &[
            (Status::DoNotDisturb, Basic::Closed, &["busy"], &["Do not disturb"]),
            (Status::Ringing, Basic::Open, &[], &["Ringing"]),
            (Status::OnThePhone, Basic::Open, &["on-the-phone"], &["On the phone"]),
            (Status::InConference, Basic::Open, &["meeting"], &[]),
            (Status::Custom, Basic::Open, &["other"], &[]),
            (Status::Chat, Basic::Open, &["other"], &[]),
            (Status::Away, Basic::Open, &["away"], &[]),
            (Status::Available, Basic::Open, &[], &["Available"]),
            (Status::Unreachable, Basic::Closed, &[], &["Offline"]),
        ];
        for &(status, basic, activities, notes) in rows {
            let seen = composed(Some(status), None, &[]);
            assert_eq!((seen.status, seen.basic, status.basic()), (status, basic, basic), "{status:?}");
            assert_eq!(seen.activities, activities, "{status:?}");
            assert_eq!(seen.notes, notes, "{status:?}");
        }
    }

    #[test]
    fn a_comment_is_appended_to_the_note_or_becomes_it() {
        let seen = |status, comment| composed(Some(status), Some(comment), &[]).notes;

        assert_eq!(seen(Status::DoNotDisturb, "till 3"), ["Do not disturb: till 3"]);
        assert_eq!(seen(Status::Away, " <lunch> & tea\u{0} "), ["<lunch> & tea"]);
        assert_eq!(seen(Status::Custom, "In Meeting"), ["In Meeting"]);
        assert_eq!(seen(Status::Ringing, "  "), ["Ringing"]);
    }

    #[test]
    fn whoever_chats_takes_text_and_no_calls() {
        let document = Status::document(Some(Status::Chat), ALICE, None, &numbers());
        let document = String::from_utf8(document).unwrap();

        for part in [
            "<basic>closed</basic></status><caps:servcaps><caps:audio>true",
            "<basic>open</basic></status><caps:servcaps><caps:audio>false",
            "<basic>closed</basic></status><contact priority=\"0.8\">tel:",
            "<basic>open</basic></status><contact priority=\"0\">mailto:",
            "<rpid:other>chat</rpid:other>",
        ] {
            assert!(document.contains(part), "{document}");
        }
        assert!(document.find("closed") < document.find("open"), "{document}");
    }

    #[test]
    fn another_number_makes_reachable_who_says_nothing_or_is_offline() {
        for status in [None, Some(Status::Unreachable)] {
            let seen = composed(status, None, &numbers());

            assert_eq!((seen.status, seen.basic), (Status::Available, Basic::Open), "{status:?}");
            let document = std::str::from_utf8(&seen.document).unwrap();
            let tuple = "<tuple id=\"contact1\"><status><basic>open</basic></status><contact priority=\"0.8\">\
                         tel:+4930123456</contact></tuple>";
            assert!(document.contains(tuple), "{document}");
        }
    }

    #[test]
    fn who_is_not_to_be_disturbed_is_not_reached_at_another_number_either() {
        let seen = composed(Some(Status::DoNotDisturb), None, &numbers());

        assert_eq!((seen.status, seen.basic), (Status::DoNotDisturb, Basic::Closed));
        assert_eq!(
            said(&Status::document(Some(Status::DoNotDisturb), ALICE, None, &numbers())).basic,
            Some(Basic::Closed)
        );
    }

    #[test]
    fn without_a_status_there_is_nothing_but_the_comment() {
        let said = said(&Status::document(None, ALICE, Some("back at 3"), &[]));

        assert_eq!((said.status, said.basic, said.note.as_deref()), (None, None, Some("back at 3")));
    }

    #[test]
    fn a_comment_does_not_turn_a_custom_status_into_another() {
        for comment in ["chat", "Chat", " CHAT "] {
            let document = Status::document(Some(Status::Custom), ALICE, Some(comment), &[]);

            assert_eq!(said(&document).status, Some(Status::Custom), "{comment}");
        }
    }
}
