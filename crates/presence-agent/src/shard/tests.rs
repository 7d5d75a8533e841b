mod billing;
mod owners;

use super::*;

const ALICE: &str = "alice@lab.test";

fn at(index: u64) -> Position {
    Position::new(index, 0)
}

fn publish(repeat: u8, if_match: &str, document: &'static str, expires: u32) -> Kind {
    Kind::Publish(v1::Publish {
        repeat_key: vec![repeat; 16].into(),
        presentity: ALICE.into(),
        event: "presence".into(),
        if_match: if_match.into(),
        document: document.into(),
        expires,
        ..v1::Publish::default()
    })
}

fn subscribe(repeat: u8, cseq: u32, expires: u32, owner: u64) -> v1::Subscribe {
    let said = Parts {
        presentity: ALICE,
        watcher: "bob@lab.test",
        call_id: "call",
        remote_tag: "theirs",
        local_tag: &local_tag(),
        words: Words { event: "presence", ..Words::default() },
        ..Parts::default()
    };
    v1::Subscribe {
        repeat_key: vec![repeat; 16].into(),
        dialog: said.lines(),
        cseq,
        expires,
        owner,
        in_dialog: cseq > 1,
        ..v1::Subscribe::default()
    }
}

fn local_tag() -> String {
    format!("{}-ours", Slot::of(&PresentityKey::restored(ALICE)))
}

/// The same request, but for what it says of its dialog.
fn saying<'a>(request: &'a v1::Subscribe, change: impl FnOnce(&mut Parts<'a>)) -> v1::Subscribe {
    let mut said = Parts::read(&request.dialog).unwrap();
    change(&mut said);
    v1::Subscribe { dialog: said.lines(), ..request.clone() }
}

/// Of that subscription, as commands name it.
fn id() -> u64 {
    SubscriptionId::of(&local_tag()).unwrap().0
}

fn tag_of(applied: &Applied) -> String {
    match &applied.outcome {
        Outcome::Published { tag, .. } => tag.to_string(),
        other => panic!("not published: {other:?}"),
    }
}

fn alice(shard: &Shard) -> &Presentity {
    shard.presentity(&PresentityKey::restored(ALICE)).expect("alice has state")
}

fn only_subscription(shard: &Shard) -> &Subscription {
    shard.subscriptions().next().expect("there is a subscription").1
}

fn booted(nodes: &[u64]) -> Shard {
    let mut shard = Shard::default();
    for node in nodes {
        shard.apply(Kind::Boot(v1::Boot { node: *node, incarnation: 1 }), at(1), Timestamp(0));
    }
    shard
}

fn take_over(node: u64, incarnation: u64, survivors: &[u64]) -> Kind {
    Kind::TakeOver(v1::TakeOver { node, incarnation, survivors: survivors.to_vec() })
}

fn delivered(node: u64, upto: Position) -> Kind {
    Kind::Delivered(v1::Delivered { node, upto: upto.0, ..v1::Delivered::default() })
}

#[test]
fn a_dialog_that_is_too_long_leaves_nothing_behind() {
    let mut shard = Shard::default();
    let long = "x".repeat(65_536);
    let said = saying(&subscribe(1, 1, 600, 1), |said| said.remote_party = &long);

    let applied = shard.apply(Kind::Subscribe(said), Position::new(1, 0), Timestamp(0));

    assert!(matches!(applied.outcome, Outcome::Refused(Refusal::Malformed(_))), "{applied:?}");
    assert_eq!(shard.presentities().count(), 0);
}

#[test]
fn a_repeat_of_a_publish_gets_its_first_answer_and_changes_nothing() {
    let mut shard = Shard::default();
    let first = shard.apply(publish(1, "", "open", 60), at(1), Timestamp(0));

    let again = shard.apply(publish(1, "", "open", 60), at(2), Timestamp(10));

    assert_eq!(again.outcome, first.outcome);
    assert_eq!(
        (again.effects.len(), alice(&shard).publications.len(), alice(&shard).position),
        (0, 1, at(1))
    );
}

