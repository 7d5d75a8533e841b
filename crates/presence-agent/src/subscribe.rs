//! SUBSCRIBE at the border: the request turned into valid values, and these into the command that records it
//! (RFC 6665 section 4.2.1, RFC 3856 section 6).

use bytes::Bytes;
use placement::{NodeId, PresentityKey, Slot};
use presence::package::{self, Package};
use presence::repeat::RepeatKey;
use proto::v1;
use proto::v1::Standing;
use sip::Flow;
use sip::header::Contacts;
use sip::{Checked, Message, Name, Scheme, uri};

use crate::answer::Refuse;
use crate::config::Config;
use crate::request::{at_most, extensions, lifetime, own_contact, presentity, route_uri, route_user};
use crate::shard::{Parts, Words};
use crate::tag::Tags;
use crate::verdict::Verdict;

#[derive(Debug)]
pub(crate) struct Subscribe {
    pub presentity: PresentityKey,
    pub package: &'static Package,
    pub kind: SubscribeKind,
    /// Seconds; 0 unsubscribes or fetches.
    pub expires: u32,
    /// The content type chosen for the bodies.
    pub accept: &'static str,
    /// What billing granted.
    pub grant: Grant,
    /// The local tag: quoted by the request in a dialog, else freshly made from it.
    pub local_tag: String,
    /// Our Contact in the dialog.
    pub contact: String,
    parties: Parties,
    event_id: String,
}

/// Both ends of the dialog, as the request names them.
#[derive(Debug, Default)]
pub(crate) struct Parties {
    local_party: String,
    remote_party: String,
    remote_tag: String,
    remote_target: String,
}

/// What billing says besides yes. By default nothing: then a dialog stays as it is.
#[derive(Debug, Default)]
pub(crate) struct Grant {
    pub standing: Standing,
    /// The longest lifetime; 0 says nothing.
    pub max_expires: u32,
    /// How many subscriptions the watcher may have; 0 sets no limit.
    pub max_subscriptions: u32,
    pub tenant: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscribeKind {
    Initial,
    /// Out of a dialog and for no time: one NOTIFY and nothing stored (RFC 6665 4.4.3).
    Fetch,
    InDialog,
}

/// In bytes. With the longest other headers a dialog then fits a record.
const LONGEST_ROUTE_SET: usize = 16 * 1024;

/// What our answer may require of the peer, and understand when it requires it of us.
const SUPPORTED: &[&str] = &["gruu"];

impl Subscribe {
    /// `known` is the presentity of the dialog that the request names, where this node knows the dialog.
    pub fn parse(
        request: &Message,
        checked: &Checked<'_>,
        known: Option<PresentityKey>,
        repeat: RepeatKey,
        config: &Config,
        tags: &Tags,
    ) -> Result<Subscribe, Refuse> {
        extensions(request, SUPPORTED)?;
        let event = request.event().map_err(Refuse::Fault)?.ok_or(Refuse::UnknownEvent)?;
        let package = package::find(event.package).ok_or(Refuse::UnknownEvent)?;
        let Checked { from, to, .. } = checked;
        let (quoted, from_tag) = (to.tag(), from.tag().unwrap_or_default());
        if quoted.is_some_and(|tag| !tags.verify(tag, request.call_id(), from_tag)) {
            return Err(Refuse::UnknownDialog);
        }
        // In a dialog the Request-URI is our Contact and tells nothing of the presentity; To does. Whether a dialog that
        // we signed still stands is for the log to say, whatever this replica knows.
        let presentity = match (quoted, known) {
            (Some(_), Some(known)) => known,
            (Some(_), None) => PresentityKey::of(to.uri).ok_or(Refuse::UnknownDialog)?,
            (None, _) => presentity(request.request_uri(), config)?,
        };
        let expires = lifetime(request.expires().map_err(Refuse::Fault)?, config.subscribe)?;
        let accept = accepted(request, package)?;
        let target = remote_target(&checked.contacts)?;
        if request.values(Name::RecordRoute).map(|route| route.len() + 16).sum::<usize>() > LONGEST_ROUTE_SET
        {
            return Err(Refuse::Fault(sip::Fault { status: 400, reason: "Route Set Too Long" }));
        }
        let kind = match quoted {
            Some(_) => SubscribeKind::InDialog,
            None if expires == 0 => SubscribeKind::Fetch,
            None => SubscribeKind::Initial,
        };
        let local_tag = match quoted {
            Some(tag) => tag.to_owned(),
            None => tags.dialog(Slot::of(&presentity), repeat, request.call_id(), from_tag),
        };
        let contact = own_contact(request, &presentity);
        let event_id = event.id.unwrap_or_default().to_owned();
        let parties = Parties {
            local_party: to.uri.to_owned(),
            remote_party: from.uri.to_owned(),
            remote_tag: from_tag.to_owned(),
            remote_target: uri::in_request(target).into_owned(),
        };
        let grant = Grant::default();
        Ok(Subscribe {
            presentity,
            package,
            kind,
            expires,
            accept,
            grant,
            local_tag,
            contact,
            parties,
            event_id,
        })
    }

