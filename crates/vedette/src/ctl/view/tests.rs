use std::time::Duration;

use web::json::{Change, Contact, GroupStatus, Member, PresentityCounts, Watcher};

use super::*;

#[test]
fn status_shows_members_leaders_positions_and_counts() {
    let cluster = ClusterStatus { managers: vec![up(1, "leader"), up(2, "follower"), away(3)] };

    let expected = "\
3 managers, 1 not answering; cluster 0000000000000abc, level 1

NAME  ADDRESS         SIP             STATE  UPTIME  LEADS      ID
m1    127.0.0.1:7101  127.0.0.1:7201  up     1h 02m  system, 1   1
m2    127.0.0.1:7102  127.0.0.1:7202  up     1h 02m  -           2
m3    127.0.0.1:7103  127.0.0.1:7203  away        -  -           3

GROUP   NODE  ROLE      LEADER  TERM  LAST LOG  COMMITTED  APPLIED  SNAPSHOT
system  m1    leader    m1         2        42         41       41        10
system  m2    follower  m1         2        42         41       41        10
1       m1    leader    m1         2        42         41       41        10
1       m2    follower  m1         2        42         41       41        10

NODE  PRESENTITIES  PUBLICATIONS  SOURCES  BINDINGS  SUBSCRIPTIONS  OWNED  DIRTY
m1               3             2        0         0              5      0      0
m2               3             2        0         0              5      0      0

127.0.0.1:7103 does not answer: Connection refused (os error 111)";
    assert_eq!(status(&cluster), expected);
}

#[test]
fn a_cluster_of_which_nobody_answers_is_still_shown() {
    let text = status(&ClusterStatus { managers: vec![away(1)] });

    assert!(text.starts_with("1 manager, 1 not answering\n\nNAME"), "{text}");
    assert!(!text.contains("GROUP"), "{text}");
}

#[test]
fn status_fits_the_screen_with_long_names_and_large_numbers() {
    let mut node = up(u64::MAX, "candidate");
    node.address = "vedette-manager-0.vedette-managers.presence.svc.cluster.local:7101".into();
    let status_of = node.status.as_mut().unwrap();
    status_of.name = "vedette-manager-0.vedette-managers".into();
    let group = &mut status_of.groups[0];
    (group.leader, group.last_log, group.applied) = (0, 1_000_000_000_000, 1_000_000_000_000);

    let text = status(&ClusterStatus { managers: vec![node] });

    assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    assert!(text.contains("none"), "{text}");
}

#[test]
fn presence_shows_everything_about_one_presentity() {
    let expected = "\
presentity  sip:alice@vedette.test
status      -
basic       open
activities  away, meal
notes       Lunch | Back at two
held        2 publications, 1 API source, 0 bindings
position    812.3

<presence>
  <tuple/>
</presence>";
    assert_eq!(presence(&alice()), expected);
}

#[test]
fn a_change_is_one_line_that_fits_the_screen() {
    let now = UNIX_EPOCH + Duration::from_secs(86_400 + 3_723);
    assert_eq!(change(&alice(), now), "01:02:03Z  open    away, meal                Lunch | Back at two");
    let busy = PresentityState { status: "donotdisturb".into(), notes: vec![], ..alice() };
    assert_eq!(change(&busy, now), "01:02:03Z  open    donotdisturb              -");

    let notes = vec![format!("two\nlines\u{1b}[2J{}", "x".repeat(200))];
    let line = change(&PresentityState { notes, ..alice() }, now);
    assert!(line.chars().count() == WIDTH && !line.contains(char::is_control), "{line}");
}

#[test]
fn watchers_are_a_table_or_a_word() {
    let watcher = Watcher {
        tenant: String::new(),
        watcher: "sip:bob@vedette.test".into(),
        event: "presence".into(),
        state: "active".into(),
        expires: 605,
        owner: 2,
        owner_name: "m2".into(),
        call_id: "f81d4fae@10.0.0.9".into(),
    };
    let mut found = Watchers { presentity: "sip:alice@vedette.test".into(), watchers: vec![watcher] };

    let expected = "\
1 subscription to sip:alice@vedette.test

WATCHER               EVENT     STATE   EXPIRES  NODE  CALL-ID
sip:bob@vedette.test  presence  active  10m 05s  m2    f81d4fae@10.0.0.9
";
    assert_eq!(watchers(&found), expected);
    found.watchers.clear();
    assert_eq!(watchers(&found), "nobody watches sip:alice@vedette.test");
}

