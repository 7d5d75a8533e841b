//! Request methods (RFC 3261 §7.1 and its extensions).
//!
//! Methods are compared case-sensitively: `subscribe` is another, unknown method. An unknown
//! method is still a message we can answer (405, 501), so it is a value here and not an error;
//! its text stays in the message (`Message::method_text`).

/// A request method that some rule of ours names; everything else is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Subscribe,
    Notify,
    Publish,
    Message,
    Info,
    Refer,
    Update,
    Prack,
    Other,
}

impl Method {
    /// The method that `text` names; `Other` if no rule of ours knows it.
    pub fn parse(text: &str) -> Method {
        match text {
            "INVITE" => Method::Invite,
            "ACK" => Method::Ack,
            "BYE" => Method::Bye,
            "CANCEL" => Method::Cancel,
            "OPTIONS" => Method::Options,
            "REGISTER" => Method::Register,
            "SUBSCRIBE" => Method::Subscribe,
            "NOTIFY" => Method::Notify,
            "PUBLISH" => Method::Publish,
            "MESSAGE" => Method::Message,
            "INFO" => Method::Info,
            "REFER" => Method::Refer,
            "UPDATE" => Method::Update,
            "PRACK" => Method::Prack,
            _ => Method::Other,
        }
    }

    /// The name on the wire, empty for `Other`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Options => "OPTIONS",
            Method::Register => "REGISTER",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Publish => "PUBLISH",
            Method::Message => "MESSAGE",
            Method::Info => "INFO",
            Method::Refer => "REFER",
            Method::Update => "UPDATE",
            Method::Prack => "PRACK",
            Method::Other => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_in_lower_case_is_another_method() {
        assert_eq!(Method::parse("SUBSCRIBE"), Method::Subscribe);
        assert_eq!(Method::parse("subscribe"), Method::Other);
    }

    #[test]
    fn every_known_method_reads_back_from_its_own_name() {
        for method in [Method::Invite, Method::Publish, Method::Notify, Method::Prack, Method::Message] {
            assert_eq!(Method::parse(method.as_str()), method);
        }
    }
}
