//! Dialogs, as far as the message layer knows them (RFC 3261 §12): their name, their route set, and how
//! a request inside of one is addressed. What a dialog is for, and its CSeq, belong to its user.

use crate::fault::Fault;
use crate::header::{Name, NameAddr};
use crate::message::Message;
use crate::uri::Uri;

/// The name of a dialog, from where we stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialogId {
    pub call_id: String,
    pub local_tag: String,
    pub remote_tag: String,
}

impl DialogId {
    /// The dialog that a received request belongs to; `None` if its To has no tag, so that it is to
    /// create one. A From without a tag is an empty one (RFC 3261 §12.1.1).
    pub fn of_request(request: &Message) -> Result<Option<DialogId>, Fault> {
        let (from, to) = (request.from()?, request.to()?);
        Ok(to.tag().map(|local_tag| DialogId {
            call_id: request.call_id().to_string(),
            local_tag: local_tag.to_string(),
            remote_tag: from.tag().unwrap_or_default().to_string(),
        }))
    }
}

/// The Record-Route values of a request, in the order in which its receiver uses them as Route
/// (RFC 3261 §12.1.1): values that can not be read are left out, which `check` would have refused.
pub fn route_set(request: &Message) -> Vec<String> {
    let text = |value: &[u8]| std::str::from_utf8(value).ok().map(str::to_string);
    request.values(Name::RecordRoute).filter_map(text).collect()
}

/// Request-URI and Route values of a request inside a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressing {
    pub request_uri: String,
    pub routes: Vec<String>,
}

impl Addressing {
    /// RFC 3261 §12.2.1.1, with its rule for a strict router at the top of the route set.
    pub fn new(remote_target: &str, route_set: &[String]) -> Addressing {
        let Some((first, others)) = route_set.split_first() else {
            return Addressing { request_uri: remote_target.to_string(), routes: Vec::new() };
        };
        let first_uri = NameAddr::parse(first.as_bytes()).map_or("", |route| route.uri);
        let strict = Uri::parse(first_uri).is_ok_and(|uri| uri.params.get("lr").is_none());
        if !strict {
            return Addressing { request_uri: remote_target.to_string(), routes: route_set.to_vec() };
        }
        let target = format!("<{remote_target}>");
        Addressing {
            // Parameters that are not allowed in a Request-URI go; headers are the only ones we may meet.
            request_uri: first_uri.split('?').next().unwrap_or_default().to_string(),
            routes: others.iter().cloned().chain([target]).collect(),
        }
    }

    /// Where the request goes first: the topmost Route, or the target.
    pub fn next_hop(&self) -> &str {
        let first = self.routes.first().and_then(|route| NameAddr::parse(route.as_bytes()));
        first.map_or(&self.request_uri, |route| route.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Limits;

    fn subscribe(head: &str) -> Message {
        let text = format!("SUBSCRIBE sip:a SIP/2.0\r\nCall-ID: c@lab\r\n{head}\r\n\r\n");
        Message::parse(text.into(), &Limits::default()).unwrap()
    }

    fn routes(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| value.to_string()).collect()
    }

    #[test]
    fn a_request_without_a_to_tag_belongs_to_no_dialog_yet() {
        let outside = subscribe("From: <sip:w>;tag=w\r\nTo: <sip:p>");
        let inside = subscribe("From: sip:w;tag=w\r\nTo: sip:p;tag=p");

        assert_eq!(DialogId::of_request(&outside), Ok(None));
        let id = DialogId::of_request(&inside).unwrap().unwrap();
        assert_eq!((id.call_id.as_str(), id.local_tag.as_str(), id.remote_tag.as_str()), ("c@lab", "p", "w"));
    }

    #[test]
    fn the_route_set_keeps_the_order_of_the_request() {
        let request =
            subscribe("Record-Route: <sip:inner;lr>, <sip:public;lr>\r\nRecord-Route: <sip:far;lr>");

        assert_eq!(route_set(&request), ["<sip:inner;lr>", "<sip:public;lr>", "<sip:far;lr>"]);
    }

    #[test]
    fn loose_routers_are_routes_and_the_target_is_the_request_uri() {
        let set = routes(&["<sip:p1;lr>", "<sip:p2;lr=on>"]);

        let addressing = Addressing::new("sip:bob@192.0.2.9", &set);

        assert_eq!(addressing.request_uri, "sip:bob@192.0.2.9");
        assert_eq!(addressing.routes, set);
        assert_eq!(addressing.next_hop(), "sip:p1;lr");
    }

    #[test]
    fn a_strict_router_takes_the_place_of_the_target() {
        let addressing = Addressing::new("sip:bob@192.0.2.9", &routes(&["<sip:old>", "<sip:p2;lr>"]));

        assert_eq!(addressing.request_uri, "sip:old");
        assert_eq!(addressing.routes, ["<sip:p2;lr>", "<sip:bob@192.0.2.9>"]);
    }

    #[test]
    fn without_routes_the_target_is_the_next_hop() {
        assert_eq!(Addressing::new("sip:bob@192.0.2.9", &[]).next_hop(), "sip:bob@192.0.2.9");
    }
}
