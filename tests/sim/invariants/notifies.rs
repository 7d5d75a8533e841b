//! P3 once more, where NOTIFYs leave a node: only the owner sends, only with the lease, no CSeq twice, and nothing
//! after the end.

use std::collections::BTreeMap;

use placement::NodeId;
use sip::Message;
use sip::header::State;

use super::{Check, History, broken};

#[derive(Default)]
pub struct Notifies {
    /// By subscription and CSeq: the branch that used it.
    sent: BTreeMap<(String, u32), String>,
    /// Subscriptions whose end has been told, with the CSeq of that.
    ended: BTreeMap<String, u32>,
}

/// A node at the moment it sends.
pub struct Sender {
    pub node: NodeId,
    pub incarnation: u64,
    pub applied: u64,
    pub has_lease: bool,
}

/// The low bits of a CSeq count within an epoch.
const CSEQ_BITS: u32 = 12;

impl Notifies {
    pub fn left(&mut self, sender: &Sender, notify: &Message, history: &History) -> Check {
        let (Ok(from), Ok(cseq), Ok(via)) = (notify.from(), notify.cseq(), notify.via()) else {
            return broken("a NOTIFY that can not be read", format!("{notify:?}"));
        };
        let (id, number) = (from.tag().unwrap_or_default(), cseq.number);
        let branch = via.branch.unwrap_or_default();
        // A fetch is answered once and leaves nothing in the log.
        if !history.is_recorded(id) {
            return Ok(());
        }
        let what = || format!("node {} at {}: {id} CSeq {number}", sender.node, sender.applied);
        if !sender.has_lease {
            return broken("P3 a NOTIFY without the lease", what());
        }
        let used = self.sent.entry((id.to_owned(), number)).or_insert_with(|| branch.to_owned());
        if used != branch {
            return broken("P3 a CSeq used twice", what());
        }
        self.is_of_the_owner(sender, id, number, history)?;
        self.shows_what_it_may(sender, id, notify, history)?;
        let state = notify.subscription_state().ok().flatten().map(|state| state.state);
        if state == Some(State::Terminated) {
            self.ended.entry(id.to_owned()).or_insert(number);
        } else if self.ended.get(id).is_some_and(|end| *end < number) {
            return broken("a NOTIFY after the end", what());
        }
        Ok(())
    }

    /// Who waits for approval or was rejected is shown nothing, and everybody else is.
    fn shows_what_it_may(&self, sender: &Sender, id: &str, notify: &Message, history: &History) -> Check {
        let tenure = history.tenure(id, sender.applied).filter(|_| sender.applied <= history.last());
        match tenure {
            Some(tenure) if tenure.shown == notify.body().is_empty() => {
                broken("a watcher is shown what it may not see", format!("{id} {tenure:?}: {notify:?}"))
            }
            _ => Ok(()),
        }
    }

    fn is_of_the_owner(&self, sender: &Sender, id: &str, number: u32, history: &History) -> Check {
        if sender.applied > history.last() {
            // It was told of an entry that no majority holds; others find that.
            return Ok(());
        }
        let tenure = history.tenure(id, sender.applied);
        let is_owner =
            tenure.is_some_and(|tenure| tenure.owner == sender.node && tenure.epoch == number >> CSEQ_BITS);
        let booted = history.incarnation(sender.node, sender.applied) == sender.incarnation;
        if is_owner && booted {
            return Ok(());
        }
        let detail = format!(
            "node {} start {} at {}: {id} CSeq {number}, but {tenure:?}",
            sender.node, sender.incarnation, sender.applied
        );
        broken("P3 a NOTIFY of somebody who does not own", detail)
    }
}
