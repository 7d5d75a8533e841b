use std::sync::LazyLock;

use placement::SlotTable;

use super::*;
use crate::config::DeclaredMember;

#[test]
fn only_when_all_answer_the_lowest_id_founds() {
    let (a, b, c) = (node("a", 7), node("b", 3), node("c", 9));

    assert_eq!(judge(&b, &declared(), &[says(&a), says(&c)]), Verdict::Initialise(founders(&[&a, &b, &c])));
    assert_eq!(judge(&a, &declared(), &[says(&b), says(&c)]), Verdict::Wait(Waiting::Founder("b".into())));
    for heard in [vec![], vec![says(&a), silent("c")], vec![silent("a"), says(&c)]] {
        let verdict = judge(&b, &declared(), &heard);
        assert!(matches!(verdict, Verdict::Wait(Waiting::Silent(_))), "{verdict:?}");
    }
}

#[test]
fn nobody_founds_a_cluster_where_the_data_of_another_was_set_aside() {
    let (a, b, c) = (node("a", 7), set_aside("b", 3), set_aside("c", 9));
    let waiting =
        |who: &[&str]| Verdict::Wait(Waiting::SetAside(who.iter().map(ToString::to_string).collect()));

    assert_eq!(judge(&b, &declared(), &[says(&a), says(&c)]), waiting(&["b", "c"]));
    assert_eq!(judge(&a, &declared(), &[says(&b), says(&c)]), waiting(&["b", "c"]));
    assert_eq!(judge(&b, &declared(), &[says(&a), says(&node("c", 9))]), waiting(&["b"]));
    // The one that is silent may be the one that has the data.
    let verdict = judge(&b, &declared(), &[says(&a), silent("c")]);
    assert!(matches!(verdict, Verdict::Wait(Waiting::Silent(_))), "{verdict:?}");
}

#[test]
fn a_node_whose_store_was_set_aside_joins_a_cluster_that_lives() {
    let (a, b, c) = (node("a", 7), node("b", 3), node("c", 9));
    let living = with(&b, &born(&certificate(1, &[&a, &b, &c])));

    let verdict = judge(&set_aside("c", 4), &declared(), &[says(&set_aside("a", 8)), says(&living)]);

    assert_eq!(verdict, Verdict::Join { cluster: ClusterId(1), at: vec!["b:1".into()] });
}

#[test]
fn an_operator_is_told_whose_data_was_set_aside_and_what_to_do() {
    let text = Waiting::SetAside(vec!["b".into(), "c".into()]).to_string();

    assert!(text.contains(": b, c belonged to one and set their stores aside; start a member"), "{text}");
    assert!(text.ends_with("or empty all data folders, quarantine included, to begin anew"), "{text}");
}

#[test]
fn whoever_is_missed_is_named_with_the_reason() {
    let Verdict::Wait(waiting) = judge(&node("a", 1), &declared(), &[says(&node("b", 2)), silent("c")])
    else {
        panic!("nothing is born without all");
    };

    assert_eq!(waiting.to_string(), "waiting for c (c:1: connection refused)");
}

#[test]
fn an_address_that_leads_to_another_member_is_no_answer() {
    let astray = Heard { name: "c".into(), ..says(&node("b", 2)) };

    let verdict = judge(&node("a", 1), &declared(), &[says(&node("b", 2)), astray]);

    assert_eq!(verdict, Verdict::Wait(Waiting::Silent(vec!["c (b:1 answers as b)".into()])));
}

#[test]
fn lists_that_differ_are_refused_at_once() {
    let other = Introduction { declared: 99, ..node("b", 2) };

    let verdict = judge(&node("a", 1), &declared(), &[says(&other), silent("c")]);

    assert_eq!(verdict, Verdict::Refuse(Refusal::ListsDiffer("b".into())));
}

#[test]
fn one_id_twice_and_one_name_twice_are_refused() {
    let (a, same_id) = (node("a", 1), node("b", 1));
    let same_name = Heard { address: "old:1".into(), ..says(&node("a", 5)) };

    assert_eq!(judge(&a, &declared(), &[says(&same_id)]), Verdict::Refuse(Refusal::SameId("b".into())));
    let refused = Refusal::SameName { name: "a".into(), id: NodeId(5), address: "old:1".into() };
    assert_eq!(judge(&a, &declared(), &[same_name]), Verdict::Refuse(refused));
}

