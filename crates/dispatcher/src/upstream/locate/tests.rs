//! What is asked for a URI, and where that leads. DNS is a table.

use super::*;
use crate::upstream::found::Target;

const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

#[test]
fn a_literal_address_asks_nothing_and_defaults_its_port_and_transport() {
    assert_eq!(led("sip:192.0.2.1", &[]), ["UDP 192.0.2.1:5060"]);
    assert_eq!(led("sip:192.0.2.1:5070;transport=tcp", &[]), ["TCP 192.0.2.1:5070"]);
    assert_eq!(led("sips:192.0.2.1", &[]), ["TLS 192.0.2.1:5061"]);
    assert_eq!(led("sip:[2001:db8::1];transport=tls", &[]), ["TLS [2001:db8::1]:5061"]);
    assert_eq!(led("192.0.2.1", &[]), ["UDP 192.0.2.1:5060"]);
    assert_eq!(led("sip:x@example.com;maddr=192.0.2.9", &[]), ["UDP 192.0.2.9:5060"]);
}

#[test]
fn a_port_makes_the_name_that_of_a_machine() {
    let zone = [("A pbx.test", "192.0.2.1 192.0.2.2"), ("SRV _sip._udp.pbx.test", "0 0 9 elsewhere.test")];

    assert_eq!(asked("sip:pbx.test:5070", &zone), ["A pbx.test"]);
    assert_eq!(led("sip:pbx.test:5070", &zone), ["UDP 192.0.2.1:5070", "UDP 192.0.2.2:5070"]);
    assert_eq!(led("pbx.test:5070", &zone), led("sip:pbx.test:5070", &zone));
    assert_eq!(led("sips:pbx.test:5071", &zone)[0], "TLS 192.0.2.1:5071");
}

#[test]
fn naptr_names_the_transports_in_its_order_and_srv_their_servers() {
    let zone = [
        (
            "NAPTR pbx.test",
            "50 1 s SIP+D2T _sip._tcp.pbx.test,40 9 s SIPS+D2T _sips._tcp.pbx.test,40 8 s SIP+D2U _sip._udp.pbx.test,1 1 u E2U+sip x.test",
        ),
        ("SRV _sip._tcp.pbx.test", "0 1 5060 one.pbx.test"),
        ("SRV _sips._tcp.pbx.test", "0 1 5061 one.pbx.test"),
        ("SRV _sip._udp.pbx.test", "1 1 5062 two.pbx.test,0 1 5061 One.PBX.test."),
        ("A one.pbx.test", "192.0.2.1"),
        ("A two.pbx.test", "192.0.2.2"),
    ];

    let expected = ["UDP 192.0.2.1:5061", "UDP 192.0.2.2:5062", "TLS 192.0.2.1:5061", "TCP 192.0.2.1:5060"];
    assert_eq!(led("sip:pbx.test", &zone), expected);
}

#[test]
fn what_the_dns_names_is_whole_and_what_an_operator_names_is_as_it_stands() {
    let zone = [
        ("NAPTR pbx.test", "10 1 s SIP+D2U _sip._udp.Pbx.test."),
        ("SRV _sip._udp.pbx.test", "0 1 5061 one.pbx.test"),
        ("A one.pbx.test", "192.0.2.1"),
    ];

    let questions = ["NAPTR pbx.test", "SRV _sip._udp.pbx.test.", "A one.pbx.test."];
    assert_eq!(asked("sip:pbx.test", &zone), questions);
    assert_eq!(asked("sip:pbx.test.", &zone)[0], "NAPTR pbx.test.");
    assert_eq!(Destination::parse("sip:PBX.test.").unwrap().domain(), "pbx.test", "as certificates name it");
    let elsewhere = Destination::parse("sips:pbx.test;maddr=192.0.2.9").unwrap();
    assert_eq!(elsewhere.domain(), "pbx.test", "wherever it is to be found");
}

#[test]
fn sips_follows_naptr_over_tls_only() {
    let zone = [
        ("NAPTR pbx.test", "10 1 s SIP+D2U _sip._udp.pbx.test,20 1 S sips+d2t _sips._tcp.pbx.test"),
        ("SRV _sips._tcp.pbx.test", "0 1 5061 one.pbx.test"),
        ("A one.pbx.test", "192.0.2.1"),
    ];

    assert_eq!(led("sips:pbx.test", &zone), ["TLS 192.0.2.1:5061"]);
    assert!(!asked("sips:pbx.test", &zone).iter().any(|asked| asked.starts_with("SRV _sip._udp")));
}

#[test]
fn a_transport_in_the_uri_wins_over_what_naptr_would_say() {
    let zone = [
        ("NAPTR pbx.test", "10 1 s SIP+D2U _sip._udp.pbx.test"),
        ("SRV _sip._tcp.pbx.test", "0 1 5060 one.pbx.test"),
        ("A one.pbx.test", "192.0.2.1"),
        ("A pbx.test", "192.0.2.7"),
    ];

    let uri = "sip:pbx.test;transport=TCP";
    assert_eq!(asked(uri, &zone), ["SRV _sip._tcp.pbx.test", "A one.pbx.test."]);
    assert_eq!(led(uri, &zone), ["TCP 192.0.2.1:5060"]);
    assert_eq!(led("sip:pbx.test;transport=tls", &zone), ["TLS 192.0.2.7:5061"], "nothing is listed");
}

