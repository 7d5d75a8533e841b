//! What is ours and what is not: the managers', the upstream's, or a phone's that the upstream asks for.
//!
//! A request inside a dialog goes where the dialog goes, which the flow token in its Route tells: we record ours for the
//! managers under the inner name, and those for the upstream under a public one. A request in no dialog goes by its method
//! and its target. Which side it came from decides the direction, never the flow that it names.

use sip::{Flow, Message, Method, Name, NameAddr, Scheme, Secret, Uri};

use crate::names::Names;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    Managers,
    Upstream,
    /// Over this flow, which a Route of ours names.
    Phone(Flow),
}

/// Who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Phones,
    Upstream,
}

/// What an operator leaves to the upstream.
#[derive(Clone, Debug)]
pub struct Division {
    /// REGISTER goes there too.
    pub registers: bool,
    /// What is dialled to set a status stays here; empty if nothing is.
    pub feature_code: String,
}

impl Division {
    pub fn course(&self, request: &Message, side: Side, names: &Names, flow_key: &Secret) -> Course {
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        match recorded(request, names, flow_key) {
            Some(Recorded { flow, by_upstream: true, is_first: true }) if side == Side::Upstream => {
                Course::Phone(flow)
            }
            Some(Recorded { by_upstream: true, .. }) if in_dialog => Course::Upstream,
            Some(_) if in_dialog => Course::Managers,
            // A token alone, which anybody may repeat, decides nothing.
            _ if self.is_ours(request, names) => Course::Managers,
            _ => Course::Upstream,
        }
    }

    /// In no dialog that we know of.
    fn is_ours(&self, request: &Message, names: &Names) -> bool {
        let Ok(target) = Uri::parse(request.request_uri()) else {
            // Whoever it is for, it is refused, and the managers' side is where we refuse.
            return true;
        };
        if request.method() == Method::Register {
            return !self.registers && is_here(&target, names);
        }
        if !is_here(&target, names) {
            return false;
        }
        match request.method() {
            Method::Subscribe | Method::Publish | Method::Options => true,
            // That is our own name, as a manager writes it into its Contact.
            _ if target.user.is_none() => true,
            Method::Invite | Method::Message | Method::Ack | Method::Cancel => {
                self.is_feature(request, &target)
            }
            _ => false,
        }
    }

    fn is_feature(&self, request: &Message, target: &Uri) -> bool {
        let code = self.feature_code.as_str();
        if code.is_empty() {
            return false;
        }
        let dials = target.user.is_some_and(|user| sip::unescape(user).starts_with(code));
        let body = request.body();
        let texts =
            request.method() == Method::Message && body.trim_ascii_start().starts_with(code.as_bytes());
        dials || texts
    }
}

fn is_here(target: &Uri, names: &Names) -> bool {
    target.scheme != Scheme::Tel && names.is_us(target)
}

/// What we wrote into the Record-Route (or Path) of the dialog.
struct Recorded {
    flow: Flow,
    by_upstream: bool,
    /// It is the first of ours: whoever sent this is on the side of the upstream. Phones meet our public name first.
    is_first: bool,
}

