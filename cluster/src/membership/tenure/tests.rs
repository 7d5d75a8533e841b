use placement::NodeId;

use super::*;
use crate::membership::birth::tests::{born, certificate, declared, node, says, silent, with};

#[test]
fn a_member_goes_on_when_nobody_answers() {
    let directory = born(&certificate(1, &[&node("a", 7), &node("b", 3), &node("c", 9)]));

    assert_eq!(at_start("a", 7, &directory, &[silent("b"), silent("c")]), Tenure::GoOn);
}

#[test]
fn a_member_that_was_replaced_is_refused() {
    let directory = born(&certificate(1, &[&node("a", 7), &node("b", 3), &node("c", 9)]));
    let mut newer = directory.clone();
    newer.version = 20;
    newer.gone.insert(NodeId(7), 20);

    let tenure = at_start("a", 7, &directory, &[says(&with(&node("b", 3), &newer)), silent("c")]);

    assert_eq!(tenure, Tenure::Refuse(Refusal::Gone { name: "a".into(), id: NodeId(7) }));
}

#[test]
fn a_directory_that_is_older_than_our_own_says_nothing_against_us() {
    let older = born(&certificate(1, &[&node("a", 7), &node("b", 3), &node("c", 9)]));
    let mut own = born(&certificate(1, &[&node("a", 8), &node("b", 3), &node("c", 9)]));
    (own.version, own.gone) = (20, [(NodeId(7), 20)].into());

    let tenure = at_start("a", 8, &own, &[says(&with(&node("b", 3), &older)), silent("c")]);

    assert_eq!(tenure, Tenure::GoOn);
}

#[test]
fn an_old_copy_of_a_folder_is_refused() {
    let mut directory = born(&certificate(1, &[&node("a", 7), &node("b", 3)]));
    let own = directory.clone();
    if let Some(member) = directory.members.get_mut(&NodeId(7)) {
        member.incarnation = 4;
    }
    directory.version = 30;
    let heard = [says(&with(&node("b", 3), &directory))];
    let judge = |incarnation, moment| {
        let me = Introduction { incarnation, ..node("a", 7) };
        judge(&me, &own, &declared(), &heard, moment)
    };

    let refused = |ours| Tenure::Refuse(Refusal::OldCopy { name: "a".into(), said: 4, ours });
    assert_eq!((judge(3, Moment::Start), judge(4, Moment::Start)), (refused(3), refused(4)));
    assert_eq!((judge(5, Moment::Start), judge(4, Moment::Running)), (Tenure::GoOn, Tenure::GoOn));
    assert_eq!(judge(3, Moment::Running), refused(3));
}

#[test]
fn one_stray_member_does_not_stop_the_others_but_stops_itself() {
    let ours = born(&certificate(1, &[&node("a", 7), &node("b", 3), &node("c", 9)]));
    let theirs = born(&certificate(2, &[&node("c", 9)]));
    let (a, b, c) = (with(&node("a", 7), &ours), with(&node("b", 3), &ours), with(&node("c", 9), &theirs));

    assert_eq!(at_start("a", 7, &ours, &[says(&b), says(&c)]), Tenure::GoOn);
    let refused = Refusal::AnotherCluster { ours: ClusterId(2), theirs: ClusterId(1) };
    assert_eq!(at_start("c", 9, &theirs, &[says(&a), says(&b)]), Tenure::Refuse(refused));
    assert_eq!(at_start("c", 9, &theirs, &[says(&a), silent("b")]), Tenure::GoOn);
}

#[test]
fn a_founder_waits_for_a_majority_of_founders() {
    let (a, b, c) = (node("a", 7), node("b", 3), node("c", 9));
    let certificate = certificate(1, &[&a, &b, &c]);

    let alone = at_start("a", 7, &certificate, &[silent("b"), silent("c")]);
    let two = at_start("a", 7, &certificate, &[says(&with(&b, &certificate)), silent("c")]);

    assert!(matches!(alone, Tenure::Wait(Waiting::Silent(_))), "{alone:?}");
    assert_eq!(two, Tenure::GoOn);
}

#[test]
fn a_founder_starts_over_when_too_few_founders_are_left() {
    let (a, b, c) = (node("a", 7), node("b", 3), node("c", 9));
    let certificate = certificate(1, &[&a, &b, &c]);
    let wiped = [says(&node("b", 30)), says(&node("c", 90))];

    assert_eq!(at_start("a", 7, &certificate, &wiped), Tenure::StartOver(ClusterId(1)));
    let one_left = [says(&node("b", 30)), silent("c")];
    assert!(matches!(at_start("a", 7, &certificate, &one_left), Tenure::Wait(_)));
}

#[test]
fn a_founder_whose_fellows_founded_another_cluster_starts_over() {
    let (a, b, c) = (node("a", 7), node("b", 3), node("c", 9));
    let ours = certificate(1, &[&a, &b, &c]);
    let wiped = node("b", 2);
    let theirs = certificate(2, &[&a, &wiped, &c]);

    let heard = [says(&with(&wiped, &theirs)), says(&with(&c, &theirs))];

    assert_eq!(at_start("a", 7, &ours, &heard), Tenure::StartOver(ClusterId(1)));
}

fn at_start(name: &str, id: u64, own: &Directory, heard: &[Heard]) -> Tenure {
    let me = Introduction { incarnation: 2, ..with(&node(name, id), own) };
    judge(&me, own, &declared(), heard, Moment::Start)
}