#[test]
fn a_repeat_of_a_removal_is_known_for_64_seconds() {
    let mut shard = Shard::default();
    let tag = tag_of(&shard.apply(publish(1, "", "open", 600), at(1), Timestamp(0)));
    let removed = shard.apply(publish(2, &tag, "", 0), at(2), Timestamp(0));

    shard.apply(Kind::Expire(v1::Expire { upto: 63_999 }), at(3), Timestamp(63_999));
    let repeat = shard.apply(publish(2, &tag, "", 0), at(4), Timestamp(63_999));
    shard.apply(Kind::Expire(v1::Expire { upto: 64_000 }), at(5), Timestamp(64_000));
    let too_late = shard.apply(publish(2, &tag, "", 0), at(6), Timestamp(64_000));

    assert_eq!(repeat.outcome, removed.outcome);
    assert!(matches!(too_late.outcome, Outcome::Refused(Refusal::TagUnmatched(_))));
}

#[test]
fn an_entity_tag_is_never_used_twice() {
    let mut shard = Shard::default();
    let first = tag_of(&shard.apply(publish(1, "", "open", 60), at(1), Timestamp(0)));
    let second = tag_of(&shard.apply(publish(2, &first, "", 60), at(2), Timestamp(0)));
    let third = tag_of(&shard.apply(publish(3, "", "open", 60), Position::new(2, 1), Timestamp(0)));

    assert!(first != second && second != third);
}

#[test]
fn an_expired_publication_goes_with_an_effect_and_leaves_no_empty_presentity() {
    let mut shard = Shard::default();
    shard.apply(publish(1, "", "open", 60), at(1), Timestamp(0));

    let early = shard.apply(Kind::Expire(v1::Expire { upto: 59_999 }), at(2), Timestamp(59_999));
    let due = shard.apply(Kind::Expire(v1::Expire { upto: 60_000 }), at(3), Timestamp(60_000));

    assert_eq!(early.effects, []);
    assert_eq!(due.effects, [Effect::PresentityChanged(PresentityKey::restored(ALICE))]);
    assert_eq!(shard.presentities().count(), 0);
}

#[test]
fn a_late_copy_of_what_has_expired_brings_nothing_back() {
    let mut shard = Shard::default();
    let register = |expires| {
        let binding =
            v1::Binding { contact: "sip:alice@192.0.2.7".into(), expires, ..v1::Binding::default() };
        let (repeat_key, aor) = (vec![9; 16].into(), ALICE.into());
        Kind::Register(v1::Register { repeat_key, aor, bindings: vec![binding], ..v1::Register::default() })
    };
    let tag = tag_of(&shard.apply(publish(1, "", "open", 60), at(1), Timestamp(0)));
    shard.apply(register(60), at(2), Timestamp(0));
    shard.apply(Kind::Expire(v1::Expire { upto: 60_000 }), at(3), Timestamp(60_000));

    let published = shard.apply(publish(1, "", "open", 60), at(4), Timestamp(61_000));
    let registered = shard.apply(register(60), at(5), Timestamp(61_000));

    assert_eq!((tag_of(&published), registered.outcome), (tag, Outcome::Registered));
    assert_eq!(shard.presentities().count(), 0);
}

#[test]
fn a_record_that_was_refreshed_outlives_the_expire_that_saw_its_old_deadline() {
    let mut shard = Shard::default();
    let tag = tag_of(&shard.apply(publish(1, "", "open", 60), at(1), Timestamp(0)));
    shard.apply(publish(2, &tag, "", 60), at(2), Timestamp(59_000));

    shard.apply(Kind::Expire(v1::Expire { upto: 60_000 }), at(3), Timestamp(61_000));

    assert_eq!(alice(&shard).publications.len(), 1);
}

