use super::*;

#[test]
fn a_cluster_is_born_once() {
    let mut directory = born(&[(1, "a"), (2, "b")]);
    let before = directory.clone();

    let again = Change::Born {
        cluster: ClusterId(8),
        slots: SlotTable::dealt(4),
        members: BTreeMap::from([(NodeId(9), member("z"))]),
    };

    assert_eq!(directory.apply(11, again), Err(Refused::BornAlready));
    assert_eq!(directory, before);
    assert_eq!((directory.cluster, directory.version, directory.level), (ClusterId(7), 10, 1));
}

#[test]
fn a_birth_of_nobody_or_of_two_with_one_name_is_refused() {
    for members in [vec![], vec![(1, "a"), (2, "a")]] {
        let mut directory = Directory::default();

        assert_eq!(directory.apply(10, birth(&members)), Err(Refused::BadBirth));
        assert_eq!(directory, Directory::default());
    }
}

#[test]
fn nothing_changes_before_the_birth() {
    let mut directory = Directory::default();

    let up = Change::NodeUp { node: NodeId(1), member: member("a") };

    assert_eq!(directory.apply(3, up), Err(Refused::Unborn));
}

#[test]
fn a_node_that_starts_anew_is_reached_where_it_says() {
    let mut directory = born(&[(1, "a"), (2, "b")]);
    let moved = Member { grpc: "elsewhere:1".into(), incarnation: 2, ..member("b") };

    directory.apply(12, Change::NodeUp { node: NodeId(2), member: moved.clone() }).unwrap();

    assert_eq!((directory.version, directory.members_version), (12, 10));
    assert_eq!(directory.members[&NodeId(2)], moved);
}

#[test]
fn what_a_node_says_twice_is_no_change() {
    let mut directory = born(&[(1, "a")]);
    let up = Change::NodeUp { node: NodeId(1), member: Member { incarnation: 2, ..member("a") } };
    directory.apply(12, up.clone()).unwrap();

    directory.apply(13, up).unwrap();

    assert_eq!(directory.version, 12);
}

#[test]
fn a_start_that_lies_before_the_known_one_is_refused() {
    let mut directory = born(&[(1, "a")]);
    let up = |incarnation| Change::NodeUp { node: NodeId(1), member: Member { incarnation, ..member("a") } };
    directory.apply(12, up(5)).unwrap();

    assert_eq!(directory.apply(13, up(4)), Err(Refused::OldStart { node: NodeId(1), held: 5, said: 4 }));
    assert_eq!(directory.version, 12);
}

#[test]
fn a_new_id_takes_the_place_of_the_old_one_which_never_comes_back() {
    let mut directory = born(&[(1, "a"), (2, "b")]);

    directory.apply(12, replace(10, 2, 5, "b")).unwrap();

    assert_eq!(directory.members.keys().copied().collect::<Vec<_>>(), [NodeId(1), NodeId(5)]);
    assert_eq!(directory.gone, BTreeMap::from([(NodeId(2), 12)]));
    assert_eq!(directory.apply(13, replace(12, 5, 2, "b")), Err(Refused::UsedId(NodeId(2))));
    let up = Change::NodeUp { node: NodeId(2), member: member("b") };
    assert_eq!(directory.apply(14, up), Err(Refused::NoMember(NodeId(2))));
}

#[test]
fn of_two_changes_decided_on_the_same_members_the_second_is_refused() {
    let mut directory = born(&[(1, "a"), (2, "b"), (3, "c")]);

    directory.apply(12, replace(10, 2, 5, "b")).unwrap();

    assert_eq!(directory.apply(13, replace(10, 3, 6, "c")), Err(Refused::Overtaken));
    assert_eq!(directory.apply(14, replace(12, 3, 6, "c")), Ok(()));
}

#[test]
fn a_name_stays_with_one_member() {
    let mut directory = born(&[(1, "a"), (2, "b")]);

    assert_eq!(directory.apply(12, replace(10, 2, 5, "a")), Err(Refused::UsedName("a".into())));
    assert_eq!(directory.apply(13, replace(10, 9, 5, "c")), Err(Refused::NoMember(NodeId(9))));
    let added = Change::MemberAdded { seen: Seen(10), node: NodeId(5), member: member("b") };
    assert_eq!(directory.apply(14, added), Err(Refused::UsedName("b".into())));
    assert!(directory.gone.is_empty() && directory.version == 10);
}

#[test]
fn members_come_and_go_but_the_last_one_stays() {
    let mut directory = born(&[(1, "a")]);
    let added = Change::MemberAdded { seen: Seen(10), node: NodeId(2), member: member("b") };
    let removed = |seen, node| Change::MemberRemoved { seen: Seen(seen), node: NodeId(node) };

    directory.apply(11, added).unwrap();
    directory.apply(12, removed(11, 1)).unwrap();

    assert_eq!(directory.apply(13, removed(12, 2)), Err(Refused::LastMember));
    assert_eq!(directory.id_of("b"), Some(NodeId(2)));
    assert_eq!(directory.id_of("a"), None);
}

#[test]
fn the_level_rises_when_every_member_supports_it_and_never_falls() {
    let mut directory = born(&[(1, "a"), (2, "b")]);
    let up = |node, name, incarnation, level| Change::NodeUp {
        node: NodeId(node),
        member: Member { incarnation, level, ..member(name) },
    };

    directory.apply(11, up(1, "a", 2, 3)).unwrap();
    assert_eq!(directory.level, 1);
    directory.apply(12, up(2, "b", 2, 2)).unwrap();
    assert_eq!(directory.level, 2);
    directory.apply(13, up(2, "b", 3, 1)).unwrap();
    assert_eq!(directory.level, 2);
}

#[test]
fn only_the_last_ids_that_went_are_kept() {
    let mut directory = born(&[(1, "a")]);
    for n in 0..MAX_GONE as u64 + 10 {
        directory.apply(11 + n, replace(10 + n, 1 + n, 2 + n, "a")).unwrap();
    }

    assert_eq!(directory.gone.len(), MAX_GONE);
    assert_eq!(directory.gone.first_key_value(), Some((&NodeId(11), &21)));
}

fn born(members: &[(u64, &str)]) -> Directory {
    let mut directory = Directory::default();
    directory.apply(10, birth(members)).unwrap();
    directory
}

fn birth(members: &[(u64, &str)]) -> Change {
    let members = members.iter().map(|(id, name)| (NodeId(*id), member(name))).collect();
    Change::Born { cluster: ClusterId(7), slots: SlotTable::dealt(1), members }
}

fn replace(seen: u64, old: u64, new: u64, name: &str) -> Change {
    let (old, new) = (NodeId(old), NodeId(new));
    Change::MemberReplaced { seen: Seen(seen), old, new, member: member(name) }
}

fn member(name: &str) -> Member {
    Member {
        name: name.into(),
        grpc: format!("{name}:1"),
        sip: format!("{name}:2"),
        incarnation: 1,
        level: 1,
    }
}
