use std::sync::Arc;

use bytes::Bytes;
use placement::PresentityKey;
use proto::v1::command::Kind;

use super::*;
use crate::shard::{Applied, Outcome, Shard};

const ALICE: &str = "alice@lab.test";
const DAY: u32 = 86_400;

/// Applies commands one after another, each in an entry of its own.
#[derive(Default)]
struct Log {
    shard: Shard,
    last: u64,
    now: Timestamp,
}

impl Log {
    fn at(&mut self, seconds: u64) -> &mut Log {
        self.now = Timestamp(seconds * 1_000);
        self
    }

    fn apply(&mut self, command: Kind) -> Applied {
        self.last += 1;
        self.shard.apply(command, Position::new(self.last, 0), self.now)
    }

    fn source(&mut self, name: &str, status: &str) -> Applied {
        self.apply(Kind::SetSource(source(self.last, name, status)))
    }

    /// Gives the entity-tag.
    fn publish(&mut self, if_match: &str, status: &str, expires: u32) -> String {
        let published = self.apply(Kind::Publish(publish(self.last, if_match, status, expires)));
        match published.outcome {
            Outcome::Published { tag, .. } => tag.to_string(),
            other => format!("{other:?}"),
        }
    }

    fn expire(&mut self) -> Applied {
        self.apply(Kind::Expire(v1::Expire { upto: self.now.0 }))
    }

    fn changes(&self) -> &[Change] {
        let alice = self.shard.presentity(&PresentityKey::restored(ALICE));
        alice.map_or(&[], |alice| alice.history.changes())
    }

    /// Each change in a few words.
    fn told(&self) -> Vec<String> {
        self.changes().iter().map(|change| told(&change.deed)).collect()
    }
}

fn told(deed: &Deed) -> String {
    match &deed.what {
        What::Said(_) => format!("{}: {}", deed.source, deed.said().unwrap_or_default().status),
        What::Removed => format!("{}: removed", deed.source),
        What::Expired => format!("{}: expired", deed.source),
    }
}

fn said(status: &str) -> Bytes {
    v1::Said { status: status.into(), ..v1::Said::default() }.encode_to_vec().into()
}

fn source(number: u64, name: &str, status: &str) -> v1::SetSource {
    v1::SetSource {
        presentity: ALICE.into(),
        source: name.into(),
        document: status.to_owned().into(),
        repeat_key: repeat_key(number),
        said: said(status),
        keep: DAY,
        ..v1::SetSource::default()
    }
}

fn repeat_key(number: u64) -> Bytes {
    u128::from(number).to_be_bytes().to_vec().into()
}

fn publish(number: u64, if_match: &str, status: &str, expires: u32) -> v1::Publish {
    v1::Publish {
        repeat_key: repeat_key(number),
        presentity: ALICE.into(),
        event: "presence".into(),
        if_match: if_match.into(),
        document: status.to_owned().into(),
        expires,
        source: "192.0.2.7:5060".into(),
        said: said(status),
        keep: DAY,
    }
}

#[test]
fn what_is_said_taken_back_and_expired_is_told_in_order_with_its_time_and_place() {
    let mut log = Log::default();
    let tag = log.at(1).publish("", "open", 600);
    log.at(2).publish(&tag, "busy", 600);
    log.at(3).source("portal", "away");
    log.at(4).source("portal", "");
    log.at(602).expire();

    let phone = "phone 192.0.2.7:5060";
    let expected = [
        format!("{phone}: open"),
        format!("{phone}: busy"),
        "portal: away".to_owned(),
        "portal: removed".to_owned(),
        format!("{phone}: expired"),
    ];
    assert_eq!(log.told(), expected);
    let last = log.changes().last().unwrap();
    assert_eq!((last.position, last.at), (Position::new(5, 0), Timestamp(602_000)));
}

#[test]
fn a_publication_that_its_phone_removes_is_told_and_one_that_was_to_live_for_no_time_is_not() {
    let mut log = Log::default();
    let tag = log.publish("", "open", 600);
    log.publish("", "busy", 0);
    log.source("portal", "away");
    log.publish(&tag, "", 0);

    let expected = ["phone 192.0.2.7:5060: open", "portal: away", "phone 192.0.2.7:5060: removed"];
    assert_eq!(log.told(), expected);
}