#[test]
fn an_expire_from_a_leader_whose_clock_ran_ahead_of_the_log_drops_nothing_early() {
    let mut shard = Shard::default();
    shard.apply(publish(1, "", "open", 60), at(1), Timestamp(0));

    shard.apply(Kind::Expire(v1::Expire { upto: 1_000_000 }), at(2), Timestamp(1_000));

    assert_eq!(alice(&shard).publications.len(), 1);
}

#[test]
fn a_refresh_taken_by_another_node_moves_the_subscription_there_in_a_new_epoch() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));

    shard.apply(Kind::Subscribe(subscribe(2, 2, 600, 3)), at(2), Timestamp(1_000));

    let held = only_subscription(&shard);
    assert_eq!((held.owner, held.epoch, held.asked_at), (NodeId(3), 2, at(2)));
}

#[test]
fn a_request_in_the_dialog_with_an_older_cseq_is_refused() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(3, 3, 600, 1)), at(2), Timestamp(0));

    let older = shard.apply(Kind::Subscribe(subscribe(2, 2, 600, 1)), at(3), Timestamp(0));

    assert_eq!(older.outcome, Outcome::Refused(Refusal::OutOfOrder));
}

#[test]
fn a_refresh_of_an_unknown_or_ended_subscription_is_refused() {
    let mut shard = Shard::default();
    let unknown = shard.apply(Kind::Subscribe(subscribe(2, 2, 600, 1)), at(1), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(2), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(3, 3, 0, 1)), at(3), Timestamp(0));
    let ended = shard.apply(Kind::Subscribe(subscribe(4, 4, 600, 1)), at(4), Timestamp(0));

    assert_eq!(unknown.outcome, Outcome::Refused(Refusal::UnknownSubscription));
    assert_eq!(ended.outcome, Outcome::Refused(Refusal::UnknownSubscription));
}

#[test]
fn an_expired_subscription_is_owed_its_last_notify_and_then_goes() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 60, 1)), at(1), Timestamp(0));

    shard.apply(Kind::Expire(v1::Expire { upto: 60_000 }), at(2), Timestamp(60_000));
    let held = only_subscription(&shard).clone();
    shard.apply(Kind::Expire(v1::Expire { upto: 124_000 }), at(3), Timestamp(124_000));

    assert_eq!((held.ended, shard.owed(&held)), (Some(Ended::Timeout), at(2)));
    assert_eq!((shard.subscriptions().count(), shard.presentities().count()), (0, 0));
}

#[test]
fn replicas_with_the_same_state_report_the_same_and_another_is_named() {
    let mut shard = booted(&[1, 2]);
    shard.apply(publish(1, "", "open", 600), at(2), Timestamp(0));
    let slot = u64::from(Slot::of(&PresentityKey::restored(ALICE)).number());
    let index = 256 * slot;
    let report = |shard: &Shard, node| shard.checksum(NodeId(node), index).expect("a position to compare");
    let (one, same) = (report(&shard, 1), report(&Shard::restore(shard.picture().chunks(), 2).unwrap(), 2));
    let mut astray = shard.clone();
    astray.apply(publish(2, "", "open", 600), at(2), Timestamp(0));
    let other = report(&astray, 3);

    let effects: Vec<_> = [one, same, other]
        .into_iter()
        .flat_map(|report| shard.apply(Kind::Checksum(report), at(index + 1), Timestamp(0)).effects)
        .collect();

    let nodes = [NodeId(1), NodeId(3)];
    assert_eq!(effects, [Effect::Diverged { index, slot: slot as u32, nodes }]);
    assert_eq!(shard.checksum(NodeId(1), index + 1), None);
}

