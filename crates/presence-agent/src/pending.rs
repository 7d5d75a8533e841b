//! What waits for an answer from elsewhere: billing or the log. A ticket goes out, and comes back with the answer.

use std::collections::BTreeMap;

use placement::{NodeId, PresentityKey};
use presence::repeat::RepeatKey;
use sip::Message;
use sip::transaction::TransactionKey;

use crate::agent::{LinkId, Ticket};
use crate::api::ApiTicket;
use crate::publish::Publish;
use crate::register::Register;
use crate::shard::SubscriptionId;
use crate::subscribe::Subscribe;
use crate::verdict::Question;

#[derive(Debug)]
pub(crate) struct Pending {
    waiting: BTreeMap<Ticket, Waiting>,
    next: u64,
    /// Requests among them; the agent's own commands do not count.
    requests: usize,
}

#[derive(Debug)]
pub(crate) enum Waiting {
    /// For billing's verdict.
    Verdict {
        client: Client,
        intent: Intent,
        question: Question,
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
}

/// A request that somebody waits for, and the way back.
#[derive(Debug)]
pub(crate) struct Client {
    pub link: LinkId,
    pub transaction: TransactionKey,
    pub request: Message,
    pub repeat: RepeatKey,
}

/// What a request asks, turned into valid values.
#[derive(Debug)]
pub(crate) enum Intent {
    Subscribe(Box<Subscribe>),
    Publish(Box<Publish>),
    Register(Box<Register>),
}

impl Pending {
    pub fn new() -> Pending {
        Pending { waiting: BTreeMap::new(), next: 1, requests: 0 }
    }

    pub fn add(&mut self, waiting: Waiting) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.requests += usize::from(waiting.is_request());
        self.waiting.insert(ticket, waiting);
        ticket
    }

    pub fn take(&mut self, ticket: Ticket) -> Option<Waiting> {
        let waiting = self.waiting.remove(&ticket)?;
        self.requests -= usize::from(waiting.is_request());
        Some(waiting)
    }

    pub fn requests(&self) -> usize {
        self.requests
    }
}

impl Waiting {
    fn is_request(&self) -> bool {
        matches!(self, Waiting::Verdict { .. } | Waiting::Commit { .. } | Waiting::Api(_))
    }
}

impl Intent {
    /// Whose state it is about.
    pub fn presentity(&self) -> &PresentityKey {
        match self {
            Intent::Subscribe(subscribe) => &subscribe.presentity,
            Intent::Publish(publish) => &publish.presentity,
            Intent::Register(register) => &register.aor,
        }
    }

    pub fn event(&self) -> &str {
        match self {
            Intent::Subscribe(subscribe) => subscribe.package.name,
            Intent::Publish(publish) => publish.package.name,
            Intent::Register(_) => "",
        }
    }
}