#[test]
fn a_refresh_a_repeat_and_a_refused_request_add_nothing() {
    let mut log = Log::default();
    let tag = log.publish("", "open", 600);
    log.publish(&tag, "", 600);
    log.apply(Kind::Publish(publish(0, "", "open", 600)));
    log.source("portal", "away");
    log.apply(Kind::SetSource(source(3, "portal", "away")));
    log.publish("unknown", "busy", 600);
    log.source("nobody", "");

    assert_eq!(log.told(), ["phone 192.0.2.7:5060: open", "portal: away"]);
}

#[test]
fn who_says_again_what_he_said_last_adds_nothing_whatever_others_said_meanwhile() {
    let mut log = Log::default();
    let words = [("a", "busy"), ("b", "away"), ("a", "busy"), ("a", "away"), ("a", "busy")];
    words.iter().for_each(|(name, status)| drop(log.source(name, status)));

    assert_eq!(log.told(), ["a: busy", "b: away", "a: away", "a: busy"]);
}

#[test]
fn at_the_limit_the_oldest_change_goes() {
    let mut log = Log::default();
    for n in 0..=Presentity::MAX_CHANGES {
        log.source("portal", &n.to_string());
    }

    assert_eq!(log.changes().len(), Presentity::MAX_CHANGES);
    assert_eq!(log.told()[0], "portal: 1");
}

#[test]
fn a_change_goes_when_its_time_has_passed_and_nobody_is_notified() {
    let mut log = Log::default();
    log.at(0).source("portal", "away");
    log.at(60).source("portal", "");
    let day = u64::from(DAY);

    log.at(day - 1).expire();
    let all = log.told();
    let first_gone = log.at(day).expire();
    let left = log.told();
    log.at(day + 60).expire();

    assert_eq!((all.len(), left, first_gone.effects), (2, vec!["portal: removed".to_owned()], vec![]));
    assert_eq!((log.shard.presentities().count(), log.shard.next_deadline()), (0, None));
}

#[test]
fn what_expires_is_told_although_what_it_said_is_too_old_to_be() {
    let mut log = Log::default();
    let tag = log.at(0).publish("", "open", 2 * DAY);
    log.at(u64::from(DAY)).expire();
    log.publish(&tag, "", 2 * DAY);
    assert_eq!(log.told(), [""; 0]);

    log.at(3 * u64::from(DAY)).expire();

    assert_eq!(log.told(), ["phone 192.0.2.7:5060: expired"]);
}

#[test]
fn a_command_that_keeps_nothing_leaves_no_change_and_no_presentity_behind() {
    let mut log = Log::default();
    for (number, status) in [(0, "away"), (1, "")] {
        log.apply(Kind::SetSource(v1::SetSource { keep: 0, ..source(number, "portal", status) }));
    }

    assert_eq!(log.shard.presentities().count(), 0);
}

#[test]
fn a_source_without_expiry_stays_until_it_is_removed_whatever_becomes_of_its_history() {
    let mut log = Log::default();
    log.at(0).source("portal", "away");
    log.at(1_000 * u64::from(DAY)).expire();
    log.shard = Shard::restore(log.shard.picture().chunks(), log.last).unwrap();
    log.expire();

    let kept = log.shard.source_count();
    log.source("portal", "");

    assert_eq!((kept, log.shard.source_count()), (1, 0));
}

#[test]
fn a_history_is_the_same_after_a_snapshot_and_goes_on_the_same() {
    let mut log = Log::default();
    let tag = log.at(0).publish("", "open", 600);
    log.at(61).source("portal", "away");
    log.at(62).publish(&tag, "busy", 600);
    log.at(63).source("portal", "");
    let mut restored = Log { shard: restored(&log), ..log };

    for log in [&mut log, &mut restored] {
        log.at(700).expire();
        log.at(u64::from(DAY) + 60).expire();
    }

    assert_eq!(log.changes(), restored.changes());
    assert_eq!(
        log.told(),
        ["portal: away", "phone 192.0.2.7:5060: busy", "portal: removed", "phone 192.0.2.7:5060: expired"]
    );
    assert_eq!(restored.shard.picture().chunks(), log.shard.picture().chunks());
}

#[test]
fn what_is_said_again_and_again_is_held_once() {
    let mut log = Log::default();
    (0..8).for_each(|n| drop(log.source("portal", ["away", "busy"][n % 2])));

    for shard in [restored(&log), log.shard] {
        let held: Vec<_> = shard.presentities().flat_map(|(_, held)| held.history.changes()).collect();
        assert!(
            held.len() == 8 && held.iter().skip(2).zip(&held).all(|(a, b)| Arc::ptr_eq(&a.deed, &b.deed))
        );
    }
}

fn restored(log: &Log) -> Shard {
    Shard::restore(log.shard.picture().chunks(), log.last).unwrap()
}
