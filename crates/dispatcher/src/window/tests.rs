//! The rules of the window, with values.

use super::*;
use crate::branch::{self, InnerBranch};
use crate::route::Standing::{self, Doubtful, Down, Live};

const SECOND: Duration = Duration::from_secs(1);
const KEY: Key = Key(7);
const START: Instant = Instant(1_000);
const HALF: Duration = Duration::from_millis(500);

#[test]
fn a_request_goes_to_the_first_in_order() {
    let mut window = window();

    admit(&mut window, KEY, &all(Live), START);

    assert_eq!(sent(&mut window), [Peer(3)]);
}

#[test]
fn a_peer_that_is_not_live_is_passed_over() {
    let mut window = window();

    admit(&mut window, KEY, &seen([Live, Live, Doubtful]), START);

    assert_eq!(sent(&mut window), [Peer(1)]);
}

#[test]
fn a_connected_peer_is_better_than_none() {
    let mut window = window();

    admit(&mut window, KEY, &seen([Doubtful, Down, Down]), START);

    assert_eq!(sent(&mut window), [Peer(1)]);
}

#[test]
fn after_a_second_of_silence_the_next_in_order_gets_it() {
    let mut window = window();
    admit(&mut window, KEY, &all(Live), START);
    sent(&mut window);

    window.handle_timeout(&all(Live), START + Duration::from_millis(999));
    let early = sent(&mut window);
    window.handle_timeout(&all(Live), START + SECOND);

    assert_eq!((early, sent(&mut window)), (vec![], vec![Peer(1)]));
    assert_eq!(window.poll_timeout(), Some(START + 2 * SECOND));
}

#[test]
fn a_refusal_moves_it_on_at_once() {
    let mut window = window();
    admit(&mut window, KEY, &all(Live), START);
    sent(&mut window);

    window.refused(KEY, Peer(3), &all(Live), START);

    assert_eq!(sent(&mut window), [Peer(1)]);
}

#[test]
fn only_when_all_refused_is_the_sender_told() {
    let mut window = window();
    admit(&mut window, KEY, &all(Live), START);

    window.refused(KEY, Peer(3), &all(Live), START);
    window.unsent(KEY, Peer(1), &all(Live), START);
    assert_eq!(sent(&mut window), [Peer(3), Peer(1), Peer(2)]);
    window.refused(KEY, Peer(2), &all(Live), START);
    window.handle_timeout(&all(Live), START + HALF);

    assert_eq!(window.poll_output(), Some(Output::Refuse { request: request() }));
}

#[test]
fn while_one_is_silent_nobody_is_told_503_until_it_refuses_too() {
    let mut window = window();
    admit(&mut window, KEY, &all(Live), START);
    window.handle_timeout(&all(Live), START + SECOND);
    window.refused(KEY, Peer(1), &all(Live), START + SECOND);
    window.refused(KEY, Peer(2), &all(Live), START + SECOND);
    assert_eq!(sent(&mut window), [Peer(3), Peer(1), Peer(2)]);
    window.handle_timeout(&all(Live), START + SECOND + HALF);
    assert_eq!(window.poll_output(), None);

    window.refused(KEY, Peer(3), &all(Live), START + SECOND + HALF);
    window.handle_timeout(&all(Live), START + 2 * SECOND);

    assert_eq!(window.poll_output(), Some(Output::Refuse { request: request() }));
}

#[test]
fn a_repeat_that_crossed_its_answer_is_never_told_503() {
    let mut window = window();
    admit(&mut window, KEY, &all(Live), START);
    window.answered(KEY, START);
    sent(&mut window);

    admit(&mut window, KEY, &all(Down), START + HALF);
    while let Some(due) = window.poll_timeout() {
        window.handle_timeout(&all(Down), due);
    }

    assert_eq!((window.poll_output(), window.poll_output()), (Some(Output::GaveUp), None));
}

// Nobody takes it

