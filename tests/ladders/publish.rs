//! A PUBLISH and its refresh, change and removal, and a publisher that missed an update.

use crate::stage::{PHONE, Stage};

pub const OPEN: &str = r#"<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@lab.test"><tuple id="t1"><status><basic>open</basic></status></tuple></presence>"#;

pub fn publish(cseq: u32, expires: u32, if_match: &str, body: &str) -> String {
    let if_match = if if_match.is_empty() { String::new() } else { format!("SIP-If-Match: {if_match}\n") };
    let content = if body.is_empty() { String::new() } else { "Content-Type: application/pidf+xml\n".into() };
    format!(
        "PUBLISH sip:alice@lab.test SIP/2.0\n\
         Via: SIP/2.0/TCP 127.0.0.1:7000;branch=z9hG4bKd{cseq};alias\n\
         Via: SIP/2.0/UDP {PHONE};branch=z9hG4bKp{cseq};received=192.0.2.7;rport=5062\n\
         Max-Forwards: 69\n\
         From: <sip:alice@lab.test>;tag=a\n\
         To: <sip:alice@lab.test>\n\
         Call-ID: publish\n\
         CSeq: {cseq} PUBLISH\n\
         Event: presence\n\
         Expires: {expires}\n\
         {if_match}{content}\
         Content-Length: {}\n\n{body}",
        body.len(),
    )
}

fn tag(heard: &str) -> String {
    let line =
        heard.lines().find_map(|line| line.strip_prefix("SIP-ETag: ")).expect("the answer has an entity-tag");
    line.to_owned()
}

#[test]
fn a_publication_is_made_refreshed_changed_and_removed() {
    let mut stage = Stage::set(true);
    stage.say("The first PUBLISH is answered when it is committed");
    stage.phone(&publish(1, 120, "", OPEN));
    stage.commit();
    let first = tag(&stage.heard);

    stage.say("A retransmission gets the same answer, without the log");
    stage.phone(&publish(1, 120, "", OPEN));

    stage.say("A refresh has no body");
    stage.phone(&publish(2, 120, &first, ""));
    stage.commit();
    let second = tag(&stage.heard);

    stage.say("The tag before is gone");
    stage.phone(&publish(3, 120, &first, ""));
    stage.commit();

    stage.say("A change, and the removal");
    stage.phone(&publish(4, 120, &second, &OPEN.replace("open", "closed")));
    stage.commit();
    let third = tag(&stage.heard);
    stage.phone(&publish(5, 0, &third, ""));
    stage.commit();
    stage.compare("publish.ladder");
}
