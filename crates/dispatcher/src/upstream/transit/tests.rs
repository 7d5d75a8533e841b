//! One request after another is sent off, and servers answer or do not.

use sip::Transport;

use super::*;

const BOUNDS: Bounds = Bounds {
    requests: 3,
    bytes: 1_000,
    of_source: 3,
    taken: 2,
    silence: Duration::from_secs(4),
    give_up: Duration::from_secs(32),
    ringing: Duration::from_secs(200),
    shun: Duration::from_secs(30),
};

#[test]
fn a_request_goes_to_the_first_server_and_its_answer_to_the_phone() {
    let mut transit = sent(1, &[A, B], 0);

    assert_eq!(sends(&mut transit), [(1, A, 0)]);
    assert_eq!(transit.heard(Key(1), final_(0, 200), at(100)), Passage::Pass);
    assert_eq!(transit.heard(Key(1), final_(0, 200), at(110)), Passage::Absorb, "one answer is enough");
    assert_eq!(transit.unanswered(), 0);
}

#[test]
fn after_a_503_the_next_server_is_tried_and_the_last_503_is_the_phones() {
    let mut transit = sent(1, &[A, B], 0);
    sends(&mut transit);

    assert_eq!(transit.heard(Key(1), final_(0, 503), at(100)), Passage::Absorb);
    assert_eq!(sends(&mut transit), [(1, B, 1)]);
    assert_eq!(transit.heard(Key(1), final_(0, 503), at(110)), Passage::Absorb, "a repeat");
    assert_eq!(transit.heard(Key(1), final_(1, 503), at(200)), Passage::Pass);
}

#[test]
fn a_server_that_says_nothing_is_followed_by_the_next_after_four_seconds() {
    let mut transit = sent(1, &[A, B], 0);
    sends(&mut transit);

    transit.handle_timeout(at(3_999));
    assert!(sends(&mut transit).iter().all(|(_, target, _)| *target == A));
    transit.handle_timeout(at(4_000));

    assert_eq!(sends(&mut transit), [(1, B, 1)]);
}

#[test]
fn a_server_that_can_not_be_reached_is_followed_by_the_next_and_after_the_last_the_phone_hears_503() {
    let mut transit = sent(1, &[A, B], 0);
    sends(&mut transit);

    transit.failed(A, at(100));
    assert_eq!(sends(&mut transit), [(1, B, 1)]);
    transit.failed(B, at(200));

    assert_eq!(transit.poll_output(), Some(Output::Refuse { request: "1" }));
    assert_eq!(transit.unanswered(), 0);
}

#[test]
fn who_failed_is_asked_last_for_a_while_and_at_once_again_when_it_has_answered() {
    let mut transit = sent(1, &[A, B], 0);
    transit.failed(A, at(0));
    sends(&mut transit);
    transit.heard(Key(1), final_(1, 200), at(10));

    let ranked = transit.ranked(targets(&[A, B]), at(1_000));
    transit.admit(Key(2), "2", bytes(10), ranked, at(1_000)).unwrap();
    assert_eq!(sends(&mut transit), [(2, B, 0)]);
    assert_eq!(transit.ranked(targets(&[A, B]), at(30_000))[0], A);

    transit.failed(B, at(1_500));
    assert_eq!(sends(&mut transit), [(2, A, 1)]);
    transit.heard(Key(2), final_(1, 200), at(1_600));
    assert_eq!(transit.ranked(targets(&[B, A]), at(1_700))[0], A);
}

#[test]
fn over_udp_an_unheard_request_is_repeated_ever_more_slowly_and_over_tcp_not() {
    let copies = |target| {
        let mut transit = sent(1, &[target], 0);
        (0..10_000)
            .step_by(100)
            .filter(|now| {
                transit.handle_timeout(at(*now));
                !sends(&mut transit).is_empty()
            })
            .collect::<Vec<_>>()
    };

    assert_eq!(copies(A), [0, 500, 1_500, 3_500, 7_500]);
    assert_eq!(copies(OVER_TCP), [0]);
}