#[test]
fn while_nobody_serves_a_request_waits_for_the_first_that_does() {
    let mut window = window();
    admit(&mut window, KEY, &all(Down), START);
    window.handle_timeout(&all(Down), START + 2 * SECOND);
    assert_eq!(window.poll_output(), None);

    window.serving(Peer(2), &seen([Down, Live, Down]), START + 2 * SECOND);

    assert_eq!(sent(&mut window), [Peer(2)]);
}

#[test]
fn after_three_seconds_without_anybody_the_sender_is_told() {
    let mut window = window();
    admit(&mut window, KEY, &all(Down), START);

    let told = loop {
        let due = window.poll_timeout().unwrap();
        window.handle_timeout(&all(Down), due);
        if let Some(output) = window.poll_output() {
            break (due - START, output);
        }
    };

    assert_eq!(told, (3 * SECOND, Output::Refuse { request: request() }));
    assert!(window.is_empty());
}

#[test]
fn a_refusal_by_one_who_serves_is_told_once_that_one_had_time_to_say_otherwise() {
    let mut window = window();
    let alone = seen([Down, Live, Down]);
    admit(&mut window, KEY, &alone, START);
    sent(&mut window);
    window.refused(KEY, Peer(2), &alone, START);

    window.handle_timeout(&alone, START + Duration::from_millis(499));
    assert_eq!(window.poll_output(), None);
    window.handle_timeout(&alone, START + HALF);

    assert_eq!(window.poll_output(), Some(Output::Refuse { request: request() }));
}

#[test]
fn a_refusal_by_one_that_stops_is_not_told_while_another_may_come() {
    let mut window = window();
    admit(&mut window, KEY, &seen([Down, Live, Down]), START);
    sent(&mut window);
    window.refused(KEY, Peer(2), &seen([Down, Live, Down]), START);

    window.handle_timeout(&all(Down), START + HALF);
    assert_eq!(window.poll_output(), None);
    window.serving(Peer(3), &seen([Down, Down, Live]), START + 2 * SECOND);

    assert_eq!(sent(&mut window), [Peer(3)]);
}

#[test]
fn one_that_refused_before_it_served_is_asked_again_when_it_does() {
    let mut window = window();
    let alone = seen([Down, Live, Down]);
    admit(&mut window, KEY, &alone, START);
    window.refused(KEY, Peer(2), &all(Down), START);
    sent(&mut window);

    window.serving(Peer(2), &alone, START + SECOND);

    assert_eq!(sent(&mut window), [Peer(2)]);
}

#[test]
fn who_refused_is_asked_again_as_in_another_transaction() {
    let mut window = window();
    let alone = seen([Down, Live, Down]);
    let branch = InnerBranch { key: KEY, listener: 0, connection: 0 };
    let request = Bytes::from(branch.text());
    window.admit(KEY, request.clone(), order(), Priority::New, &alone, START).unwrap();
    window.refused(KEY, Peer(2), &all(Down), START);
    window.serving(Peer(2), &alone, START + SECOND);

    let copies = std::iter::from_fn(|| match window.poll_output() {
        Some(Output::Send { request, .. }) => Some(request),
        _ => None,
    });

    assert_eq!(copies.collect::<Vec<_>>(), [request.clone(), branch::attempted_again(&request, KEY)]);
}

#[test]
fn who_is_silent_is_asked_again_in_the_same_transaction() {
    let mut window = window();
    let alone = seen([Down, Live, Down]);
    let request = Bytes::from(InnerBranch { key: KEY, listener: 0, connection: 0 }.text());
    window.admit(KEY, request.clone(), order(), Priority::New, &alone, START).unwrap();
    sent(&mut window);
    window.handle_timeout(&alone, START + SECOND);
    window.handle_timeout(&alone, START + 2 * SECOND);

    let again = Output::Send { key: KEY, peer: Peer(2), request, retry: true };
    assert_eq!(window.poll_output(), Some(again));
}

#[test]
fn a_repeat_does_not_ask_again_those_who_refused() {
    let mut window = window();
    let alone = seen([Down, Live, Down]);
    admit(&mut window, KEY, &alone, START);
    window.refused(KEY, Peer(2), &alone, START);
    sent(&mut window);

    admit(&mut window, KEY, &alone, START + Duration::from_millis(100));

    assert_eq!((window.poll_output(), window.len()), (None, 1));
}

