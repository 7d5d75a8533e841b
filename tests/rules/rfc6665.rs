//! RFC 6665, and RFC 3856 where it says more of presence: the notifier as a watcher sees it.

use presence_agent::config::Expires;
use sip::{Message, Method, Name};

use crate::phone::{OPEN, PHONE, body, cseq, header, publish, statuses, subscribe, text, to_tag};
use crate::server::{Server, config, udp};

const PRESENCE: &str = "Event: presence\nExpires: 600\n";

/// The answer and the NOTIFY after it, which the phone has accepted.
fn subscribed(server: &mut Server, request: &str) -> (Message, Message) {
    let mut told = server.hears(&udp(PHONE), request);
    assert_eq!(told.len(), 2, "{told:?}");
    let (notify, answer) = (told.pop().unwrap(), told.pop().unwrap());
    assert_eq!(answer.status(), Some(200), "{}", text(&answer));
    assert_eq!(notify.method(), Method::Notify);
    assert!(server.replies(&udp(PHONE), &notify, 200).is_empty());
    (answer, notify)
}

#[test]
fn a_notify_follows_every_2xx_and_never_comes_before_it() {
    let mut server = Server::open();

    let (answer, first) = subscribed(&mut server, &subscribe(1, "", PRESENCE));
    let tag = to_tag(&answer);
    let (_, refreshed) = subscribed(&mut server, &subscribe(2, &tag, PRESENCE));
    let (_, last) = subscribed(&mut server, &subscribe(3, &tag, "Event: presence\nExpires: 0\n"));

    for notify in [&first, &refreshed] {
        assert_eq!(header(notify, Name::SubscriptionState), "active;expires=600");
    }
    assert_eq!(header(&last, Name::SubscriptionState), "terminated;reason=timeout");
    assert_eq!([&first, &refreshed, &last].map(to_tag), ["b"; 3]);
}

#[test]
fn a_subscribe_is_answered_200_and_not_202_even_while_approval_is_pending() {
    let mut server = Server::asking();
    server.approval_waits = true;
    let challenge = server.answers(&udp(PHONE), &subscribe(1, "", PRESENCE));
    let request = subscribe(2, "", &format!("{PRESENCE}{}", authorization(&challenge)));

    let told = server.hears(&udp(PHONE), &request);

    assert_eq!(statuses(&told), [200]);
    assert_eq!(header(&told[1], Name::SubscriptionState), "pending;expires=600");
    assert_eq!(body(&told[1]), "", "nothing is shown");
}

#[test]
fn a_2xx_says_how_long_and_never_longer_than_asked() {
    for (asked, granted) in
        [("Expires: 60\n", "60"), ("Expires: 4294967295\n", "86400"), ("", "3600"), ("Expires: 0\n", "0")]
    {
        let more = format!("Event: presence\n{asked}");

        let told = Server::open().hears(&udp(PHONE), &subscribe(1, "", &more));

        assert_eq!(header(&told[0], Name::Expires), granted, "{asked}");
    }
}

#[test]
fn a_notify_never_says_a_longer_life_than_the_2xx() {
    let mut server = Server::open();
    subscribed(&mut server, &subscribe(1, "", PRESENCE));
    server.pass(100_000);

    let told = server.hears(&udp(PHONE), &publish(1, "Event: presence\n", OPEN));

    let notify = told.iter().find(|message| message.method() == Method::Notify).unwrap();
    assert_eq!(header(notify, Name::SubscriptionState), "active;expires=500");
}

#[test]
fn a_423_names_the_least_and_is_never_the_answer_to_zero() {
    let least = || {
        let mut config = config(true);
        config.subscribe = Expires { min: 120, ..Expires::default() };
        Server::with(config)
    };

    let brief = least().answers(&udp(PHONE), &subscribe(1, "", "Event: presence\nExpires: 119\n"));
    let enough = least().hears(&udp(PHONE), &subscribe(1, "", "Event: presence\nExpires: 120\n"));
    let fetch = least().hears(&udp(PHONE), &subscribe(1, "", "Event: presence\nExpires: 0\n"));

    assert_eq!((brief.status(), header(&brief, Name::MinExpires)), (Some(423), "120"));
    assert_eq!([statuses(&enough), statuses(&fetch)], [[200], [200]]);
}

#[test]
fn a_fetch_shows_the_full_state_once_and_leaves_nothing() {
    let mut server = Server::open();
    server.hears(&udp(PHONE), &publish(1, "Event: presence\n", OPEN));

    let (answer, notify) = subscribed(&mut server, &subscribe(1, "", "Event: presence\nExpires: 0\n"));

    assert_eq!(header(&answer, Name::Expires), "0");
    assert_eq!(header(&notify, Name::SubscriptionState), "terminated;reason=timeout");
    assert!(body(&notify).contains("<basic>open</basic>"), "{}", body(&notify));
    assert_eq!(server.subscriptions(), 0);
}

