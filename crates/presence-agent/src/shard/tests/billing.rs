//! What billing says of watchers: standing and quotas.

use super::*;

fn judge(epoch: u32, standing: v1::Standing) -> Kind {
    Kind::Judge(v1::Judge { id: id(), epoch, standing: standing.into() })
}

fn pending() -> v1::Subscribe {
    v1::Subscribe { standing: v1::Standing::Pending.into(), ..subscribe(1, 1, 600, 1) }
}

#[test]
fn a_pending_watcher_is_owed_nothing_but_the_answer_to_its_own_requests() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(pending()), at(1), Timestamp(0));
    shard.apply(publish(1, "", "open", 600), at(2), Timestamp(0));
    let waiting = shard.owed(only_subscription(&shard));

    let approved = shard.apply(judge(1, v1::Standing::Active), at(3), Timestamp(0));

    let held = only_subscription(&shard);
    assert_eq!((waiting, shard.owed(held)), (at(1), at(3)));
    assert_eq!((held.is_shown(), held.epoch), (true, 2));
    assert_eq!(approved.effects, [Effect::SubscriptionJudged(SubscriptionId(id()))]);
}

#[test]
fn a_rejected_subscription_ends_is_owed_its_end_and_shows_nothing() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));

    shard.apply(judge(1, v1::Standing::Rejected), at(2), Timestamp(0));
    let refresh = shard.apply(Kind::Subscribe(subscribe(2, 2, 600, 1)), at(3), Timestamp(0));

    let held = only_subscription(&shard);
    assert_eq!((held.ended, shard.owed(held), held.is_shown()), (Some(Ended::Rejected), at(2), false));
    assert_eq!(refresh.outcome, Outcome::Refused(Refusal::UnknownSubscription));
}

#[test]
fn a_word_on_an_older_epoch_counts_no_more_nor_does_one_that_changes_nothing() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 1)), at(1), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(2, 2, 600, 3)), at(2), Timestamp(0));

    let late = shard.apply(judge(1, v1::Standing::Rejected), at(3), Timestamp(0));
    let same = shard.apply(judge(2, v1::Standing::Active), at(4), Timestamp(0));

    assert_eq!((late.effects, same.effects), (vec![], vec![]));
    assert_eq!((only_subscription(&shard).ended, only_subscription(&shard).epoch), (None, 2));
}

#[test]
fn a_refresh_keeps_the_standing_unless_it_brings_another() {
    let mut shard = Shard::default();
    shard.apply(Kind::Subscribe(pending()), at(1), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(2, 2, 600, 1)), at(2), Timestamp(0));
    let kept = (only_subscription(&shard).is_pending(), only_subscription(&shard).epoch);

    let active = v1::Subscribe { standing: v1::Standing::Active.into(), ..subscribe(3, 3, 600, 1) };
    shard.apply(Kind::Subscribe(active), at(3), Timestamp(0));

    assert_eq!(kept, (true, 1));
    assert_eq!((only_subscription(&shard).is_pending(), only_subscription(&shard).epoch), (false, 2));
}

/// Bob's dialog number `n`, who may have two.
fn one_of_two(n: u8, cseq: u32) -> Kind {
    let request = subscribe(n, cseq, 600, 1);
    let local_tag = format!("{}-{n}", local_tag());
    let request = saying(&request, |said| said.local_tag = &local_tag);
    Kind::Subscribe(v1::Subscribe { max_subscriptions: 2, ..request })
}

fn is_refused(applied: &Applied) -> bool {
    applied.outcome == Outcome::Refused(Refusal::QuotaUsedUp(2))
}

#[test]
fn a_watcher_has_no_more_subscriptions_than_billing_allows_and_keeps_those_it_has() {
    let mut shard = Shard::default();
    shard.apply(one_of_two(1, 1), at(1), Timestamp(0));
    shard.apply(one_of_two(2, 1), at(2), Timestamp(0));

    let third = shard.apply(one_of_two(3, 1), at(3), Timestamp(0));
    let again = shard.apply(one_of_two(2, 1), at(4), Timestamp(0));
    let refresh = shard.apply(one_of_two(2, 2), at(5), Timestamp(0));

    assert_eq!([third, again, refresh].map(|applied| is_refused(&applied)), [true, false, false]);
    assert_eq!(shard.subscription_count(), 2);
}

#[test]
fn what_ended_expired_or_was_rejected_makes_room() {
    // In the second epoch: somebody has taken over.
    let tag = format!("{}-1", local_tag());
    let (id, epoch, standing) = (SubscriptionId::of(&tag).unwrap().0, 2, v1::Standing::Rejected.into());
    for end in [
        Kind::EndSubscription(v1::EndSubscription { id, epoch }),
        Kind::Judge(v1::Judge { id, epoch, standing }),
        Kind::Expire(v1::Expire { upto: 600_000 }),
    ] {
        let mut shard = booted(&[1, 2]);
        shard.apply(one_of_two(1, 1), at(2), Timestamp(0));
        shard.apply(one_of_two(2, 1), at(3), Timestamp(0));
        shard.apply(take_over(1, 1, &[2]), at(4), Timestamp(0));
        let full = shard.clone().apply(one_of_two(3, 1), at(5), Timestamp(0));

        shard.apply(end, at(6), Timestamp(600_000));
        let mut restored = Shard::restore(shard.picture().chunks(), 6).unwrap();

        assert!(is_refused(&full));
        assert!(!is_refused(&restored.apply(one_of_two(3, 1), at(7), Timestamp(600_000))));
        assert!(!is_refused(&shard.apply(one_of_two(3, 1), at(7), Timestamp(600_000))));
    }
}

#[test]
fn a_restored_shard_knows_whose_subscriptions_are_whose() {
    let mut shard = Shard::default();
    shard.apply(one_of_two(1, 1), at(1), Timestamp(0));
    shard.apply(Kind::Subscribe(pending()), at(2), Timestamp(0));

    let restored = Shard::restore(shard.picture().chunks(), 2).unwrap();

    assert_eq!((&restored.watchers, &restored.slots), (&shard.watchers, &shard.slots));
    assert_eq!(restored.subscriptions_of("bob@lab.test").count(), 2);
}