#[test]
fn a_certificate_that_names_us_is_adopted_whoever_is_silent() {
    let (a, b, c) = (node("a", 7), node("b", 3), node("c", 9));
    let certificate = certificate(1, &[&a, &b, &c]);
    let founder = Introduction { directory: Some(certificate.clone()), ..b };

    assert_eq!(judge(&c, &declared(), &[silent("a"), says(&founder)]), Verdict::Adopt(certificate));
}

#[test]
fn a_birth_that_does_not_name_us_is_awaited_and_a_born_cluster_is_joined() {
    let (a, b, c) = (node("a", 7), node("b", 3), node("c", 9));
    let certificate = certificate(1, &[&a, &b, &c]);
    let (unborn, born) = (with(&b, &certificate), with(&b, &born(&certificate)));
    let newcomer = node("c", 4);

    let waiting = judge(&newcomer, &declared(), &[says(&a), says(&unborn)]);
    let joining = judge(&newcomer, &declared(), &[says(&a), says(&born)]);

    assert_eq!(waiting, Verdict::Wait(Waiting::Birth(ClusterId(1))));
    assert_eq!(joining, Verdict::Join { cluster: ClusterId(1), at: vec!["b:1".into()] });
}

#[test]
fn of_a_born_and_an_interrupted_cluster_the_born_one_counts() {
    let (a, b, c) = (node("a", 7), node("b", 3), node("c", 9));
    let one = with(&a, &certificate(1, &[&a, &b, &c]));
    let two = with(&b, &born(&certificate(2, &[&a, &b, &c])));

    assert!(matches!(judge(&c, &declared(), &[says(&one), says(&two)]), Verdict::Adopt(it) if it.is_born()));
    let both = [says(&with(&a, &born(&certificate(1, &[&a])))), says(&two)];
    let refused = Refusal::TwoClusters(ClusterId(1), ClusterId(2));
    assert_eq!(judge(&c, &declared(), &both), Verdict::Refuse(refused));
}

#[test]
fn an_id_that_was_replaced_before_it_adopted_is_refused() {
    let (a, b, c) = (node("a", 7), node("b", 3), node("c", 9));
    let mut directory = born(&certificate(1, &[&a, &b]));
    directory.gone.insert(c.id, 20);

    let verdict = judge(&c, &declared(), &[says(&with(&a, &directory))]);

    assert_eq!(verdict, Verdict::Refuse(Refusal::Gone { name: "c".into(), id: c.id }));
}

#[test]
fn a_build_that_is_too_old_for_the_cluster_does_not_join_it() {
    let (a, b) = (node("a", 7), node("b", 3));
    let directory = Directory { level: 5, ..born(&certificate(1, &[&a, &b])) };

    let verdict = judge(&b, &declared(), &[says(&with(&a, &directory))]);

    assert_eq!(verdict, Verdict::Refuse(Refusal::OldBuild { needed: 5, ours: 1 }));
}

pub fn declared() -> Declared {
    let member = |name: &str| DeclaredMember { name: name.into(), grpc: format!("{name}:1") };
    Declared { members: ["a", "b", "c"].map(member).into(), groups: 1 }
}

pub fn node(name: &str, id: u64) -> Introduction {
    Introduction {
        name: name.into(),
        id: NodeId(id),
        incarnation: 1,
        declared: 42,
        sip: format!("{name}:2"),
        level: 1,
        set_aside: false,
        directory: None,
    }
}

fn set_aside(name: &str, id: u64) -> Introduction {
    Introduction { set_aside: true, ..node(name, id) }
}

pub fn with(node: &Introduction, directory: &Directory) -> Introduction {
    Introduction { directory: Some(directory.clone()), ..node.clone() }
}

pub fn certificate(cluster: u64, nodes: &[&Introduction]) -> Directory {
    // The model asks for very many of them.
    static SLOTS: LazyLock<SlotTable> = LazyLock::new(|| SlotTable::dealt(1));
    Directory::certificate(ClusterId(cluster), SLOTS.clone(), founders(nodes))
}

pub fn born(certificate: &Directory) -> Directory {
    Directory { version: 10, members_version: 10, ..certificate.clone() }
}

pub fn says(node: &Introduction) -> Heard {
    Heard { name: node.name.clone(), address: format!("{}:1", node.name), said: Ok(node.clone()) }
}

pub fn silent(name: &str) -> Heard {
    Heard { name: name.into(), address: format!("{name}:1"), said: Err("connection refused".into()) }
}

fn founders(nodes: &[&Introduction]) -> BTreeMap<NodeId, Member> {
    nodes.iter().map(|node| (node.id, node.member(&format!("{}:1", node.name)))).collect()
}