#[test]
fn an_unknown_or_missing_event_is_answered_489_with_allow_events() {
    for event in ["Event: dialog\n", "Event: Presence\n", "Event: presence.winfo\n", ""] {
        let answer = Server::open().answers(&udp(PHONE), &subscribe(1, "", event));

        assert_eq!((answer.status(), header(&answer, Name::AllowEvents)), (Some(489), "presence"), "{event}");
    }
}

#[test]
fn two_events_in_one_request_are_answered_400() {
    let answer =
        Server::open().answers(&udp(PHONE), &subscribe(1, "", "Event: presence\nEvent: presence;id=2\n"));

    assert_eq!(answer.status(), Some(400));
}

#[test]
fn an_accept_that_names_no_format_of_ours_is_answered_406() {
    let more = format!("{PRESENCE}Accept: application/xpidf+xml, text/plain\n");

    let answer = Server::open().answers(&udp(PHONE), &subscribe(1, "", &more));

    assert_eq!((answer.status(), header(&answer, Name::Accept)), (Some(406), "application/pidf+xml"));
}

#[test]
fn a_body_is_of_a_type_that_the_watcher_accepts_or_of_the_packages_own() {
    for accept in ["", "Accept: application/pidf+xml, application/xpidf+xml\n", "Accept: */*\n", "Accept:\n"]
    {
        let more = format!("{PRESENCE}{accept}");

        let (_, notify) = subscribed(&mut Server::open(), &subscribe(1, "", &more));

        assert_eq!(header(&notify, Name::ContentType), "application/pidf+xml", "{accept}");
    }
}

#[test]
fn the_event_id_is_echoed_and_is_part_of_the_match() {
    let mut server = Server::open();
    let (answer, notify) = subscribed(&mut server, &subscribe(1, "", "Event: presence;id=7\nExpires: 600\n"));
    let tag = to_tag(&answer);

    let other = server.answers(&udp(PHONE), &subscribe(2, &tag, "Event: presence;id=8\nExpires: 600\n"));
    let none = server.answers(&udp(PHONE), &subscribe(3, &tag, PRESENCE));
    let (_, same) = subscribed(&mut server, &subscribe(4, &tag, "Event: presence;id=7\nExpires: 600\n"));

    assert_eq!([&notify, &same].map(|notify| header(notify, Name::Event)), ["presence;id=7"; 2]);
    assert_eq!([other, none].map(|answer| answer.status()), [Some(481); 2]);
}

#[test]
fn a_refresh_in_a_dialog_that_we_did_not_make_is_answered_481() {
    let mut server = Server::open();
    let (answer, _) = subscribed(&mut server, &subscribe(1, "", PRESENCE));
    let tag = to_tag(&answer);

    let invented = server.answers(&udp(PHONE), &subscribe(2, "invented", PRESENCE));
    let stolen = subscribe(3, &tag, PRESENCE).replace("Call-ID: watch", "Call-ID: other");
    let stolen = server.answers(&udp(PHONE), &stolen);

    assert_eq!([invented, stolen].map(|answer| answer.status()), [Some(481); 2]);
    assert_eq!(server.subscriptions(), 1);
}

#[test]
fn a_481_to_a_notify_ends_the_subscription() {
    for status in [481, 489, 405, 501] {
        let mut server = Server::open();
        let (answer, _) = subscribed(&mut server, &subscribe(1, "", PRESENCE));
        let notified = server.hears(&udp(PHONE), &publish(1, "Event: presence\n", OPEN));

        server.replies(&udp(PHONE), notified.last().unwrap(), status);

        let refresh = server.answers(&udp(PHONE), &subscribe(2, &to_tag(&answer), PRESENCE));
        assert_eq!(refresh.status(), Some(481), "{status}");
        assert!(server.pass(120_000).is_empty(), "{status}: nothing more is sent");
    }
}

#[test]
fn a_dialog_that_is_said_to_lead_nowhere_ends_when_the_next_try_finds_the_same() {
    for status in [404, 410, 416, 482, 484, 485, 502, 604] {
        let mut server = Server::open();
        let (answer, _) = subscribed(&mut server, &subscribe(1, "", PRESENCE));
        let notified = server.hears(&udp(PHONE), &publish(1, "Event: presence\n", OPEN));

        assert!(server.replies(&udp(PHONE), notified.last().unwrap(), status).is_empty());
        let again = server.pass(33_000);
        assert_eq!(again.len(), 1, "{status}: it is tried once more");
        server.replies(&udp(PHONE), &again[0], status);

        let refresh = server.answers(&udp(PHONE), &subscribe(2, &to_tag(&answer), PRESENCE));
        assert_eq!(refresh.status(), Some(481), "{status}");
        assert!(server.pass(120_000).is_empty(), "{status}: nothing more is sent");
    }
}

#[test]
fn a_way_that_was_wrong_for_a_while_ends_no_subscription() {
    let mut server = Server::open();
    let told = server.hears(&udp(PHONE), &subscribe(1, "", PRESENCE));
    server.replies(&udp(PHONE), &told[1], 404);
    let told = server.pass(33_000);
    server.replies(&udp(PHONE), &told[0], 200);

    let told = server.hears(&udp(PHONE), &publish(1, "Event: presence\n", OPEN));
    server.replies(&udp(PHONE), &told[1], 404);

    assert_eq!(server.pass(33_000).len(), 1, "the first time again");
    assert_eq!(server.subscriptions(), 1);
}

