//! Billing changes its mind: its verdicts on the accounts that it names count no more, and it is asked again about what
//! they watch (RFC 3856 section 6.6.2, RFC 6665 section 4.2.2). Each owner asks about its own subscriptions, and the
//! answer goes into the log.

use presence::position::Position;
use proto::v1;
use proto::v1::Standing;
use proto::v1::command::Kind;

use super::{Agent, Note, Now, Output};
use crate::pending::{Asked, Intent, Waiting};
use crate::request::route_uri;
use crate::shard::SubscriptionId;
use crate::subscribe::flow_of_route;
use crate::verdict::{Decision, Invalidated, Proof, Question, Subject, Verdict};

impl Agent {
    pub fn handle_invalidated(&mut self, invalidated: &Invalidated, now: Now) {
        self.reviews.note(invalidated, now.monotonic);
        match invalidated {
            Invalidated::All => self.verdicts.forget_all(),
            Invalidated::Accounts(accounts) => {
                for account in accounts {
                    self.verdicts.forget(account.as_str());
                    let of_account = self.shard.subscriptions_of(account.as_str());
                    of_account.for_each(|id| self.reviews.add(id));
                }
            }
        }
        self.review(now);
    }

    /// Asks about some of those whose turn it is.
    pub(super) fn review(&mut self, now: Now) {
        let deliveries = &self.deliveries;
        // What this node owns is known only then.
        if !self.booted {
            return;
        }
        for id in self.reviews.step(|from| deliveries.ids_from(from), now.monotonic) {
            self.ask_again(id, now);
        }
    }

    /// A subscription is new to this node, or was asked for anew: while its watcher is being talked of, what was said
    /// before may not have reached whoever took the request.
    pub(super) fn doubt(&mut self, id: SubscriptionId, now: Now) {
        if let Some(held) = self.shard.subscription(id) {
            self.reviews.doubt(id, held.dialog.watcher(), now.monotonic);
        }
    }

    fn ask_again(&mut self, id: SubscriptionId, now: Now) {
        let held = self.shard.subscription(id);
        let Some(held) = held.filter(|held| held.owner == self.config.node && held.ended.is_none()) else {
            return;
        };
        let (dialog, epoch) = (&held.dialog, held.epoch);
        let subject = Subject {
            account: dialog.watcher().to_owned(),
            method: "SUBSCRIBE",
            event: dialog.event().to_owned(),
            presentity: dialog.presentity().to_owned(),
        };
        let watcher = dialog.watcher().to_owned();
        let realm = held.presentity().domain().to_owned();
        let flow = dialog.route_set().next().and_then(|route| route_uri(route.as_bytes()));
        let flow = flow.and_then(|uri| flow_of_route(uri, &self.flow_key));
        let source = flow.map(|flow| flow.remote.to_string()).unwrap_or_default();
        let question = Question { subject, proof: Proof::Dialog, watcher, realm };
        self.ask(Asked::Review { id, epoch, source }, question, now);
    }

    /// Billing has been asked again about a subscription.
    pub(super) fn reviewed(&mut self, id: SubscriptionId, epoch: u32, verdict: &Verdict, now: Now) {
        let standing = match verdict.decision {
            Decision::Allow | Decision::Verify => Standing::Active,
            Decision::Pending => Standing::Pending,
            Decision::Deny => Standing::Rejected,
            Decision::Unavailable => {
                self.reviews.pause(now.monotonic);
                return self.reviews.add(id);
            }
        };
        let Some(held) = self.shard.subscription(id).filter(|held| held.ended.is_none()) else { return };
        if held.epoch != epoch {
            // It moved while billing was thinking; its owner asks once more.
            return self.reviews.add(id);
        }
        if held.standing() != standing {
            self.propose_judge(id, epoch, standing);
        }
    }

    /// Billing's word stands in the log. If it was on its way for long, billing may have changed its mind again meanwhile,
    /// and was held against a state that did not have it yet.
    pub(super) fn judged(&mut self, id: SubscriptionId, now: Now) {
        self.own(id, Position::default());
        let held = self.shard.subscription(id);
        if held.is_some_and(|held| held.owner == self.config.node && held.ended.is_some()) {
            self.outputs.push_back(Output::Note(Note::Rejected));
            // Its last NOTIFY waits for no pause that the watcher asked for: the record will not last so long.
            self.deliveries.heard_from(id);
        }
        self.wake(id);
        self.doubt(id, now);
    }

    /// A request in a dialog was denied: so is the dialog (RFC 6665 section 4.2.2).
    pub(super) fn reject_dialog(&mut self, intent: &Intent, account: &str) {
        let Intent::Subscribe(subscribe) = intent else { return };
        let Some(id) = SubscriptionId::of(&subscribe.local_tag) else { return };
        let held = self.shard.subscription_of(&subscribe.local_tag);
        if let Some(held) = held.filter(|held| held.ended.is_none() && held.dialog.watcher() == account) {
            self.propose_judge(id, held.epoch, Standing::Rejected);
        }
    }

    fn propose_judge(&mut self, id: SubscriptionId, epoch: u32, standing: Standing) {
        let judge = v1::Judge { id: id.0, epoch, standing: standing.into() };
        self.propose(Waiting::Judge(id), Kind::Judge(judge));
    }
}