#[test]
fn a_history_is_a_table_or_a_word() {
    let change = |position: &str, what: &str, status: &str, basic: &str| Change {
        position: position.into(),
        at: "2026-03-01T08:00:00.000Z".into(),
        source: "portal".into(),
        what: what.into(),
        status: status.into(),
        basic: basic.into(),
        activities: vec![],
        note: String::new(),
    };
    let changes = vec![change("7.0", "said", "away", "open"), change("9.1", "said", "", "closed")];
    let mut found = History { presentity: "sip:alice@vedette.test".into(), changes };

    let expected = "\
2 changes of sip:alice@vedette.test

AT                        SOURCE  WHAT  STATUS  NOTE  POSITION
2026-03-01T08:00:00.000Z  portal  said  away    -          7.0
2026-03-01T08:00:00.000Z  portal  said  closed  -          9.1
";
    assert_eq!(history(&found), expected);
    found.changes.clear();
    assert_eq!(history(&found), "nothing was said of sip:alice@vedette.test");
}

#[test]
fn what_was_published_is_said_with_its_position() {
    let done = SourceChanged {
        presentity: "sip:alice@vedette.test".into(),
        source: "ctl".into(),
        position: "9.0".into(),
    };
    let set = SetSource { status: "away".into(), note: "Lunch".into(), expires: 3600, contacts: vec![] };

    let line = published(&done, &set);
    assert_eq!(line, "sip:alice@vedette.test is away (Lunch) for 1h 00m, by source ctl, position 9.0");
    let set = SetSource { note: String::new(), expires: 0, ..set };
    let line = published(&done, &set);
    assert_eq!(line, "sip:alice@vedette.test is away until it is removed, by source ctl, position 9.0");
    let contact = Contact { uri: "tel:+4930".into(), priority: 0.8 };
    let line = published(&done, &SetSource { status: String::new(), contacts: vec![contact], ..set });
    assert!(line.starts_with("sip:alice@vedette.test is reached at tel:+4930 until"), "{line}");
}

fn alice() -> PresentityState {
    PresentityState {
        presentity: "sip:alice@vedette.test".into(),
        position: "812.3".into(),
        basic: "open".into(),
        notes: vec!["Lunch".into(), "Back at two".into()],
        activities: vec!["away".into(), "meal".into()],
        status: String::new(),
        counts: PresentityCounts { publications: 2, sources: 1, bindings: 0 },
        document: "<presence>\n  <tuple/>\n</presence>".into(),
    }
}

fn up(node: u64, role: &str) -> ManagerStatus {
    let member = |node| Member {
        node,
        name: format!("m{node}"),
        grpc: format!("127.0.0.1:{}", 7100 + node),
        sip: format!("127.0.0.1:{}", 7200 + node),
    };
    let counts = GroupCounts { presentities: 3, publications: 2, subscriptions: 5, ..GroupCounts::default() };
    let group = GroupStatus {
        group: 1,
        role: role.into(),
        leader: 1,
        term: 2,
        last_log: 42,
        committed: 41,
        applied: 41,
        snapshot: 10,
        voters: vec![1, 2, 3],
        counts,
    };
    let system = GroupStatus { group: 0, counts: GroupCounts::default(), ..group.clone() };
    let (name, cluster) = (format!("m{node}"), "0000000000000abc".into());
    let (members, groups) = ((1..=3).map(member).collect(), vec![system, group]);
    let status = NodeStatus { node, name, cluster, level: 1, uptime: 3_725, members, groups };
    let address = format!("127.0.0.1:710{}", node % 10);
    ManagerStatus { address, reachable: true, error: None, status: Some(status) }
}

fn away(node: u64) -> ManagerStatus {
    let error = Some("Connection refused (os error 111)".into());
    ManagerStatus { address: format!("127.0.0.1:710{node}"), reachable: false, error, status: None }
}
