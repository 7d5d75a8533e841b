//! What one account or one address may have of the whole: decided where a request comes in, so it is this node's own
//! word and nothing that replicas would have to agree on.

use sip::Network;

use super::{Agent, Now};
use crate::answer::Refuse;
use crate::bound::Bound;
use crate::pending::{Client, Intent};
use crate::rates::TooOften;
use crate::subscribe::{SubscribeKind, flow};
use crate::verdict::{Proof, Question};

/// When an address that holds too many subscriptions may ask for one more: they end only as they expire.
const AFTER: u32 = 60;

impl Agent {
    /// Whether the address that a new subscription comes from holds as many as it may.
    pub(super) fn has_room_at_source(
        &self,
        client: &Client,
        intent: &Intent,
        question: &Question,
    ) -> Result<(), Refuse> {
        let most = if self.config.open { 0 } else { self.config.limits.subscriptions_per_source };
        let begins =
            matches!(intent, Intent::Subscribe(subscribe) if subscribe.kind == SubscribeKind::Initial);
        // A peer that says who sends brings the subscriptions of many.
        if most == 0 || !begins || matches!(question.proof, Proof::Asserted(_)) || self.is_recorded(intent) {
            return Ok(());
        }
        let source = flow(&client.request, &self.flow_key).map(|flow| Network::of(flow.remote.ip()));
        let held = source.map_or(0, |source| self.shard.subscriptions_from(source));
        match held < most {
            true => Ok(()),
            false => Err(Refuse::TooMuch { bound: Bound::SubscriptionsPerSource, after: AFTER }),
        }
    }

    /// Whether this is a copy of a request that began a dialog: it came another way, and gets the first answer.
    fn is_recorded(&self, intent: &Intent) -> bool {
        let Intent::Subscribe(subscribe) = intent else { return false };
        let begins = subscribe.kind == SubscribeKind::Initial;
        begins && self.shard.subscription_of(&subscribe.local_tag).is_some()
    }

    /// Charges the account for a request that is about to be recorded.
    pub(super) fn charge(
        &mut self,
        client: &Client,
        intent: &Intent,
        account: &str,
        now: Now,
    ) -> Result<(), Refuse> {
        // A copy is not charged again.
        let is_copy = self.pending.is_proposed(client.repeat) || self.is_recorded(intent);
        if self.config.open || is_copy {
            return Ok(());
        }
        let too_often = |TooOften { after }| Refuse::TooMuch { bound: Bound::RequestsPerAccount, after };
        self.rates.charge(account, now.monotonic).map_err(too_often)
    }
}
