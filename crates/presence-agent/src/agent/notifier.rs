//! NOTIFYs of the subscriptions this node owns: who is woken, what is sent, and what comes back (RFC 6665 section
//! 4.2.2).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use placement::PresentityKey;
use presence::compositor::Composed;
use presence::position::Position;
use presence::time::Timestamp;
use proto::v1;
use proto::v1::command::Kind;
use sip::Message;
use sip::transaction::{ClientOutput, Completed};

use super::{Agent, Now, Output};
use crate::bound::Bound;
use crate::delivery::{Deliveries, Turn};
use crate::disposition::Disposition;
use crate::notify::Notify;
use crate::pending::Waiting;
use crate::shard::{Dialog, Ended, Subscription, SubscriptionId, owed};
use crate::way::Way;

/// Which NOTIFY a client transaction carries.
#[derive(Clone, Debug)]
pub(crate) enum Notified {
    Subscription {
        id: SubscriptionId,
        epoch: u32,
    },
    /// The only NOTIFY of a fetch: whatever comes of it, nothing follows.
    Fetch {
        next_hop: SocketAddr,
    },
}

/// After this the first NOTIFY of a dialog that a phone does not know is sent once more. It may have overtaken the 200; if
/// that got lost, the phone has asked again by then (Timer E) and heard it.
const OVERTAKEN: Duration = Duration::from_secs(1);

impl Agent {
    pub fn handle_response(&mut self, response: &Message, now: Now) {
        if let Some(Completed { tag, status, retry_after }) = self.clients.receive(response, now.monotonic) {
            let pause = retry_after.map(|seconds| Duration::from_secs(seconds.into()));
            self.notified(tag, status, pause, now);
            self.pump(now);
        } else {
            self.calls.receive(response, now.monotonic);
        }
    }

    /// Retransmits and gives up what the client transactions say.
    pub(super) fn drain_clients(&mut self, now: Now) {
        while let Some(output) = self.clients.poll_output() {
            match output {
                ClientOutput::Retransmit(bytes, tag) => {
                    let tag = tag.clone();
                    if !now.has_lease() && matches!(tag, Notified::Subscription { .. }) {
                        continue;
                    }
                    if let Some(next_hop) = self.next_hop_of(tag) {
                        self.outputs.push_back(Output::Send { next_hop, bytes });
                    }
                }
                ClientOutput::TimedOut(tag) => self.notified(tag, 408, None, now),
            }
        }
    }

    /// Looks at all we own: after a start, after a takeover, and after a snapshot took the place of entries we never saw.
    pub(super) fn scan(&mut self, now: Now) {
        let me = self.config.node;
        self.disown_all_but_ours();
        let owned: Vec<_> = self.shard.subscriptions().filter(|(_, held)| held.owner == me).collect();
        let new = owned.iter().filter(|(id, _)| !self.deliveries.has(*id));
        let new = new.map(|(id, held)| (*id, held.dialog.watcher()));
        self.reviews.doubt_each(new, now.monotonic);
        let owned: Vec<_> = owned.into_iter().map(|(id, held)| (id, self.shard.owed(held))).collect();
        for (id, owed) in owned {
            let may_owe = self.shard.node(me).is_none_or(|node| node.may_owe(id, owed));
            self.own(id, if may_owe { Position::default() } else { owed });
            self.wake(id);
        }
    }

    fn disown_all_but_ours(&mut self) {
        let (me, shard) = (self.config.node, &self.shard);
        let is_ours = |id: SubscriptionId| shard.subscription(id).is_some_and(|held| held.owner == me);
        for id in self.deliveries.ids().filter(|id| !is_ours(*id)).collect::<Vec<_>>() {
            self.disown(id);
        }
    }

    pub(super) fn wake_watchers(&mut self, key: &PresentityKey) {
        let Some(presentity) = self.shard.presentity(key) else { return };
        for &id in &presentity.watchers {
            let held = || self.shard.subscription(id);
            self.deliveries.wake_if(id, || Some(owed(held()?, Some(presentity.position))));
        }
    }

    /// Lets go of a subscription, and of what is on its way: its CSeq is somebody else's by now.
    pub(super) fn disown(&mut self, id: SubscriptionId) {
        if let Some(branch) = self.deliveries.disown(id) {
            self.clients.abandon(&branch);
        }
    }

    pub(super) fn wake(&mut self, id: SubscriptionId) {
        if let Some((_, owed)) = self.held(id) {
            self.deliveries.wake(id, owed);
        }
    }

    /// Takes a subscription on, or lets go of one that moved to another node.
    pub(super) fn own(&mut self, id: SubscriptionId, delivered: Position) {
        match self.shard.subscription(id) {
            Some(held) if held.owner == self.config.node => {
                if let Some(branch) = self.deliveries.own(id, held.epoch, delivered) {
                    self.clients.abandon(&branch);
                }
            }
            _ => self.disown(id),
        }
    }

    /// Sends to those in the queue, as far as there is room for their transactions. Without the lease somebody else may
    /// own them by now, so they wait.
    pub(super) fn pump(&mut self, now: Now) {
        while now.has_lease() && self.clients.len() < self.config.limits.client_transactions {
            let Some(id) = self.deliveries.next_in_queue() else { return };
            self.notify(id, now);
        }
        if now.has_lease() && self.deliveries.is_queued() {
            self.full(Bound::ClientTransactions);
        }
    }