    /// Holds the subscription to what billing grants, and its watcher to `most` of them where billing sets no number.
    pub fn grant(&mut self, standing: Standing, verdict: &Verdict, most: u32) {
        let Verdict { max_expires, max_subscriptions, .. } = *verdict;
        let max_subscriptions = if max_subscriptions == 0 { most } else { max_subscriptions };
        self.expires = at_most(self.expires, max_expires);
        self.grant = Grant { standing, max_expires, max_subscriptions, tenant: verdict.tenant.clone() };
    }

    /// Whether the watcher waits for approval.
    pub fn is_pending(&self) -> bool {
        self.grant.standing == Standing::Pending
    }

    /// Where the watcher wants its NOTIFYs.
    pub fn remote_target(&self) -> &str {
        &self.parties.remote_target
    }

    /// The command that records this subscription on `owner`.
    pub fn command(
        &self,
        request: &Message,
        account: &str,
        repeat: RepeatKey,
        owner: NodeId,
    ) -> v1::Subscribe {
        let Parties { local_party, remote_party, remote_tag, remote_target } = &self.parties;
        let routes = request.values(Name::RecordRoute);
        let parts = Parts {
            event_id: &self.event_id,
            remote_target,
            local_party,
            local_tag: &self.local_tag,
            remote_party,
            remote_tag,
            call_id: request.call_id(),
            presentity: self.presentity.as_str(),
            watcher: account,
            words: Words {
                contact: &self.contact,
                event: self.package.name,
                content_type: self.accept,
                tenant: &self.grant.tenant,
            },
            // RFC 3261 12.1.1: in their order.
            route_set: routes.filter_map(|route| std::str::from_utf8(route).ok()).collect(),
        };
        v1::Subscribe {
            repeat_key: Bytes::copy_from_slice(&repeat.0),
            dialog: parts.lines(),
            cseq: request.cseq().map_or(0, |cseq| cseq.number),
            expires: self.expires,
            owner: owner.0,
            in_dialog: self.kind == SubscribeKind::InDialog,
            max_expires: self.grant.max_expires,
            standing: self.grant.standing.into(),
            max_subscriptions: self.grant.max_subscriptions,
        }
    }
}

/// The flow that the request came over, as the dispatcher that holds it signed it into its Record-Route.
pub(crate) fn flow(request: &Message, key: &sip::Secret) -> Option<Flow> {
    flow_of_route(route_uri(request.values(Name::RecordRoute).next()?)?, key)
}

/// The flow that a route of ours names.
pub(crate) fn flow_of_route(uri: &str, key: &sip::Secret) -> Option<Flow> {
    Flow::open(route_user(uri)?, key)
}

/// Exactly one Contact, a SIP or SIPS URI (RFC 3261 8.1.1.8).
fn remote_target<'a>(contacts: &Contacts<'a>) -> Result<&'a str, Refuse> {
    let contact = match contacts {
        Contacts::List(contacts) if contacts.is_empty() => return Err(Refuse::NoContact),
        Contacts::List(contacts) if contacts.len() == 1 => contacts[0].uri,
        Contacts::List(_) | Contacts::Star => "",
    };
    match Scheme::of(contact) {
        Scheme::Sip | Scheme::Sips => Ok(contact),
        _ => Err(Refuse::Fault(sip::Fault { status: 400, reason: "Bad Contact" })),
    }
}

fn accepted(request: &Message, package: &'static Package) -> Result<&'static str, Refuse> {
    let values = request.values(Name::Accept).filter_map(|value| std::str::from_utf8(value).ok());
    package.accepts(values).ok_or(Refuse::NotAcceptable(package.default_type()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_billing_sets_no_number_an_account_has_what_the_operator_allows() {
        let limits = [(0, 10_000), (7, 10_000), (20_000, 10_000), (0, 0)].map(|(billing, most)| {
            let mut subscribe = subscribe();
            let verdict = Verdict { max_subscriptions: billing, ..Verdict::allowed() };
            subscribe.grant(Standing::Active, &verdict, most);
            subscribe.grant.max_subscriptions
        });

        assert_eq!(limits, [10_000, 7, 20_000, 0]);
    }

    fn subscribe() -> Subscribe {
        Subscribe {
            presentity: PresentityKey::of("sip:alice@lab.test").unwrap(),
            package: package::find("presence").unwrap(),
            kind: SubscribeKind::Initial,
            expires: 600,
            accept: "application/pidf+xml",
            grant: Grant::default(),
            local_tag: "tag".into(),
            contact: String::new(),
            parties: Parties::default(),
            event_id: String::new(),
        }
    }
}
