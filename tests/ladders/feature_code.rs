//! A status that is dialled: by a call, and by a message.

use crate::stage::{PHONE, Stage};
use crate::subscribe::value;

fn dialled(method: &str, to_tag: &str, more: &str, body: &str) -> String {
    let (uri, to_tag) = match to_tag {
        "" => ("sip:*485@lab.test", String::new()),
        tag => ("sip:192.0.2.1:5060", format!(";tag={tag}")),
    };
    format!(
        "{method} {uri} SIP/2.0\n\
         Via: SIP/2.0/TCP 127.0.0.1:7000;branch=z9hG4bKd{method};alias\n\
         Via: SIP/2.0/UDP {PHONE};branch=z9hG4bKp{method};received=192.0.2.7;rport=5062\n\
         Record-Route: <sip:token@127.0.0.1:7000;transport=tcp;lr>\n\
         Record-Route: <sip:192.0.2.1:5060;lr>\n\
         Max-Forwards: 69\n\
         From: <sip:bob@lab.test>;tag=b\n\
         To: <sip:*485@lab.test>{to_tag}\n\
         Call-ID: call\n\
         CSeq: 1 {method}\n\
         {more}\
         Content-Length: {}\n\n{body}",
        body.len() + body.matches('\n').count(),
    )
}

const OFFER: &str =
    "v=0\no=bob 1 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=0 0\nm=audio 4000 RTP/AVP 8 0\n";

#[test]
fn a_dialled_call_sets_the_callers_status_is_answered_and_hung_up() {
    let mut stage = Stage::set(true);
    stage.say("The call: the log, and then the 200");
    let contact = format!("Contact: <sip:bob@{PHONE}>\nContent-Type: application/sdp\n");
    let invite = dialled("INVITE", "", &contact, OFFER);
    stage.phone(&invite);
    stage.commit();
    let local_tag = value(value(&stage.heard, "To: ", '\r'), "tag=", ';').to_owned();

    stage.say("The 200 was lost: the phone repeats its INVITE");
    stage.phone(&invite);

    stage.say("The ACK is answered by the end of the call");
    stage.phone(&dialled("ACK", &local_tag, "", ""));
    stage.phone_answers("200 OK");

    stage.say("A caller who hangs up too hears that all is well");
    stage.phone(&dialled("BYE", &local_tag, "", ""));
    stage.compare("feature_code_call.ladder");
}

#[test]
fn a_message_sets_the_senders_status() {
    let mut stage = Stage::set(true);
    stage.say("The status by its digit, a note after it");
    let text = dialled("MESSAGE", "", "Content-Type: text/plain\n", "Back at 3");
    stage.phone(&text.replace("*485", "*486"));
    stage.commit();

    stage.say("A digit that means nothing");
    stage.phone(&text.replace("*485", "*489").replace("MESSAGE;", "other;"));
    stage.compare("feature_code_message.ladder");
}