#[test]
fn the_totals_are_those_of_the_records_and_survive_a_snapshot() {
    let mut shard = Shard::default();
    let tag = tag_of(&shard.apply(publish(1, "", "open", 600), at(1), Timestamp(0)));
    shard.apply(publish(2, "", "open", 60), at(2), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(3, 1, 600, 1)), at(3), Timestamp(0));
    let full = Shard::restore(shard.picture().chunks(), 3).unwrap();
    shard.apply(publish(4, &tag, "", 0), at(4), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(5, 2, 0, 1)), at(5), Timestamp(0));
    shard.apply(Kind::Expire(v1::Expire { upto: 60_000 }), at(6), Timestamp(60_000));

    let totals =
        |shard: &Shard| (shard.presentity_count(), shard.publication_count(), shard.subscription_count());
    assert_eq!(totals(&full), (1, 2, 1));
    assert_eq!(totals(&shard), (1, 0, 0));
    assert_eq!(totals(&Shard::restore(shard.picture().chunks(), 6).unwrap()), (1, 0, 0));
}

#[test]
fn an_id_names_the_slot_and_differs_with_the_tag() {
    let ids = ["3da-one", "3da-other", "3ff-one"].map(|tag| SubscriptionId::of(tag).unwrap());

    assert_eq!(ids.map(|id| id.slot().to_string()), ["3da", "3da", "3ff"]);
    assert!(ids[0] != ids[1] && ids[0].0 << 10 != ids[2].0 << 10);
    assert_eq!(SubscriptionId::of("one"), None);
}

#[test]
fn a_dialog_whose_tag_meets_the_id_of_another_one_is_unknown() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));
    let other = saying(&subscribe(2, 2, 600, 1), |said| said.local_tag = "3da-other");

    let said = Dialog::of(&other).unwrap();
    let moment = Moment { at: at(2), now: Timestamp(0) };
    let held = only_subscription(&shard).clone();
    let refused = held.refreshed(said, NodeId(1), moment);
    let id = SubscriptionId::of("3da-other").unwrap();
    shard.slots.get_mut(id.slot()).subscriptions.insert(id, held.into());

    assert_eq!(refused, Err(Refusal::UnknownSubscription));
    assert!(shard.subscription(id).is_some() && shard.subscription_of("3da-other").is_none());
}

#[test]
fn an_end_seen_by_a_former_owner_does_not_end_the_subscription() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(2, 2, 600, 3)), at(2), Timestamp(0));

    shard.apply(Kind::EndSubscription(v1::EndSubscription { id: id(), epoch: 1 }), at(3), Timestamp(0));
    let kept = shard.subscription_count();
    shard.apply(Kind::EndSubscription(v1::EndSubscription { id: id(), epoch: 2 }), at(4), Timestamp(0));

    assert_eq!((kept, shard.subscription_count()), (1, 0));
}

#[test]
fn an_end_seen_at_the_old_address_does_not_end_a_subscription_whose_watcher_moved() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));
    let moved = saying(&subscribe(2, 2, 600, 1), |said| said.remote_target = "sip:bob@198.51.100.9");
    shard.apply(Kind::Subscribe(moved), at(2), Timestamp(0));

    shard.apply(Kind::EndSubscription(v1::EndSubscription { id: id(), epoch: 1 }), at(3), Timestamp(0));

    assert_eq!(shard.subscription_count(), 1);
}

#[test]
fn a_late_copy_of_the_first_request_does_not_begin_an_ended_dialog_anew() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(2, 2, 600, 1)), at(2), Timestamp(0));
    shard.apply(Kind::EndSubscription(v1::EndSubscription { id: id(), epoch: 1 }), at(3), Timestamp(0));

    let late = v1::Subscribe { in_dialog: false, ..subscribe(1, 1, 600, 2) };
    let applied = shard.apply(Kind::Subscribe(late), at(4), Timestamp(0));

    let held = only_subscription(&shard);
    assert_eq!(applied.outcome, Outcome::Refused(Refusal::UnknownSubscription));
    assert_eq!((shard.subscription_count(), shard.owed(held)), (0, Position(0)));
}