#[test]
fn a_call_that_rings_is_not_repeated_and_its_cancel_knows_the_way() {
    let mut transit = sent(1, &[A, B], 0);
    transit.heard(Key(1), final_(0, 503), at(10));
    sends(&mut transit);

    assert_eq!(transit.heard(Key(1), call(1, 100), at(20)), Passage::Pass);
    assert_eq!(transit.heard(Key(1), call(1, 180), at(30)), Passage::Pass);
    transit.handle_timeout(at(100_000));

    assert_eq!(sends(&mut transit), []);
    assert_eq!(transit.way(Key(1)), Some(Way { target: B, attempt: 1 }));
    assert_eq!(transit.heard(Key(1), call(1, 200), at(100_001)), Passage::Pass);
    assert_eq!(
        transit.heard(Key(1), call(1, 200), at(100_002)),
        Passage::Pass,
        "from another branch of a fork"
    );
}

#[test]
fn a_repeat_of_what_was_taken_goes_the_same_way_and_of_what_is_tried_nowhere() {
    let mut transit = sent(1, &[A, B], 0);
    sends(&mut transit);
    transit.admit(Key(1), "1", bytes(10), targets(&[B, A]), at(100)).unwrap();
    assert_eq!(sends(&mut transit), []);
    transit.heard(Key(1), final_(0, 200), at(200));

    transit.admit(Key(1), "1", bytes(10), targets(&[B, A]), at(300)).unwrap();

    assert_eq!(sends(&mut transit), [(1, A, 0)]);
    assert_eq!(transit.heard(Key(1), final_(0, 200), at(310)), Passage::Pass, "the first one was lost");
    assert_eq!(transit.heard(Key(1), final_(0, 200), at(320)), Passage::Absorb);
}

#[test]
fn the_servers_are_asked_in_the_order_in_which_they_are_given() {
    let mut transit = sent(1, &[A], 0);
    transit.failed(A, at(0));
    while transit.poll_output().is_some() {}

    transit.admit(Key(2), "2", bytes(10), targets(&[A, B]), at(10)).unwrap();

    assert_eq!(sends(&mut transit), [(2, A, 0)], "the server of a dialog, say");
}

#[test]
fn what_was_cancelled_goes_to_no_further_server() {
    let mut transit = sent(1, &[A, B], 0);
    sends(&mut transit);

    transit.cancelled(Key(1));
    let passage = transit.heard(Key(1), call(0, 503), at(10));

    assert_eq!((passage, sends(&mut transit)), (Passage::Pass, vec![]));
}

#[test]
fn a_server_that_was_given_up_on_cannot_refuse_what_another_one_took() {
    let mut transit = sent(1, &[A, B], 0);
    transit.handle_timeout(at(4_000));
    transit.heard(Key(1), call(1, 180), at(4_100));

    let refused = transit.heard(Key(1), call(0, 486), at(4_200));

    assert!(
        matches!(refused, Passage::Acknowledge { way: Way { target: A, attempt: 0 }, .. }),
        "{refused:?}"
    );
    assert_eq!(transit.heard(Key(1), call(1, 200), at(4_300)), Passage::Pass);
}

#[test]
fn nobody_is_told_408_and_the_request_is_forgotten_in_the_end() {
    let mut transit = sent(1, &[A], 0);
    transit.handle_timeout(at(31_999));
    sends(&mut transit);

    transit.handle_timeout(at(32_000));

    assert_eq!(transit.poll_output(), Some(Output::GaveUp));
    assert_eq!((transit.unanswered(), transit.shares.is_untaken(), transit.poll_timeout()), (0, true, None));
}