#[test]
fn without_naptr_each_transport_is_looked_for() {
    let zone = [("SRV _sip._tcp.pbx.test", "0 1 5080 one.pbx.test"), ("A one.pbx.test", "192.0.2.1")];

    let asked = asked("sip:pbx.test", &zone);
    for list in ["SRV _sip._udp.pbx.test", "SRV _sip._tcp.pbx.test", "SRV _sips._tcp.pbx.test"] {
        assert!(asked.contains(&list.to_owned()), "{asked:?}");
    }
    assert_eq!(led("sip:pbx.test", &zone), ["TCP 192.0.2.1:5080"]);
    assert_eq!(led_over(&[Transport::Udp], "sip:pbx.test", &zone), [""; 0], "we do not speak TCP here");
}

#[test]
fn without_naptr_and_srv_the_name_is_a_machine_at_the_default_port() {
    let zone = [("A pbx.test", "192.0.2.1 2001:db8::1")];

    assert_eq!(led("sip:pbx.test", &zone), ["UDP 192.0.2.1:5060", "UDP [2001:db8::1]:5060"]);
    assert_eq!(led("sips:pbx.test", &zone), ["TLS 192.0.2.1:5061", "TLS [2001:db8::1]:5061"]);
    assert_eq!(led("sip:pbx.test;transport=tcp", &zone)[0], "TCP 192.0.2.1:5060");
}

#[test]
fn a_service_that_is_said_not_to_be_there_is_not_guessed() {
    let zone = [("SRV _sip._udp.pbx.test", "0 0 0 ."), ("A pbx.test", "192.0.2.1")];

    assert_eq!(led("sip:pbx.test;transport=udp", &zone), [""; 0]);
}

#[test]
fn a_name_that_nobody_knows_leads_nowhere() {
    assert_eq!(led("sip:nobody.test", &[]), [""; 0]);
}

#[test]
fn a_zone_with_very_many_records_is_asked_about_few() {
    let servers: Vec<_> = (0..500).map(|n| format!("0 1 5060 s{n}.test")).collect();
    let many = servers.join(",");

    let asked = asked("sip:pbx.test;transport=udp", &[("SRV _sip._udp.pbx.test", &many)]);

    assert_eq!(asked.len(), 1 + MOST);
}

#[test]
fn what_no_server_is_reached_by_is_refused() {
    for text in ["sips:pbx.test;transport=udp", "sip:pbx.test;transport=ws", "sip:pbx.test;transport=sctp"] {
        assert_eq!(Destination::parse(text), Err(BadDestination::Transport), "{text}");
    }
    for text in ["", "nonsense here", "tel:+1555", "http:x@y", "sip:"] {
        assert_eq!(Destination::parse(text), Err(BadDestination::NotSip), "{text}");
    }
}

type Zone<'a> = [(&'a str, &'a str)];

fn led(uri: &str, zone: &Zone) -> Vec<String> {
    led_over(&ALL, uri, zone)
}

fn led_over(speaks: &[Transport], uri: &str, zone: &Zone) -> Vec<String> {
    let found = searched(speaks, uri, zone).0;
    let text = |target: &Target| format!("{} {}", target.transport, target.address);
    found.targets(0).iter().map(text).collect()
}

fn asked(uri: &str, zone: &Zone) -> Vec<String> {
    searched(&ALL, uri, zone).1
}

fn searched(speaks: &[Transport], uri: &str, zone: &Zone) -> (Found, Vec<String>) {
    let destination = Destination::parse(uri).unwrap();
    let mut search = Search::new(&destination, speaks);
    let mut asked = Vec::new();
    loop {
        let wanted = search.wanted();
        if wanted.is_empty() {
            return (search.found(), asked);
        }
        for question in wanted {
            let (text, records) = answer(&question, zone);
            assert!(!asked.contains(&text), "{text} is asked twice");
            asked.push(text);
            search.answer(question, records);
        }
    }
}

fn answer(question: &Question, zone: &Zone) -> (String, Records) {
    // With its final dot or without, a name is the same one.
    let entry = |text: &str| {
        let named = zone.iter().find(|(name, _)| *name == text.trim_end_matches('.'));
        named.map_or("", |(_, records)| *records)
    };
    let each = |text: &str| -> Vec<Vec<String>> {
        let records = entry(text).split(',').filter(|record| !record.is_empty());
        records.map(|record| record.split(' ').map(str::to_owned).collect()).collect()
    };
    let number = |text: &String| text.parse().unwrap();
    match question {
        Question::Naptr(name) => {
            let text = format!("NAPTR {name}");
            let naptr = |fields: Vec<String>| Naptr {
                order: number(&fields[0]),
                preference: number(&fields[1]),
                flags: fields[2].clone(),
                services: fields[3].clone(),
                replacement: fields[4].clone(),
            };
            let records = each(&text).into_iter().map(naptr).collect();
            (text, Records::Naptr(records))
        }
        Question::Srv(name) => {
            let text = format!("SRV {name}");
            let srv = |fields: Vec<String>| Srv {
                priority: number(&fields[0]),
                weight: number(&fields[1]),
                port: number(&fields[2]),
                target: fields[3].clone(),
            };
            let records = each(&text).into_iter().map(srv).collect();
            (text, Records::Srv(records))
        }
        Question::Addresses(name) => {
            let text = format!("A {name}");
            let records = entry(&text).split_whitespace().map(|address| address.parse().unwrap()).collect();
            (text, Records::Addresses(records))
        }
    }
}
