//! Takes a group's own commands to its leader, one batch at a time: that keeps their order.
//!
//! It also tells the consumer who leads, and which commands ended without being seen in the log.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proto::v1::{LogItem, Proposal, ProposeOutcome};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tracing::info;

use crate::config::Limits;
use crate::events::Event;
use crate::propose::Proposals;
use crate::propose::forward::Forward;
use crate::propose::intake::Intake;
use crate::propose::outbox::{Fate, Taken};
use crate::raft::group::{Leadership, LeadershipWatch};

const TICK: Duration = Duration::from_millis(100);
/// Pause after a leader refused or did not answer.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes of one batch on its way to another node.
const BATCH_BYTES: usize = 256 * 1024;

pub struct Courier {
    proposals: Arc<Proposals>,
    intake: Intake,
    forward: Forward,
    events: mpsc::Sender<Event>,
    watch: LeadershipWatch,
    leadership: Leadership,
    batch_commands: usize,
    tick: Interval,
    not_before: Instant,
    under_way: Option<UnderWay>,
}

/// A batch whose answer is awaited.
struct UnderWay {
    batch: Vec<Taken>,
    answer: BoxFuture<'static, Option<ProposeOutcome>>,
}

impl Courier {
    pub fn new(
        proposals: Arc<Proposals>,
        intake: Intake,
        forward: Forward,
        events: mpsc::Sender<Event>,
        watch: LeadershipWatch,
        limits: &Limits,
    ) -> Courier {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Courier {
            proposals,
            intake,
            forward,
            events,
            watch,
            leadership: Leadership::default(),
            batch_commands: limits.entry_commands.max(1),
            tick,
            not_before: Instant::now(),
            under_way: None,
        }
    }

    /// Ends when the group or its consumer does.
    pub async fn run(mut self) {
        loop {
            self.send_next();
            let sending = self.under_way.is_some();
            let pause = !sending && self.leadership.leader.is_some() && self.proposals.has_waiting();
            tokio::select! {
                now = self.watch.changed() => match now {
                    Some(now) => if !self.leader_changed(now).await { return },
                    None => return,
                },
                outcome = answer(&mut self.under_way), if sending => self.answered(outcome),
                _ = self.tick.tick() => if !self.end_overdue().await { return },
                _ = tokio::time::sleep_until(self.not_before), if pause => {}
                () = self.proposals.wait(), if !sending => {}
            }
        }
    }

    /// Takes the next batch to the leader, unless there is none, or one is under way.
    fn send_next(&mut self) {
        let Some(leader) = self.leadership.leader else {
            return;
        };
        if self.under_way.is_some() || Instant::now() < self.not_before {
            return;
        }
        let batch = self.proposals.take(self.batch_commands, BATCH_BYTES);
        if batch.is_empty() {
            return;
        }
        let answer = if self.leadership.mine {
            let (intake, items) = (self.intake.clone(), self.items(&batch));
            async move { Some(intake.accept(items).await) }.boxed()
        } else {
            let (forward, proposals) = (self.forward.clone(), proposals(&batch));
            let (group, incarnation) = (self.proposals.group, self.proposals.incarnation);
            async move { forward.offer(leader, group, incarnation, proposals).await }.boxed()
        };
        self.under_way = Some(UnderWay { batch, answer });
    }

    fn answered(&mut self, outcome: Option<ProposeOutcome>) {
        let Some(UnderWay { batch, .. }) = self.under_way.take() else {
            return;
        };
        match outcome {
            Some(ProposeOutcome::Accepted) => return,
            Some(ProposeOutcome::NotLeader | ProposeOutcome::Full) => self.proposals.refused(&batch),
            Some(ProposeOutcome::Unspecified) | None => self.proposals.unanswered(&batch),
        }
        self.not_before = Instant::now() + PAUSE;
    }

    async fn leader_changed(&mut self, now: Leadership) -> bool {
        let before = std::mem::replace(&mut self.leadership, now);
        if before == now {
            return true;
        }
        self.under_way = None;
        self.not_before = Instant::now();
        self.proposals.leader_changed();
        if (before.leader, before.mine) == (now.leader, now.mine) {
            return true;
        }
        let leader = now.leader.map_or_else(|| "nobody".to_owned(), |leader| self.forward.name_of(leader));
        info!(group = %self.proposals.group, leader, term = now.term, mine = now.mine, "Leadership changed");
        self.events.send(Event::Leadership { leader: now.leader, mine: now.mine }).await.is_ok()
    }

    async fn end_overdue(&mut self) -> bool {
        for fate in self.proposals.tick() {
            let event = match fate {
                Fate::Failed { ticket } => {
                    self.proposals.metrics.proposals_failed.increment(1);
                    Event::Failed { ticket }
                }
                Fate::Lost { ticket } => {
                    self.proposals.metrics.proposals_lost.increment(1);
                    Event::Lost { ticket }
                }
            };
            if self.events.send(event).await.is_err() {
                return false;
            }
        }
        true
    }

    fn items(&self, batch: &[Taken]) -> Vec<LogItem> {
        let (origin, incarnation) = (self.proposals.node.0, self.proposals.incarnation);
        let item = |taken: &Taken| LogItem {
            origin,
            incarnation,
            ticket: taken.ticket,
            command: taken.command.clone(),
        };
        batch.iter().map(item).collect()
    }
}

fn proposals(batch: &[Taken]) -> Vec<Proposal> {
    batch.iter().map(|taken| Proposal { ticket: taken.ticket, command: taken.command.clone() }).collect()
}

/// `None` if nobody answered.
async fn answer(under_way: &mut Option<UnderWay>) -> Option<ProposeOutcome> {
    match under_way {
        Some(under_way) => under_way.answer.as_mut().await,
        None => std::future::pending().await,
    }
}
