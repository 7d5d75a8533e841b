//! What real clients publish composes to what the schemas accept.

use crate::support::{ENTITY, assert_valid, captured, composed};
use presence::compositor::compose;
use presence::format::pidf::{Basic, Document, Limits};
use presence::status::{AltContact, Status};

const BARESIP: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf"
    xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
    xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"
    entity="sip:carol@lab.test">
  <dm:person id="p4159"><rpid:activities/></dm:person>
  <tuple id="t4109">
    <status>
      <basic>open</basic>
    </status>
    <contact>sip:carol@lab.test</contact>
  </tuple>
</presence>
"#;

const PJSUA: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<presence entity="sip:erin@lab.test" xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid">
 <tuple id="pjpb6oyr2ZbpVnZJWfbPKz7e5ArvlPoFW-">
  <status>
   <basic>open</basic>
  </status>
  <timestamp>2026-11-21T02:04:35.917Z</timestamp>
  <note>in a meeting</note>
 </tuple>
 <dm:person id="pjWCk7d4nngD9ObfpB3ecMG.P3m2SGMfAA">
  <rpid:activities>
   <rpid:busy />
  </rpid:activities>
  <dm:note>in a meeting</dm:note>
 </dm:person>
</presence>
"#;

const LINPHONE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" xmlns:pidfonline="http://www.linphone.org/xsds/pidfonline.xsd" entity="sip:alice@lab.test" xmlns="urn:ietf:params:xml:ns:pidf">
 <tuple id="u-ct7y">
  <status>
   <basic>open</basic>
   <pidfonline:online/>
  </status>
  <contact priority="0.8">sip:alice@lab.test</contact>
  <timestamp>2026-11-21T02:26:30Z</timestamp>
 </tuple>
</presence>
"#;

#[test]
fn what_baresip_pjsua_and_linphone_send_is_accepted_and_comes_out_in_order() {
    let composed = composed(&[BARESIP.as_bytes(), PJSUA.as_bytes(), LINPHONE.as_bytes()]);

    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:alice@lab.test">
<tuple id="pjpb6oyr2ZbpVnZJWfbPKz7e5ArvlPoFW-"><status><basic>open</basic></status><note>in a meeting</note><timestamp>2026-11-21T02:04:35.917Z</timestamp></tuple>
<tuple id="u-ct7y"><status><basic>open</basic><pidfonline:online xmlns:pidfonline="http://www.linphone.org/xsds/pidfonline.xsd"/></status><contact priority="0.8">sip:alice@lab.test</contact><timestamp>2026-11-21T02:26:30Z</timestamp></tuple>
<tuple id="t4109"><status><basic>open</basic></status><contact>sip:carol@lab.test</contact></tuple>
<dm:person id="pjWCk7d4nngD9ObfpB3ecMG.P3m2SGMfAA"><rpid:activities><rpid:busy/></rpid:activities><dm:note>in a meeting</dm:note></dm:person>
</presence>
"#;
    assert_eq!(std::str::from_utf8(&composed.document).unwrap(), expected);
    assert_eq!((composed.status, composed.basic), (Status::OnThePhone, Basic::Open));
    assert_eq!(composed.notes, ["in a meeting"]);
    assert_eq!(composed.activities, ["busy"]);
}

#[test]
fn every_captured_body_is_accepted_and_composes_to_a_valid_document() {
    let bodies = captured();
    if bodies.is_empty() {
        eprintln!("skipped: no captures in ../shared");
        return;
    }
    let mut documents = Vec::new();
    for (name, body) in &bodies {
        if let Err(refusal) = Document::parse(body, &Limits::default()) {
            panic!("{name}: {refusal}");
        }
        documents.push((name.clone(), composed(&[body]).document.to_vec()));
    }
    let all: Vec<&[u8]> = bodies.iter().map(|(_, body)| body.as_slice()).collect();
    documents.push(("all together".into(), composed(&all).document.to_vec()));

    assert!(bodies.len() >= 16, "{}", bodies.len());
    assert_valid(&documents);
}

#[test]
fn what_nobody_published_and_every_status_is_valid() {
    let mut documents: Vec<_> = [true, false]
        .map(|reachable| {
            (format!("reachable {reachable}"), compose(ENTITY, &[], reachable).document.to_vec())
        })
        .to_vec();
    let contacts = AltContact::list([("tel:+1", 800), ("im:a@lab.test", 5)].into_iter()).unwrap();
    for status in Status::names().map(Status::parse).chain([None]) {
        let plain = Status::document(status, ENTITY, None, &[]);
        let full = Status::document(status, ENTITY, Some("<&\"\u{1}ü"), &contacts);
        documents.push((format!("{status:?}"), plain));
        documents.push((format!("{status:?} with a comment and contacts"), full));
    }
    let statuses: Vec<&[u8]> = documents.iter().map(|(_, document)| document.as_slice()).collect();
    documents.push(("all together".into(), composed(&statuses).document.to_vec()));

    assert_valid(&documents);
}