    fn notify(&mut self, id: SubscriptionId, now: Now) {
        let ours = self.shard.watch(id).filter(|(held, _)| held.owner == self.config.node);
        let Some((held, presentity)) = ours else { return self.disown(id) };
        let held = held.clone();
        let (key, event) = (held.dialog.presentity(), held.dialog.event());
        let owed = owed(&held, presentity.map(|presentity| presentity.position));
        let shown = held.is_shown().then(|| self.documents.composed(key, event, presentity));
        let branch = self.branches.next();
        let Some(turn) = self.deliveries.start(id, owed, &branch) else { return };
        let (cseq, way) = match turn {
            Turn::Send { cseq, way } => (cseq, way),
            Turn::EpochUsedUp => {
                let raise = v1::RaiseEpoch { id: id.0, epoch: held.epoch };
                return self.propose(Waiting::RaiseEpoch(id), Kind::RaiseEpoch(raise));
            }
            // Its watcher hears 481 when it refreshes, and begins a new one.
            Turn::DialogUsedUp => return self.propose_end(id, held.epoch),
        };
        let Some(way) = way.or_else(|| self.find_way(id, &held.dialog)) else {
            return self.undelivered(id, None, now);
        };
        let tag = Notified::Subscription { id, epoch: held.epoch };
        let notify = Notify {
            cseq,
            ended: held.ended.map(Ended::as_str),
            pending: held.is_pending(),
            expires_at: held.expires_at,
            now: now.log,
            branch: &branch,
            dialog: &held.dialog,
        };
        if !self.send_notify(&notify, shown, way, tag, now) {
            self.undelivered(id, None, now);
        }
    }

    fn find_way(&mut self, id: SubscriptionId, dialog: &Dialog) -> Option<Way> {
        let way = Way::of(dialog, &self.flow_key)?;
        self.deliveries.learn(id, way);
        Some(way)
    }

    /// The one NOTIFY of a fetch (RFC 6665 4.4.3): the state, and that this was all. Whoever would have to be approved is
    /// shown nothing.
    pub(super) fn notify_once(&mut self, dialog: &Dialog, now: Now) {
        let Some(way) = Way::of(dialog, &self.flow_key) else { return };
        let branch = self.branches.next();
        let pending = dialog.numbers.standing == v1::Standing::Pending;
        let ended = Some(if pending { "giveup" } else { "timeout" });
        let (expires_at, now_log) = (Timestamp::default(), now.log);
        let notify = Notify { cseq: 1, ended, pending, expires_at, now: now_log, branch: &branch, dialog };
        let (key, event) = (dialog.presentity(), dialog.event());
        let presentity = self.shard.presentity_of(key);
        let shown = (!pending).then(|| self.documents.composed(key, event, presentity));
        self.send_notify(&notify, shown, way, Notified::Fetch { next_hop: way.next_hop }, now);
    }

    /// Whether it was sent. `shown`: the state, if the watcher may see it.
    fn send_notify(
        &mut self,
        notify: &Notify<'_>,
        shown: Option<Arc<Composed>>,
        way: Way,
        tag: Notified,
        now: Now,
    ) -> bool {
        let document = shown.as_ref().map(|composed| composed.document.as_ref());
        let bytes = notify.write(&self.config.sent_by, document);
        let branch = notify.branch.clone();
        let started = self.clients.start(branch, bytes.clone(), way.reliable, tag, now.monotonic).is_ok();
        if started {
            self.outputs.push_back(Output::Send { next_hop: way.next_hop, bytes });
        }
        started
    }

    fn notified(&mut self, tag: Notified, status: u16, pause: Option<Duration>, now: Now) {
        let Notified::Subscription { id, epoch } = tag else { return };
        let Some((held, owed)) = self.held(id).filter(|(held, _)| held.epoch == epoch) else { return };
        let has_ended = held.ended.is_some();
        let refused = |deliveries: &mut Deliveries, pause| deliveries.refused(id, owed, pause, now.monotonic);
        let ends = match Disposition::of(status, pause.is_some()) {
            Disposition::Delivered => return self.deliveries.delivered(id, owed),
            Disposition::Unknown if !has_ended && self.deliveries.is_first(id) => {
                refused(&mut self.deliveries, OVERTAKEN)
            }
            Disposition::Unknown | Disposition::Useless => true,
            Disposition::Unreachable => refused(&mut self.deliveries, Deliveries::FIRST_RETRY),
            Disposition::Away if self.config.end_on_timeout => true,
            Disposition::Away | Disposition::Failed => return self.undelivered(id, pause, now),
        };
        if ends {
            self.propose_end(id, epoch);
        }
    }

    fn propose_end(&mut self, id: SubscriptionId, epoch: u32) {
        let end = v1::EndSubscription { id: id.0, epoch };
        self.propose(Waiting::EndSubscription(id), Kind::EndSubscription(end));
    }

    /// The subscription stays, dirty: a failed send never deletes it by itself.
    pub(super) fn undelivered(&mut self, id: SubscriptionId, pause: Option<Duration>, now: Now) {
        let Some((_, owed)) = self.held(id) else { return };
        self.deliveries.failed(id, owed, pause, now.monotonic);
    }

    /// A subscription, and the position that a NOTIFY must reach to leave nothing owed.
    fn held(&self, id: SubscriptionId) -> Option<(&Subscription, Position)> {
        let (held, presentity) = self.shard.watch(id)?;
        Some((held, owed(held, presentity.map(|presentity| presentity.position))))
    }

    fn next_hop_of(&self, tag: Notified) -> Option<SocketAddr> {
        match tag {
            Notified::Subscription { id, .. } => {
                Some(Way::of(&self.shard.subscription(id)?.dialog, &self.flow_key)?.next_hop)
            }
            Notified::Fetch { next_hop } => Some(next_hop),
        }
    }
}