#[test]
fn a_retry_after_in_the_refusal_of_a_notify_says_when_it_is_sent_again() {
    for status in [404, 480, 500, 503] {
        let mut server = Server::open();
        let told = server.hears(&udp(PHONE), &subscribe(1, "", PRESENCE));

        assert!(server.refuses(&udp(PHONE), &told[1], status, 5).is_empty());
        let published = server.hears(&udp(PHONE), &publish(1, "Event: presence\n", OPEN));
        assert_eq!(statuses(&published), [200]);
        assert_eq!(published.len(), 1, "{status}: a change does not cut the pause short");

        assert!(server.pass(4_000).is_empty(), "{status}");
        let again = server.pass(1_500);
        assert_eq!(again.len(), 1, "{status}");
        assert!(body(&again[0]).contains("open"), "{status}: the newest state");
    }
}

#[test]
fn any_other_refusal_of_a_notify_leaves_the_subscription_and_is_tried_again() {
    for status in [400, 401, 408, 430, 480, 500, 503, 603] {
        let mut server = Server::open();
        let told = server.hears(&udp(PHONE), &subscribe(1, "", PRESENCE));

        assert!(server.replies(&udp(PHONE), &told[1], status).is_empty(), "{status}: not at once");

        let again = server.pass(33_000);
        assert_eq!(again.len(), 1, "{status}");
        assert!(cseq(&again[0]) > cseq(&told[1]), "{status}: a new request, not the old one");
    }
}

#[test]
fn an_expired_subscription_is_told_so_once_and_a_refresh_comes_too_late() {
    let mut server = Server::open();
    let (answer, _) = subscribed(&mut server, &subscribe(1, "", PRESENCE));

    let mut told = server.pass(601_000);
    told.extend(server.pass(1_000));

    assert_eq!(header(&told[0], Name::SubscriptionState), "terminated;reason=timeout");
    server.replies(&udp(PHONE), &told[0], 200);
    let late = server.answers(&udp(PHONE), &subscribe(2, &to_tag(&answer), PRESENCE));
    assert_eq!(late.status(), Some(481));
    assert!(server.hears(&udp(PHONE), &publish(1, "Event: presence\n", OPEN)).len() == 1, "the answer only");
}

#[test]
fn a_subscribe_without_exactly_one_contact_is_answered_400() {
    let without = subscribe(1, "", PRESENCE).replace("Contact: <sip:bob@10.0.0.7:5062>\n", "");
    let two = subscribe(1, "", &format!("{PRESENCE}Contact: <sip:bob@10.0.0.9:5062>\n"));

    for request in [without, two] {
        assert_eq!(Server::open().answers(&udp(PHONE), &request).status(), Some(400));
    }
}

#[test]
fn a_2xx_to_subscribe_carries_allow_events_and_a_proxy_never_adds_it() {
    let mut server = Server::open();

    let forwarded = server.forwarded(&udp(PHONE), &subscribe(1, "", PRESENCE));
    let (answer, notify) = subscribed(&mut server, &subscribe(1, "", PRESENCE));

    assert_eq!(forwarded.header(Name::AllowEvents), None);
    assert_eq!(header(&answer, Name::AllowEvents), "presence");
    assert_eq!(notify.header(Name::AllowEvents), None);
}

#[test]
fn each_from_tag_and_call_id_is_a_subscription_of_its_own() {
    let mut server = Server::open();
    let other = subscribe(1, "", PRESENCE).replace("tag=b", "tag=c").replace("bKs1", "bKs1c");

    let (first, _) = subscribed(&mut server, &subscribe(1, "", PRESENCE));
    let (second, _) = subscribed(&mut server, &other);

    assert_ne!(to_tag(&first), to_tag(&second));
    assert_eq!(server.subscriptions(), 2);
}

#[test]
fn a_subscribe_without_credentials_is_challenged_and_leaves_nothing() {
    let mut server = Server::asking();

    let answer = server.answers(&udp(PHONE), &subscribe(1, "", PRESENCE));

    assert_eq!(answer.status(), Some(401));
    assert_eq!(server.subscriptions(), 0);
    assert!(server.pass(60_000).is_empty());
}

/// Bob's credentials for the first request.
fn authorization(challenged: &Message) -> String {
    let uri = "sip:alice@lab.test";
    let login =
        crate::phone::login(challenged, sip::digest::Algorithm::Md5, "bob", "SUBSCRIBE", uri, "00000001");
    format!(
        "Authorization: Digest username=\"bob\", realm=\"lab.test\", nonce=\"{}\", uri=\"{uri}\", response=\"{}\", \
         cnonce=\"c\", nc=00000001, qop=auth\n",
        login.nonce, login.response
    )
}