#[test]
fn what_waited_goes_out_in_the_order_in_which_it_came() {
    let mut window = window();
    for key in [5, 1, 9, 3] {
        admit(&mut window, Key(key), &all(Down), START);
    }

    window.serving(Peer(1), &seen([Live, Down, Down]), START + SECOND);

    let keys = std::iter::from_fn(|| match window.poll_output() {
        Some(Output::Send { key, .. }) => Some(key.0),
        _ => None,
    });
    assert_eq!(keys.collect::<Vec<_>>(), [5, 1, 9, 3]);
}

// Members that come and go

#[test]
fn one_that_joined_gets_what_waits_for_anybody() {
    let mut window = window();
    window.admit(KEY, request(), Order::new(), Priority::New, &Standings::default(), START).unwrap();
    assert_eq!(window.poll_output(), None);

    window.serving(Peer(9), &[(Peer(9), Live)].into_iter().collect(), START + SECOND);

    assert_eq!(sent(&mut window), [Peer(9)]);
}

#[test]
fn one_that_joined_is_tried_before_the_sender_is_told_503() {
    let mut window = window();
    let with_newcomer: Standings = [(Peer(2), Live), (Peer(9), Live)].into_iter().collect();
    admit(&mut window, KEY, &seen([Down, Live, Down]), START);

    window.refused(KEY, Peer(2), &with_newcomer, START);

    assert_eq!(sent(&mut window), [Peer(2), Peer(9)]);
}

#[test]
fn what_one_that_left_had_goes_to_another() {
    let mut window = window();
    let without: Standings = [(Peer(1), Live), (Peer(2), Live)].into_iter().collect();
    admit(&mut window, KEY, &all(Live), START);

    window.lost(Peer(3), &without, START);

    assert_eq!(sent(&mut window), [Peer(3), Peer(1)]);
}

#[test]
fn a_request_meets_a_bounded_number_of_members() {
    let mut window = window();
    let crowd: Standings = (1..1_000).map(|n| (Peer(n), Live)).collect();
    window.admit(KEY, request(), Order::new(), Priority::New, &crowd, START).unwrap();

    let mut asked = 0;
    while let Some(Output::Send { peer, .. }) = window.poll_output() {
        asked += 1;
        window.refused(KEY, peer, &crowd, START);
    }

    assert_eq!(asked, Peer::MAX);
}

// Fates that nobody knows

#[test]
fn a_copy_lost_with_its_connection_is_never_answered_503_but_tried_again() {
    let mut window = window();
    let gone = seen([Live, Live, Down]);
    admit(&mut window, KEY, &all(Live), START);

    window.lost(Peer(3), &gone, START);
    window.refused(KEY, Peer(1), &gone, START);
    window.refused(KEY, Peer(2), &gone, START);
    let first_round = sent(&mut window);
    window.handle_timeout(&gone, START + SECOND);

    assert_eq!(first_round, [Peer(3), Peer(1), Peer(2)]);
    assert_eq!(sent(&mut window), [Peer(1)]);
}

#[test]
fn rounds_come_ever_more_slowly_and_end_when_the_sender_gave_up() {
    let mut window = window();
    let alone = seen([Down, Live, Down]);
    admit(&mut window, KEY, &alone, START);
    let mut sends = vec![];

    while let Some(due) = window.poll_timeout() {
        if sent(&mut window) == [Peer(2)] {
            sends.push((due - START).as_secs() - 1);
        }
        window.handle_timeout(&alone, due);
    }

    assert_eq!(sends, [0, 2, 5, 10, 19]);
    assert_eq!(window.poll_output(), Some(Output::GaveUp));
    assert!(window.is_empty());
}

#[test]
fn a_copy_that_could_not_be_sent_says_nothing_of_an_earlier_one() {
    let mut window = window();
    let alone = seen([Down, Live, Down]);
    admit(&mut window, KEY, &alone, START);
    window.handle_timeout(&alone, START + SECOND);
    window.handle_timeout(&alone, START + 2 * SECOND);
    assert_eq!(sent(&mut window), [Peer(2), Peer(2)]);

    window.unsent(KEY, Peer(2), &alone, START + 2 * SECOND);

    assert_eq!((window.poll_output(), window.len()), (None, 1));
}