#[test]
fn a_presentity_holds_a_bounded_number_of_publications() {
    let mut shard = Shard::default();
    for n in 0..Presentity::MAX_PUBLICATIONS as u64 {
        shard.apply(publish(n as u8, "", "open", 60), at(n + 1), Timestamp(0));
    }

    let one_more = shard.apply(publish(200, "", "open", 60), at(100), Timestamp(0));

    assert!(matches!(one_more.outcome, Outcome::Refused(Refusal::TooMany(..))));
}

#[test]
fn a_snapshot_restores_the_same_state() {
    let mut shard = Shard::default();
    let tag = tag_of(&shard.apply(publish(1, "", "open", 60), at(1), Timestamp(5)));
    shard.apply(publish(2, "", "closed", 60), at(2), Timestamp(5));
    shard.apply(publish(3, &tag, "", 0), at(3), Timestamp(6));
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(4), Timestamp(7));
    shard.apply(Kind::Boot(v1::Boot { node: 1, incarnation: 7 }), at(5), Timestamp(8));
    let delivered = v1::Delivered { node: 1, upto: 4096, now_pending: vec![7], no_longer_pending: vec![] };
    shard.apply(Kind::Delivered(delivered), at(6), Timestamp(9));
    let source = v1::SetSource {
        presentity: ALICE.into(),
        source: "portal".into(),
        document: "x".into(),
        ..Default::default()
    };
    shard.apply(Kind::SetSource(source), at(7), Timestamp(9));

    let restored = Shard::restore(shard.picture().chunks(), 7).unwrap();

    assert_eq!(restored.slots, shard.slots);
    assert_eq!(restored.nodes, shard.nodes);
    assert_eq!((restored.stamp, &restored.deadlines), (shard.stamp, &shard.deadlines));
}

#[test]
fn a_picture_does_not_move_with_the_state_it_was_taken_of() {
    let mut shard = Shard::default();
    shard.apply(publish(1, "", "open", 60), at(1), Timestamp(0));
    let picture = shard.picture();

    shard.apply(publish(2, "", "closed", 60), at(2), Timestamp(0));

    let restored = Shard::restore(picture.chunks(), 1).unwrap();
    assert_eq!(alice(&restored).publications.len(), 1);
}

fn set_source(repeat: u8, document: &'static str) -> Kind {
    let repeat_key = vec![repeat; 16].into();
    let (presentity, source) = (ALICE.into(), "portal".into());
    Kind::SetSource(v1::SetSource {
        presentity,
        source,
        document: document.into(),
        repeat_key,
        ..v1::SetSource::default()
    })
}

fn register(repeat: u8, cseq: u32, expires: u32) -> Kind {
    let binding = v1::Binding { contact: "sip:alice@desk".into(), expires, ..v1::Binding::default() };
    let (repeat_key, aor) = (vec![repeat; 16].into(), ALICE.into());
    let call_id = "register".into();
    Kind::Register(v1::Register {
        repeat_key,
        aor,
        call_id,
        cseq,
        remove_all: false,
        bindings: vec![binding],
    })
}

#[test]
fn a_request_is_remembered_from_the_end_of_the_last_binding_that_it_made() {
    let mut shard = Shard::default();
    let mut request = register(1, 1, 60);
    if let Kind::Register(request) = &mut request {
        let desk = v1::Binding { contact: "sip:alice@hall".into(), expires: 90, ..v1::Binding::default() };
        request.bindings.push(desk);
    }
    shard.apply(request.clone(), at(1), Timestamp(0));
    shard.apply(Kind::Expire(v1::Expire { upto: 60_000 }), at(2), Timestamp(60_000));
    shard.apply(Kind::Expire(v1::Expire { upto: 90_000 }), at(3), Timestamp(90_000));
    let mut restored = Shard::restore(shard.picture().chunks(), 3).unwrap();

    for replica in [&mut shard, &mut restored] {
        replica.apply(Kind::Expire(v1::Expire { upto: 130_000 }), at(4), Timestamp(130_000));
        replica.apply(request.clone(), at(5), Timestamp(131_000));
    }

    assert_eq!(shard.presentities().count(), 0);
    assert_eq!((&restored.slots, &restored.deadlines), (&shard.slots, &shard.deadlines));
}