#[test]
fn what_is_tried_and_what_was_taken_have_bounds() {
    let mut transit = sent(1, &[A], 0);
    transit.admit(Key(2), "2", bytes(10), targets(&[A]), at(0)).unwrap();
    assert_eq!(transit.admit(Key(9), "9", bytes(1_000), targets(&[A]), at(0)), Err(TooMuch::InAll));
    assert_eq!(transit.admit(Key(9), "9", bytes(10), targets(&[]), at(0)), Err(TooMuch::InAll));
    transit.admit(Key(3), "3", bytes(10), targets(&[A]), at(0)).unwrap();
    assert_eq!(transit.admit(Key(4), "4", bytes(10), targets(&[A]), at(0)), Err(TooMuch::InAll));

    for key in 1..=3 {
        transit.heard(Key(key), final_(0, 200), at(u64::try_from(key).unwrap()));
    }

    assert_eq!([1, 2, 3].map(|key| transit.way(Key(key)).is_some()), [false, true, true]);
    assert_eq!(transit.entries.len(), transit.endings.len());
    transit.handle_timeout(at(100_000));
    assert!(transit.entries.is_empty() && transit.shares.is_untaken());
}

const A: Target = target(1, Transport::Udp);
const B: Target = target(2, Transport::Udp);
const OVER_TCP: Target = target(3, Transport::Tcp);

const fn target(number: u8, transport: Transport) -> Target {
    let ip = std::net::Ipv4Addr::new(192, 0, 2, number);
    Target { transport, address: std::net::SocketAddr::new(std::net::IpAddr::V4(ip), 5060) }
}

fn targets(each: &[Target]) -> Targets {
    each.iter().copied().collect()
}

fn sent(key: u128, each: &[Target], now: u64) -> Transit<&'static str> {
    let mut transit = Transit::new(BOUNDS);
    transit.admit(Key(key), "1", bytes(10), targets(each), at(now)).unwrap();
    transit
}

fn sends(transit: &mut Transit<&'static str>) -> Vec<(u128, Target, u8)> {
    let mut sends = Vec::new();
    while let Some(output) = transit.poll_output() {
        match output {
            Output::Send { key, target, attempt, .. } => sends.push((key.0, target, attempt)),
            other => panic!("{other:?}"),
        }
    }
    sends
}

fn final_(attempt: u8, status: u16) -> Word {
    Word { attempt, status, is_call: false }
}

fn call(attempt: u8, status: u16) -> Word {
    Word { is_call: true, ..final_(attempt, status) }
}

fn at(milliseconds: u64) -> Instant {
    Instant(milliseconds)
}

fn bytes(bytes: usize) -> Toll {
    Toll { bytes, source: None }
}

#[test]
fn who_refuses_a_call_that_another_is_asked_for_hears_an_ack_then_and_later() {
    let refused = |attempt, status| Word { attempt, status, is_call: true };
    let ack = |target, attempt| Passage::Acknowledge { request: "1", way: Way { target, attempt } };
    let mut transit = sent(1, &[A, B], 0);
    sends(&mut transit);

    assert_eq!(transit.heard(Key(1), refused(0, 503), at(100)), ack(A, 0));
    assert_eq!(transit.heard(Key(1), refused(0, 503), at(600)), ack(A, 0), "it has not heard the first");
    assert_eq!(transit.heard(Key(1), refused(1, 180), at(700)), Passage::Pass);
    assert_eq!(transit.heard(Key(1), refused(0, 503), at(1_600)), ack(A, 0));
    assert_eq!(
        transit.heard(Key(1), refused(1, 486), at(1_700)),
        Passage::Pass,
        "the phone sees to this one"
    );

    transit.handle_timeout(at(300_000));
    assert!(transit.shares.is_untaken(), "what was kept for it is let go");
}

#[test]
fn repeats_that_come_faster_than_anybody_repeats_are_not_taken_further() {
    let mut transit = sent(1, &[A], 0);
    sends(&mut transit);
    transit.heard(Key(1), final_(0, 200), at(10));

    let further = (0..1_000).filter(|n| {
        transit.admit(Key(1), "1", bytes(10), targets(&[A]), at(20 + n)).unwrap();
        !sends(&mut transit).is_empty()
    });

    assert_eq!(further.count(), 5);
}