#[test]
fn a_repeat_goes_to_the_peer_that_has_the_request() {
    let mut window = window();
    admit(&mut window, KEY, &all(Live), START);
    window.refused(KEY, Peer(3), &all(Live), START);
    sent(&mut window);

    admit(&mut window, KEY, &all(Live), START + Duration::from_millis(500));

    assert_eq!(sent(&mut window), [Peer(1)]);
    assert_eq!((window.len(), window.poll_timeout()), (1, Some(START + SECOND)));
}

#[test]
fn a_repeat_of_a_resting_request_goes_out_at_once() {
    let mut window = window();
    let alone = seen([Down, Live, Down]);
    admit(&mut window, KEY, &alone, START);
    window.handle_timeout(&alone, START + SECOND);
    sent(&mut window);

    admit(&mut window, KEY, &all(Live), START + SECOND);

    assert_eq!(sent(&mut window), [Peer(3)]);
}

#[test]
fn a_resting_request_goes_at_once_to_one_that_comes_back() {
    let mut window = window();
    let alone = seen([Down, Live, Down]);
    admit(&mut window, KEY, &alone, START);
    window.handle_timeout(&alone, START + SECOND);
    sent(&mut window);

    window.serving(Peer(1), &seen([Live, Live, Down]), START + SECOND);

    assert_eq!(sent(&mut window), [Peer(1)]);
}

#[test]
fn an_answer_removes_the_request_and_its_timer() {
    let mut window = window();
    admit(&mut window, KEY, &all(Live), START);

    assert!(window.answered(KEY, START));

    assert!(!window.answered(KEY, START) && window.is_empty());
    assert_eq!((window.poll_timeout(), window.bytes), (None, 0));
}

#[test]
fn a_full_window_refuses_new_requests_before_those_inside_a_dialog() {
    let mut window = window();
    for n in 0..9 {
        admit(&mut window, Key(n), &all(Live), START);
    }

    let mut attempt = |key, priority| window.admit(Key(key), request(), order(), priority, &all(Live), START);

    assert_eq!(attempt(100, Priority::New), Err(Full));
    assert_eq!(attempt(101, Priority::InDialog), Ok(()));
    assert_eq!(attempt(102, Priority::InDialog), Err(Full));
    assert_eq!(attempt(3, Priority::New), Ok(()), "a repeat takes no room");
}

#[test]
fn the_bytes_of_the_requests_are_bounded_too() {
    let mut window = Window::new(Bounds { bytes: 10, ..bounds() });
    admit(&mut window, Key(1), &all(Live), START);

    let second = window.admit(Key(2), request(), order(), Priority::InDialog, &all(Live), START);

    assert_eq!(second, Err(Full));
}

fn bounds() -> Bounds {
    Bounds {
        requests: 10,
        bytes: 1_000,
        patience: SECOND,
        hold: 3 * SECOND,
        pause: HALF,
        give_up: 32 * SECOND,
        answered: 8,
    }
}

fn window() -> Window {
    Window::new(bounds())
}

fn request() -> Bytes {
    Bytes::from_static(b"request")
}

fn order() -> Order {
    Order::from_slice(&[Peer(3), Peer(1), Peer(2)])
}

fn admit(window: &mut Window, key: Key, standings: &Standings, now: Instant) {
    window.admit(key, request(), order(), Priority::New, standings, now).unwrap();
}

/// What is seen of the peers 1, 2 and 3.
fn seen(standings: [Standing; 3]) -> Standings {
    (1..).map(Peer).zip(standings).collect()
}

fn all(standing: Standing) -> Standings {
    seen([standing; 3])
}

/// The peers that the outputs up to now name; stops at the first output of another kind.
fn sent(window: &mut Window) -> Vec<Peer> {
    let mut peers = vec![];
    while let Some(Output::Send { peer, .. }) = window.outputs.front() {
        peers.push(*peer);
        window.poll_output();
    }
    peers
}
