//! Who owns a subscription when managers start, die and claim.

use super::*;

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
fn what_a_silent_node_owned_goes_to_a_survivor_in_a_new_epoch() {
    let mut shard = booted(&[1, 2, 3]);
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 2)), at(2), Timestamp(0));

    let taken = shard.apply(take_over(2, 1, &[3]), at(3), Timestamp(0));

    let held = only_subscription(&shard);
    assert_eq!((held.owner, held.epoch, taken.effects), (NodeId(3), 2, vec![Effect::OwnersMoved]));
    assert_eq!(shard.owners().collect::<Vec<_>>(), [NodeId(3)]);
}

#[test]
fn the_heirs_are_those_that_rendezvous_names_whatever_the_order_of_the_survivors() {
    let (mut one, mut other) = (booted(&[1, 2, 3]), booted(&[1, 2, 3]));
    for shard in [&mut one, &mut other] {
        for n in 0..50 {
            let (local_tag, call_id) = (format!("{}{n}", local_tag()), n.to_string());
            let request = saying(&subscribe(n, 1, 600, 2), |said| {
                (said.local_tag, said.call_id) = (&local_tag, &call_id);
            });
            shard.apply(Kind::Subscribe(request), at(2 + u64::from(n)), Timestamp(0));
        }
    }

    one.apply(take_over(2, 1, &[1, 3]), at(60), Timestamp(0));
    other.apply(take_over(2, 1, &[3, 2, 1, 3]), at(60), Timestamp(0));

    let owners = |shard: &Shard| shard.subscriptions().map(|(_, held)| held.owner).collect::<Vec<_>>();
    assert_eq!(owners(&one), owners(&other));
    assert_eq!(one.owners().collect::<Vec<_>>(), [NodeId(1), NodeId(3)]);
}

#[test]
fn a_takeover_of_a_node_that_has_started_anew_since_is_void() {
    let mut shard = booted(&[1, 2, 3]);
    shard.apply(Kind::Boot(v1::Boot { node: 2, incarnation: 2 }), at(2), Timestamp(0));
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 2)), at(3), Timestamp(0));

    let void = shard.apply(take_over(2, 1, &[1, 3]), at(4), Timestamp(0));
    let nobody = shard.apply(take_over(2, 2, &[2]), at(5), Timestamp(0));

    assert_eq!((only_subscription(&shard).owner, void.effects), (NodeId(2), vec![]));
    assert!(matches!(nobody.outcome, Outcome::Refused(Refusal::Malformed(_))));
}

#[test]
fn what_the_lost_node_may_not_have_delivered_is_pending_with_its_heir() {
    for (claimed, pending) in [(at(4), false), (at(3), true)] {
        let mut shard = booted(&[1, 2]);
        shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 2)), at(2), Timestamp(0));
        shard.apply(publish(2, "", "open", 600), at(4), Timestamp(0));
        // The heir has claimed more of its own than the lost node had delivered.
        shard.apply(delivered(1, at(9)), at(9), Timestamp(0));
        shard.apply(delivered(2, claimed), at(10), Timestamp(0));

        shard.apply(take_over(2, 1, &[1]), at(11), Timestamp(0));

        let (id, held) = shard.subscriptions().next().unwrap();
        let heir = shard.node(NodeId(1)).unwrap();
        assert_eq!(heir.may_owe(id, shard.owed(held)), pending, "claimed {claimed}");
        assert!(shard.node(NodeId(2)).unwrap().pending.is_empty());
    }
}

#[test]
fn a_takeover_is_the_same_after_a_snapshot() {
    let mut shard = booted(&[1, 2, 3]);
    shard.apply(Kind::Subscribe(subscribe(1, 1, 600, 2)), at(2), Timestamp(0));
    shard.apply(take_over(2, 1, &[3]), at(3), Timestamp(0));

    let mut restored = Shard::restore(shard.picture().chunks(), 3).unwrap();
    for shard in [&mut shard, &mut restored] {
        shard.apply(take_over(3, 1, &[1]), at(4), Timestamp(0));
    }

    assert_eq!(only_subscription(&restored), only_subscription(&shard));
    assert_eq!(restored.owners().collect::<Vec<_>>(), [NodeId(1)]);
}

#[test]
fn a_late_copy_of_a_claim_does_not_settle_what_became_pending_since() {
    let mut shard = Shard::default();
    let claim = |upto, pending: &[u64], settled: &[u64]| {
        let (now_pending, no_longer_pending) = (pending.to_vec(), settled.to_vec());
        Kind::Delivered(v1::Delivered { node: 1, upto, now_pending, no_longer_pending })
    };
    shard.apply(claim(2, &[], &[7]), at(1), Timestamp(0));
    shard.apply(claim(4, &[7], &[]), at(2), Timestamp(0));

    shard.apply(claim(2, &[], &[7]), at(3), Timestamp(0));

    assert!(shard.node(NodeId(1)).unwrap().pending.contains(&SubscriptionId(7)));
}
