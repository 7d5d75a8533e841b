//! Subscription-State (RFC 6665 §4.1.3): what a NOTIFY says about its own subscription.

use super::lex;
use super::params::Params;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionState<'a> {
    pub state: State,
    /// Why it was terminated, as written: `timeout`, `noresource`, ...
    pub reason: Option<&'a str>,
    pub expires: Option<u32>,
    pub retry_after: Option<u32>,
    pub params: Params<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Active,
    Pending,
    Terminated,
    /// An extension; treated as active (RFC 6665 §4.1.3).
    Other,
}

impl<'a> SubscriptionState<'a> {
    pub fn parse(value: &'a [u8]) -> Option<SubscriptionState<'a>> {
        let value = std::str::from_utf8(value).ok()?;
        let (state, params) = value.split_at(value.find(';').unwrap_or(value.len()));
        let (state, params) = (state.trim_ascii(), Params::new(params));
        let number = |name| params.get(name).flatten().and_then(|text| lex::clamped_number(text.as_bytes()));
        lex::is_token(state.as_bytes()).then(|| SubscriptionState {
            state: State::parse(state),
            reason: params.get("reason").flatten(),
            expires: number("expires"),
            retry_after: number("retry-after"),
            params,
        })
    }
}

impl State {
    fn parse(text: &str) -> State {
        match text.to_ascii_lowercase().as_str() {
            "active" => State::Active,
            "pending" => State::Pending,
            "terminated" => State::Terminated,
            _ => State::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_notify_names_its_reason() {
        let state = SubscriptionState::parse(b"Terminated;reason=probation;retry-after=30").unwrap();

        assert_eq!(state.state, State::Terminated);
        assert_eq!(state.reason, Some("probation"));
        assert_eq!(state.retry_after, Some(30));
        assert_eq!(state.expires, None);
    }

    #[test]
    fn an_unknown_state_is_an_extension_and_no_state_is_an_error() {
        assert_eq!(SubscriptionState::parse(b"waiting;expires=9").unwrap().state, State::Other);
        assert_eq!(SubscriptionState::parse(b";expires=9"), None);
    }
}
