//! RFC 8760 with RFC 3261 section 22: how phones are challenged, and which answers count.

use presence_agent::Config;
use sip::Name;
use sip::digest::Algorithm;

use crate::phone::{Login, PHONE, login, statuses, subscribe, to_tag};
use crate::server::{Server, config, udp};

const PRESENCE: &str = "Event: presence\nExpires: 600\n";
const URI: &str = "sip:alice@lab.test";

fn with(name: &str, algorithm: &str, nc: &str, login: &Login) -> String {
    let Login { nonce, response } = login;
    format!(
        "{PRESENCE}{name}: Digest username=\"bob\", realm=\"lab.test\", nonce=\"{nonce}\", uri=\"{URI}\", \
         response=\"{response}\", {algorithm}cnonce=\"c\", nc={nc}, qop=auth\n"
    )
}

#[test]
fn a_notifier_challenges_with_401_and_one_header_per_algorithm_as_configured() {
    let answer = Server::asking().answers(&udp(PHONE), &subscribe(1, "", PRESENCE));

    assert_eq!(answer.status(), Some(401));
    let offered: Vec<_> = answer.headers(Name::WwwAuthenticate).map(String::from_utf8_lossy).collect();
    assert_eq!(offered.len(), 2);
    assert!(offered[0].contains("algorithm=SHA-256") && offered[1].contains("algorithm=MD5"), "{offered:?}");
    assert!(offered.iter().all(|line| line.contains("qop=\"auth\"") && line.contains("realm=\"lab.test\"")));
}

#[test]
fn a_phone_is_let_in_by_whichever_algorithm_it_knows() {
    for (algorithm, written) in [
        (Algorithm::Sha256, "algorithm=SHA-256, "),
        (Algorithm::Md5, "algorithm=MD5, "),
        (Algorithm::Md5, ""),
    ] {
        let mut server = Server::asking();
        let challenged = server.answers(&udp(PHONE), &subscribe(1, "", PRESENCE));
        let login = login(&challenged, algorithm, "bob", "SUBSCRIBE", URI, "00000001");

        let more = with("Authorization", written, "00000001", &login);
        let told = server.hears(&udp(PHONE), &subscribe(2, "", &more));

        assert_eq!(statuses(&told), [200], "{written}");
    }
}

#[test]
fn the_strongest_algorithm_is_offered_first_where_it_is_configured_so_and_lets_in() {
    let algorithms = Algorithm::ALL.to_vec();
    let mut server = Server::with(Config { algorithms, ..config(false) });
    let challenged = server.answers(&udp(PHONE), &subscribe(1, "", PRESENCE));
    let offered: Vec<_> = challenged.headers(Name::WwwAuthenticate).map(String::from_utf8_lossy).collect();
    let login = login(&challenged, Algorithm::Sha512_256, "bob", "SUBSCRIBE", URI, "00000001");

    let more = with("Authorization", "algorithm=SHA-512-256, ", "00000001", &login);
    let told = server.hears(&udp(PHONE), &subscribe(2, "", &more));

    let order = ["SHA-512-256", "SHA-256", "MD5"];
    assert!(
        offered.iter().zip(order).all(|(line, name)| line.contains(&format!("algorithm={name},"))),
        "{offered:?}"
    );
    assert_eq!(statuses(&told), [200]);
}

#[test]
fn where_counts_are_checked_a_replay_is_told_to_be_stale_and_a_repeat_is_served() {
    let mut server = Server::with(Config { check_nc: true, ..config(false) });
    let challenged = server.answers(&udp(PHONE), &subscribe(1, "", PRESENCE));
    let mut ask = |cseq, nc, call: &str| {
        let login = login(&challenged, Algorithm::Md5, "bob", "SUBSCRIBE", URI, nc);
        let request = subscribe(cseq, "", &with("Authorization", "", nc, &login));
        let request = request.replace("Call-ID: watch", &format!("Call-ID: {call}"));
        let told = server.hears(&udp(PHONE), &request.replace("z9hG4bK", &format!("z9hG4bK{call}")));
        (
            told[0].status(),
            told[0].text(Name::WwwAuthenticate).is_some_and(|line| line.contains("stale=true")),
        )
    };

    assert_eq!(ask(2, "00000001", "watch"), (Some(200), false));
    assert_eq!(ask(2, "00000001", "replayed"), (Some(401), true));
    assert_eq!(ask(2, "00000001", "watch"), (Some(200), false), "a repeat");
    assert_eq!(ask(3, "00000002", "another"), (Some(200), false));
    assert_eq!(ask(4, "00000001", "late"), (Some(401), true));
}

#[test]
fn a_client_that_gives_up_on_what_it_does_not_know_is_offered_md5_alone() {
    let mut config = config(false);
    config.md5_only = vec!["Old".into()];
    let old = subscribe(1, "", &format!("{PRESENCE}User-Agent: Old Phone 1.0\n"));

    let answer = Server::with(config).answers(&udp(PHONE), &old);

    assert_eq!(answer.headers(Name::WwwAuthenticate).count(), 1);
    assert!(answer.text(Name::WwwAuthenticate).unwrap().contains("algorithm=MD5"));
}

#[test]
fn a_nonce_that_is_too_old_is_told_to_be_stale() {
    let mut server = Server::asking();
    let challenged = server.answers(&udp(PHONE), &subscribe(1, "", PRESENCE));
    let login = login(&challenged, Algorithm::Md5, "bob", "SUBSCRIBE", URI, "00000001");
    server.pass(301_000);

    let more = with("Authorization", "", "00000001", &login);
    let answer = server.answers(&udp(PHONE), &subscribe(2, "", &more));

    assert_eq!(answer.status(), Some(401));
    assert!(answer.text(Name::WwwAuthenticate).unwrap().contains("stale=true"));
}

#[test]
fn a_wrong_password_is_not_let_in_and_is_not_challenged_for_ever() {
    let mut server = Server::asking();
    let challenged = server.answers(&udp(PHONE), &subscribe(1, "", PRESENCE));
    let mut login = login(&challenged, Algorithm::Md5, "bob", "SUBSCRIBE", URI, "00000001");
    login.response = "0".repeat(32);

    let more = with("Authorization", "", "00000001", &login);
    let answer = server.answers(&udp(PHONE), &subscribe(2, "", &more));

    assert_eq!(answer.status(), Some(403));
    assert_eq!(server.subscriptions(), 0);
}

#[test]
fn a_nonce_may_be_used_again_with_any_count_and_in_either_header() {
    let mut server = Server::asking();
    let challenged = server.answers(&udp(PHONE), &subscribe(1, "", PRESENCE));
    let mut tag = String::new();
    for (cseq, nc, name) in [
        (2, "00000002", "Authorization"),
        (3, "00000002", "Proxy-Authorization"),
        (4, "00000001", "Authorization"),
    ] {
        let login = login(&challenged, Algorithm::Md5, "bob", "SUBSCRIBE", URI, nc);
        let more = with(name, "", nc, &login);

        let told = server.hears(&udp(PHONE), &subscribe(cseq, &tag, &more));

        assert_eq!(statuses(&told), [200], "{name} {nc}");
        server.replies(&udp(PHONE), &told[1], 200);
        tag = to_tag(&told[0]);
    }
}