#[test]
fn a_late_copy_of_a_request_does_not_bring_back_what_was_removed_since() {
    let mut shard = Shard::default();
    let tag = tag_of(&shard.apply(publish(1, "", "open", 600), at(1), Timestamp(0)));
    shard.apply(publish(2, &tag, "", 0), at(2), Timestamp(0));
    shard.apply(register(3, 1, 600), at(3), Timestamp(0));
    shard.apply(register(4, 2, 0), at(4), Timestamp(0));
    shard.apply(set_source(5, "busy"), at(5), Timestamp(0));
    shard.apply(set_source(6, ""), at(6), Timestamp(0));

    for (position, late) in
        [publish(1, "", "open", 600), register(3, 1, 600), set_source(5, "busy")].into_iter().enumerate()
    {
        shard.apply(late, at(10 + position as u64), Timestamp(1_000));
    }

    assert_eq!(shard.presentities().count(), 0);
}

#[test]
fn a_late_copy_of_a_change_does_not_undo_the_change_after_it() {
    let mut shard = Shard::default();
    shard.apply(set_source(1, "busy"), at(1), Timestamp(0));
    shard.apply(set_source(2, "away"), at(2), Timestamp(0));

    shard.apply(set_source(1, "busy"), at(3), Timestamp(0));

    assert_eq!(alice(&shard).sources["portal"].document.as_ref(), b"away");
}

#[test]
fn an_ended_subscription_is_owed_nothing_that_happens_later() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(2, 2, 0, 1)), at(2), Timestamp(0));

    shard.apply(publish(1, "", "open", 600), at(3), Timestamp(0));

    assert_eq!(shard.owed(only_subscription(&shard)), at(2));
}

#[test]
fn another_account_cannot_take_a_dialog_over() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));

    let mallory = saying(&subscribe(2, 2, 600, 1), |said| said.watcher = "mallory@lab.test");
    let refused = shard.apply(Kind::Subscribe(mallory), at(2), Timestamp(0));

    assert_eq!(refused.outcome, Outcome::Refused(Refusal::UnknownSubscription));
}

#[test]
fn a_refresh_that_shows_no_route_keeps_the_one_that_is_known() {
    let mut shard = Shard::default();
    let first = saying(&subscribe(1, 1, 600, 1), |said| said.route_set.push("<sip:token@inner;lr>"));
    shard.apply(Kind::Subscribe(first), at(1), Timestamp(0));

    shard.apply(Kind::Subscribe(subscribe(2, 2, 600, 1)), at(2), Timestamp(0));

    assert!(only_subscription(&shard).dialog.route_set().eq(["<sip:token@inner;lr>"]));
}

#[test]
fn a_presentity_whose_records_lie_in_several_parts_of_a_snapshot_keeps_its_position() {
    let mut shard = Shard::default();
    let tag = tag_of(&shard.apply(publish(1, "", "open", 600), at(1), Timestamp(0)));
    for n in 0..2_000 {
        let local_tag = format!("{}-{n:0>200}", Slot::of(&PresentityKey::restored(ALICE)));
        let request = saying(&subscribe(1, 1, 600, 1), |said| said.local_tag = &local_tag);
        shard.apply(Kind::Subscribe(request), at(2 + n), Timestamp(0));
    }
    shard.apply(publish(2, &tag, "", 0), at(5_000), Timestamp(0));
    let chunks = shard.picture().chunks();
    assert!(chunks.len() > 2);

    let restored = Shard::restore(chunks, 5_000).unwrap();

    assert_eq!((alice(&restored).position, &restored.slots), (at(5_000), &shard.slots));
}
