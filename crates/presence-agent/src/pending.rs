//! What waits for an answer from elsewhere: billing or the log. A ticket goes out, and comes back with the answer.

use std::collections::{BTreeMap, BTreeSet};

use placement::{NodeId, PresentityKey};
use presence::repeat::RepeatKey;
use sip::transaction::TransactionKey;
use sip::{Fault, Message, Method};

use crate::agent::{Dial, LinkId, Ticket};
use crate::answer::Refuse;
use crate::api::{ApiTicket, Credentials, SetSource};
use crate::publish::Publish;
use crate::register::Register;
use crate::shard::SubscriptionId;
use crate::subscribe::{Subscribe, SubscribeKind};
use crate::verdict::Question;

#[derive(Debug)]
pub(crate) struct Pending {
    waiting: BTreeMap<Ticket, Waiting>,
    next: u64,
    /// Requests among them; the agent's own commands do not count.
    requests: usize,
    /// What waits for the log, by the request that asked for it.
    proposed: BTreeSet<(RepeatKey, Ticket)>,
}

#[derive(Debug)]
pub(crate) enum Waiting {
    /// For billing's verdict. `count`: how many messages on changed accounts had come before.
    Verdict {
        asked: Asked,
        question: Box<Question>,
        count: u64,
    },
    /// For the log.
    Commit {
        client: Client,
        intent: Intent,
    },
    Api(ApiTicket),
    Boot,
    Expire,
    Delivered,
    TakeOver(NodeId),
    Checksum,
    EndSubscription(SubscriptionId),
    RaiseEpoch(SubscriptionId),
    Judge(SubscriptionId),
}

/// For whose sake billing is asked.
#[derive(Debug)]
pub(crate) enum Asked {
    Request {
        client: Client,
        intent: Intent,
    },
    /// A program's change, with its user's password.
    Program {
        ticket: ApiTicket,
        change: Box<SetSource>,
        credentials: Credentials,
    },
    /// A subscription that lives already. `source`: where its watcher is.
    Review {
        id: SubscriptionId,
        epoch: u32,
        source: String,
    },
}

/// A request that somebody waits for, and the way back.
#[derive(Debug)]
pub(crate) struct Client {
    pub link: LinkId,
    pub transaction: TransactionKey,
    pub request: Message,
    pub repeat: RepeatKey,
    /// Whom From names, if that can be somebody.
    pub sender: Option<PresentityKey>,
    /// The phone's address and port, as the dispatcher saw them.
    pub source: String,
    /// Whether the phone's own hop repeats what is lost.
    pub reliable: bool,
}

/// What a request asks, turned into valid values.
#[derive(Debug)]
pub(crate) enum Intent {
    Subscribe(Box<Subscribe>),
    Publish(Box<Publish>),
    Register(Box<Register>),
    Dial(Box<Dial>),
}

impl Pending {
    pub fn new() -> Pending {
        Pending { waiting: BTreeMap::new(), next: 1, requests: 0, proposed: BTreeSet::new() }
    }

    pub fn add(&mut self, waiting: Waiting) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.requests += usize::from(waiting.is_request());
        self.proposed.extend(waiting.proposed_by().map(|repeat| (repeat, ticket)));
        self.waiting.insert(ticket, waiting);
        ticket
    }

    pub fn take(&mut self, ticket: Ticket) -> Option<Waiting> {
        let waiting = self.waiting.remove(&ticket)?;
        self.requests -= usize::from(waiting.is_request());
        if let Some(repeat) = waiting.proposed_by() {
            self.proposed.remove(&(repeat, ticket));
        }
        Some(waiting)
    }

    /// Whether a copy of this request is on its way into the log.
    pub fn is_proposed(&self, repeat: RepeatKey) -> bool {
        self.proposed.range((repeat, Ticket(0))..).next().is_some_and(|(found, _)| *found == repeat)
    }

    pub fn requests(&self) -> usize {
        self.requests
    }
}

impl Waiting {
    fn is_request(&self) -> bool {
        match self {
            Waiting::Verdict { asked, .. } => !matches!(asked, Asked::Review { .. }),
            waiting => matches!(waiting, Waiting::Commit { .. } | Waiting::Api(_)),
        }
    }

    fn proposed_by(&self) -> Option<RepeatKey> {
        match self {
            Waiting::Commit { client, .. } => Some(client.repeat),
            _ => None,
        }
    }
}

impl Client {
    pub fn sender(&self) -> Result<&PresentityKey, Refuse> {
        self.sender.as_ref().ok_or(Refuse::Fault(Fault { status: 400, reason: "Bad From" }))
    }
}

impl Intent {
    /// Whose state it is about.
    pub fn presentity(&self) -> &PresentityKey {
        match self {
            Intent::Subscribe(subscribe) => &subscribe.presentity,
            Intent::Publish(publish) => &publish.presentity,
            Intent::Register(register) => &register.aor,
            Intent::Dial(dial) => &dial.presentity,
        }
    }

    /// Whether it only takes back a subscription.
    pub fn ends_dialog(&self) -> bool {
        matches!(self, Intent::Subscribe(subscribe)
            if subscribe.kind == SubscribeKind::InDialog && subscribe.expires == 0)
    }

    pub fn event(&self) -> &str {
        match self {
            Intent::Subscribe(subscribe) => subscribe.package.name,
            Intent::Publish(publish) => publish.package.name,
            Intent::Register(_) => "",
            Intent::Dial(_) => "presence",
        }
    }

    /// The method that billing is asked about: to dial a feature code is to publish.
    pub fn asked_as(&self, request: &Message) -> &'static str {
        match self {
            Intent::Dial(_) => Method::Publish.as_str(),
            _ => request.method().as_str(),
        }
    }
}

#[cfg(test)]
impl Client {
    /// Who sent this request, for tests of those who look at the request alone.
    pub fn of(request: Message) -> Client {
        use sip::transaction::{Received, ServerTransactions};
        let mut servers = ServerTransactions::new(1, sip::Secret::new("lab"));
        let received = servers.receive(&request, &request.via().unwrap(), sip::Instant(0));
        let Received::New(transaction) = received else { panic!("not new") };
        let sender = request.from().ok().and_then(|from| PresentityKey::of(from.uri));
        let (link, repeat, source) = (LinkId(1), RepeatKey([7; 16]), String::new());
        Client { link, transaction, request, repeat, sender, source, reliable: false }
    }
}

#[cfg(test)]
mod tests {
    use sip::Limits;

    use super::*;

    #[test]
    fn a_request_is_on_its_way_until_the_last_copy_of_its_command_has_ended() {
        let mut pending = Pending::new();
        let tickets = [1, 2].map(|branch| pending.add(commit(branch)));

        let proposed = [0, 1].map(|at| {
            pending.take(tickets[at]);
            pending.is_proposed(RepeatKey([7; 16]))
        });

        assert_eq!((proposed, pending.is_proposed(RepeatKey([6; 16]))), ([true, false], false));
    }

    fn commit(branch: u32) -> Waiting {
        let text = format!("REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{branch}\r\n\r\n");
        let request = Message::parse(text.into(), &Limits::default()).unwrap();
        let client = Client::of(request);
        let register =
            Register { aor: PresentityKey::restored("a@x"), ask: crate::register::Ask::Query, gruu: false };
        Waiting::Commit { client, intent: Intent::Register(Box::new(register)) }
    }
}
