//! A subscription from its challenge to its last NOTIFY.

use std::time::Duration;

use presence_agent::verdict::{Decision, Verdict};

use crate::stage::{PHONE, Stage};

pub fn subscribe(cseq: u32, expires: u32, to_tag: &str, more: &str) -> String {
    let (uri, to_tag) = match to_tag {
        "" => ("sip:alice@lab.test", String::new()),
        tag => ("sip:192.0.2.1:5060", format!(";tag={tag}")),
    };
    let flow = sip::Flow {
        transport: sip::Transport::Udp,
        listener: "192.0.2.1:5060".parse().unwrap(),
        remote: PHONE.parse().unwrap(),
        connection: 0,
    };
    let token = flow.seal(&sip::Secret::new("the secret of the ladders").derive("flow"));
    format!(
        "SUBSCRIBE {uri} SIP/2.0\n\
         Via: SIP/2.0/TCP 127.0.0.1:7000;branch=z9hG4bKd{cseq};alias\n\
         Via: SIP/2.0/UDP {PHONE};branch=z9hG4bKp{cseq};received=192.0.2.7;rport=5062\n\
         Record-Route: <sip:{token}@127.0.0.1:7000;transport=tcp;lr>\n\
         Record-Route: <sip:192.0.2.1:5060;lr>\n\
         Max-Forwards: 69\n\
         From: <sip:bob@lab.test>;tag=b\n\
         To: <sip:alice@lab.test>{to_tag}\n\
         Call-ID: watch\n\
         CSeq: {cseq} SUBSCRIBE\n\
         Contact: <sip:bob@{PHONE}>\n\
         Event: presence\n\
         Expires: {expires}\n\
         {more}\
         Content-Length: 0\n\n",
    )
}

pub fn value<'a>(heard: &'a str, after: &str, until: char) -> &'a str {
    let (_, rest) = heard.split_once(after).expect("the answer has what the phone needs next");
    rest.split(until).next().unwrap_or(rest)
}

/// RFC 2617 without qop, which old phones still send.
pub fn credentials(nonce: &str) -> (String, String) {
    // H(a:b:c) is all that is needed, and the split of the method and URI falls on a colon too.
    let md5 = |a: &str, b: &str, c: &str| sip::digest::ha1(sip::digest::Algorithm::Md5, a, b, c);
    let ha1 = md5("bob", "lab.test", "bobpw");
    let response = md5(&ha1, nonce, &md5("SUBSCRIBE", "sip", "alice@lab.test"));
    let header = format!(
        "Authorization: Digest username=\"bob\", realm=\"lab.test\", nonce=\"{nonce}\", uri=\"sip:alice@lab.test\", \
         response=\"{response}\"\n"
    );
    (header, ha1)
}

/// Billing gives the secret, and an answer that holds for a minute.
pub fn verifies(ha1: &str) -> Verdict {
    let cache = Duration::from_secs(60);
    Verdict { decision: Decision::Verify, ha1_md5: ha1.into(), cache, ..Verdict::allowed() }
}

#[test]
fn a_subscription_is_challenged_recorded_notified_refreshed_and_ended() {
    let mut stage = Stage::set(false);
    stage.say("Without credentials: a challenge, and nothing else happens");
    stage.phone(&subscribe(1, 600, "", ""));
    let nonce = value(&stage.heard, "nonce=\"", '"').to_owned();

    stage.say("With credentials: billing, the log, the 200, and the NOTIFY that every 2xx owes");
    let (authorization, ha1) = credentials(&nonce);
    stage.phone(&subscribe(2, 600, "", &authorization));
    stage.billing_says(verifies(&ha1));
    stage.commit();
    stage.phone_answers("200 OK");
    let local_tag = value(value(&stage.heard, "From: ", '\r'), "tag=", ';').to_owned();

    stage.say("A refresh in the dialog, over the flow it was made on, needs no credentials, nor billing for a while");
    stage.pass(59);
    stage.phone(&subscribe(3, 600, &local_tag, ""));
    stage.commit();
    stage.phone_answers("200 OK");

    stage.say("Later billing is asked, and has nothing to verify");
    stage.pass(300);
    stage.phone(&subscribe(4, 600, &local_tag, ""));
    stage.billing_says(Verdict::allowed());
    stage.commit();
    stage.phone_answers("200 OK");

    stage.say("An older request that comes late is refused");
    stage.phone(&subscribe(2, 0, &local_tag, "User-Agent: late\n"));
    stage.commit();

    stage.say("The end, which nobody has to grant");
    stage.phone(&subscribe(5, 0, &local_tag, ""));
    stage.commit();
    stage.phone_answers("200 OK");
    stage.compare("subscribe.ladder");
}

#[test]
fn a_notify_that_nobody_answers_is_sent_again_and_then_given_up() {
    let mut stage = Stage::set(true);
    stage.phone(&subscribe(1, 600, "", ""));
    stage.commit();
    stage.pass(1);
    stage.pass(2);
    stage.say("Timer F: the subscription stays, and is tried again later");
    stage.pass(32);
    stage.pass(33);
    stage.phone_answers("481 Subscription Does Not Exist");
    stage.say("481 ends it: the owner tells the log");
    stage.commit();
    stage.compare("silent_watcher.ladder");
}
