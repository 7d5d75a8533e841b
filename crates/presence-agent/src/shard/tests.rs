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
        source: String::new(),
    })
}

fn subscribe(repeat: u8, cseq: u32, expires: u32, owner: u64) -> v1::Subscribe {
    v1::Subscribe {
        repeat_key: vec![repeat; 16].into(),
        presentity: ALICE.into(),
        event: "presence".into(),
        watcher: "bob@lab.test".into(),
        call_id: "call".into(),
        remote_tag: "theirs".into(),
        local_tag: format!("{}-ours", Slot::of(&PresentityKey::restored(ALICE))),
        cseq,
        expires,
        owner,
        in_dialog: cseq > 1,
        ..v1::Subscribe::default()
    }
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
    assert_eq!((shard.presentities().count(), shard.next_deadline()), (0, None));
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
    assert_eq!((held.owner(), held.epoch, held.asked_at), (NodeId(3), 2, at(2)));
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

    assert_eq!((held.ended.as_deref(), shard.owed(&held)), (Some("timeout"), at(2)));
    assert_eq!((shard.subscriptions().count(), shard.presentities().count()), (0, 0));
}

#[test]
fn a_start_of_a_manager_raises_the_epoch_of_what_it_owns_once() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));

    shard.apply(Kind::Boot(v1::Boot { node: 1, incarnation: 7 }), at(2), Timestamp(0));
    shard.apply(Kind::Boot(v1::Boot { node: 1, incarnation: 7 }), at(3), Timestamp(0));
    shard.apply(Kind::Boot(v1::Boot { node: 2, incarnation: 9 }), at(4), Timestamp(0));

    assert_eq!(only_subscription(&shard).epoch, 2);
}

#[test]
fn an_end_seen_by_a_former_owner_does_not_end_the_subscription() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(2, 2, 600, 3)), at(2), Timestamp(0));
    let id = subscribe(1, 1, 600, 1).local_tag;

    shard.apply(Kind::EndSubscription(v1::EndSubscription { id: id.clone(), epoch: 1 }), at(3), Timestamp(0));
    let kept = shard.subscriptions().count();
    shard.apply(Kind::EndSubscription(v1::EndSubscription { id, epoch: 2 }), at(4), Timestamp(0));

    assert_eq!((kept, shard.subscriptions().count()), (1, 0));
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
    let delivered =
        v1::Delivered { node: 1, upto: 4096, now_pending: vec!["3da-x".into()], no_longer_pending: vec![] };
    shard.apply(Kind::Delivered(delivered), at(6), Timestamp(9));
    let source =
        v1::SetSource { presentity: ALICE.into(), source: "portal".into(), document: "x".into(), expires: 0 };
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
