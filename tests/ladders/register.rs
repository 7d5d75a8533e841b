//! A phone that registers with an instance gets a public GRUU, lists its bindings, and leaves.

use crate::stage::{PHONE, Stage};

fn register(cseq: u32, contact: &str) -> String {
    format!(
        "REGISTER sip:lab.test SIP/2.0\n\
         Via: SIP/2.0/TCP 127.0.0.1:7000;branch=z9hG4bKd{cseq};alias\n\
         Via: SIP/2.0/UDP {PHONE};branch=z9hG4bKp{cseq};received=192.0.2.7;rport=5062\n\
         Max-Forwards: 69\n\
         From: <sip:alice@lab.test>;tag=a\n\
         To: <sip:alice@lab.test>\n\
         Call-ID: register\n\
         CSeq: {cseq} REGISTER\n\
         {contact}\
         Supported: outbound, gruu\n\
         Content-Length: 0\n\n",
    )
}

#[test]
fn a_phone_registers_asks_and_leaves() {
    let mut stage = Stage::set(true);
    let desk =
        format!("Contact: <sip:alice@{PHONE};ob>;expires=300;q=0.5;+sip.instance=\"<urn:uuid:1-2-3>\"\n");
    stage.phone(&register(1, &desk));
    stage.commit();

    stage.say("A second phone, and a query a minute later");
    stage.phone(&register(3, "Contact: <sip:alice@192.0.2.8:5060>\nExpires: 600\n"));
    stage.commit();
    stage.pass(60);
    stage.phone(&register(4, ""));
    stage.commit();

    stage.say("A REGISTER that overtook a newer one, and the end of all");
    stage.phone(&register(2, "Contact: <sip:alice@192.0.2.8:5060>;expires=0\n"));
    stage.commit();
    stage.phone(&register(5, "Contact: *\nExpires: 0\n"));
    stage.commit();
    stage.compare("register.ladder");
}