fn recorded(request: &Message, names: &Names, flow_key: &Secret) -> Option<Recorded> {
    for (position, route) in request.values(Name::Route).enumerate() {
        let uri = NameAddr::parse(route).and_then(|route| Uri::parse(route.uri).ok())?;
        if let Some(flow) = uri.user.and_then(|token| Flow::open(token, flow_key)) {
            let by_upstream = uri.socket_addr().is_some_and(|address| names.listener(address).is_some());
            return Some(Recorded { flow, by_upstream, is_first: position == 0 });
        }
        if !names.is_us(&uri) {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use sip::{Limits, Transport};

    use super::*;
    use crate::config::Speaks;

    #[test]
    fn presence_of_our_domains_is_ours_and_calls_are_not() {
        for (line, course) in [
            ("SUBSCRIBE sip:bob@lab.test", Course::Managers),
            ("PUBLISH sips:bob@LAB.test", Course::Managers),
            ("OPTIONS sip:192.0.2.1", Course::Managers),
            ("BYE sip:192.0.2.1:5060", Course::Managers),
            ("SUBSCRIBE sip:bob@elsewhere.test", Course::Upstream),
            ("PUBLISH sip:bob@elsewhere.test", Course::Upstream),
            ("OPTIONS sip:elsewhere.test", Course::Upstream),
            ("INVITE sip:bob@lab.test", Course::Upstream),
            ("MESSAGE sip:bob@lab.test", Course::Upstream),
            ("REFER sip:bob@lab.test", Course::Upstream),
            ("NOTIFY sip:bob@192.0.2.1", Course::Upstream),
            ("DANCE sip:bob@lab.test", Course::Upstream),
            ("INVITE tel:+1555", Course::Upstream),
        ] {
            assert_eq!(course_of(&request(line, "", "")), course, "{line}");
        }
    }

    #[test]
    fn registrations_go_where_the_operator_says_and_those_of_others_never_here() {
        let keeping = Division { registers: false, ..division() };
        let course = |division: &Division, line| {
            division.course(&request(line, "", ""), Side::Phones, &names(), &key())
        };

        assert_eq!(course(&division(), "REGISTER sip:lab.test"), Course::Upstream);
        assert_eq!(course(&keeping, "REGISTER sip:lab.test"), Course::Managers);
        assert_eq!(course(&keeping, "REGISTER sip:elsewhere.test"), Course::Upstream);
    }

    #[test]
    fn feature_codes_that_are_ours_stay_ours() {
        for line in ["INVITE sip:*485@lab.test", "MESSAGE sip:%2A48@lab.test", "CANCEL sip:*485@lab.test"] {
            assert_eq!(course_of(&request(line, "", "")), Course::Managers, "{line}");
        }
        assert_eq!(course_of(&request("MESSAGE sip:bob@lab.test", "", " *485 lunch")), Course::Managers);
        assert_eq!(course_of(&request("INVITE sip:*485@elsewhere.test", "", "")), Course::Upstream);
        let none = Division { feature_code: String::new(), ..division() };
        let call = request("INVITE sip:*485@lab.test", "", "");
        assert_eq!(none.course(&call, Side::Phones, &names(), &key()), Course::Upstream);
    }

    #[test]
    fn a_dialog_goes_on_where_it_began() {
        let token = flow().seal(&key());
        let managers = format!("Route: <sip:192.0.2.1;lr>, <sip:{token}@10.0.0.2:7060;transport=tcp;lr>\r\n");
        let upstream = format!("Route: <sip:192.0.2.1;lr>, <sip:{token}@192.0.2.1:5060;lr>\r\n");
        let forged = "Route: <sip:192.0.2.1;lr>, <sip:A@192.0.2.1:5060;lr>\r\n";

        let course = |line, route: &str| course_of(&in_dialog(line, route));
        assert_eq!(course("SUBSCRIBE sip:192.0.2.1", &managers), Course::Managers);
        assert_eq!(course("BYE sip:x@lab.test", &managers), Course::Managers);
        assert_eq!(course("SUBSCRIBE sip:bob@203.0.113.1", &upstream), Course::Upstream);
        assert_eq!(course("SUBSCRIBE sip:bob@lab.test", forged), Course::Managers);
    }

    #[test]
    fn a_token_outside_of_a_dialog_decides_nothing() {
        let token = flow().seal(&key());
        let upstream = format!("Route: <sip:192.0.2.1;lr>, <sip:{token}@192.0.2.1:5060;lr>\r\n");
        let keeping = Division { registers: false, ..division() };

        let register = request("REGISTER sip:lab.test", &upstream, "");

        assert_eq!(keeping.course(&register, Side::Phones, &names(), &key()), Course::Managers);
        assert_eq!(course_of(&request("SUBSCRIBE sip:bob@lab.test", &upstream, "")), Course::Managers);
    }

    #[test]
    fn only_the_upstream_reaches_a_phone_by_its_flow() {
        let token = flow().seal(&key());
        let route = format!("Route: <sip:{token}@192.0.2.1:5060;lr>, <sip:192.0.2.1;lr>\r\n");
        let call = request("INVITE sip:bob@172.16.0.5", &route, "");

        let course = |side| division().course(&call, side, &names(), &key());

        assert_eq!(course(Side::Upstream), Course::Phone(flow()));
        assert_eq!(course(Side::Phones), Course::Upstream);
    }

    fn course_of(request: &Message) -> Course {
        division().course(request, Side::Phones, &names(), &key())
    }

    fn division() -> Division {
        Division { registers: true, feature_code: "*48".into() }
    }

    fn names() -> Names {
        let listener = ("192.0.2.1:5060".parse().unwrap(), Speaks::UdpAndTcp);
        Names::new("10.0.0.1:7060".parse().unwrap(), &[listener], &["lab.test".to_owned()])
    }

    fn key() -> Secret {
        Secret::new("test").derive("flow")
    }

    fn flow() -> Flow {
        Flow {
            transport: Transport::Udp,
            listener: "192.0.2.1:5060".parse().unwrap(),
            remote: "198.51.100.7:40000".parse().unwrap(),
            connection: 0,
        }
    }

    fn in_dialog(line: &str, route: &str) -> Message {
        let text = request(line, route, "").bytes().to_vec();
        let text = String::from_utf8(text).unwrap().replace("To: <sip:b@x>", "To: <sip:b@x>;tag=2");
        Message::parse(text.into(), &Limits::default()).unwrap()
    }

    fn request(line: &str, more: &str, body: &str) -> Message {
        let method = line.split(' ').next().unwrap();
        let text = format!(
            "{line} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{more}From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\n\
             Call-ID: c\r\nCSeq: 1 {method}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }
}
