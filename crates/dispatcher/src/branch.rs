//! The branches of our Via, which carry all that is needed to take an answer back.
//!
//! Towards a manager the branch is a hash of the phone's transaction (RFC 3261 16.11, 17.2.3), so a repeat gets the same one,
//! followed by the number of the attempt and by the phone's listener and connection: an answer finds its way even when
//! nothing is remembered of the request. Towards a phone it is a keyed hash of the manager's branch: the answer to a NOTIFY may
//! come to any dispatcher that shares the listener, and from another port than the phone is known by, so nothing but the branch
//! tells whose it is. Managers count theirs. Without the hash, whoever guessed one could end a subscription of somebody else
//! with a 481, or keep it from being told anything with a 200, from anywhere or over a flow of his own.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use sip::digits::push_hex;
use sip::{Checked, Message, Method, Name, Secret};

use crate::names::Leg;

const COOKIE: &str = "z9hG4bK";
/// Marks the branches of our pings, which no forwarded request has: those go on in lower-case hexadecimal.
const PING: &str = "z9hG4bKping-";

/// What a request in flight is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u128);

/// A branch of ours towards a manager or the upstream registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InnerBranch {
    pub key: Key,
    pub listener: usize,
    pub connection: u64,
}

impl InnerBranch {
    /// The same for every repeat of a request over the same flow.
    pub fn of(request: &Message, checked: &Checked, leg: &Leg) -> InnerBranch {
        InnerBranch {
            key: key(request, checked, request.method_text(), leg),
            listener: leg.listener,
            connection: leg.connection,
        }
    }

    pub fn text(&self) -> String {
        let mut text = beginning(self.key);
        text.push_str("0.");
        push_hex(&mut text, self.listener as u128, 1);
        text.push('.');
        push_hex(&mut text, self.connection.into(), 1);
        text
    }

    /// `None` for a branch that is none of ours.
    pub fn parse(branch: &str) -> Option<InnerBranch> {
        let (key, behind) = branch.strip_prefix(COOKIE)?.split_at_checked(KEY_DIGITS)?;
        let mut parts = behind.strip_prefix('.')?.split('.');
        let _attempt = from_hex(parts.next()?)?;
        let listener = from_hex(parts.next()?)?.try_into().ok()?;
        let connection = from_hex(parts.next()?)?.try_into().ok()?;
        parts.next().is_none().then_some(InnerBranch { key: Key(from_hex(key)?), listener, connection })
    }
}

/// Of the key in a branch towards a manager, in hexadecimal.
const KEY_DIGITS: usize = 32;
/// Of the hash in one towards a phone: 80 bits, to be guessed within the 32 s for which somebody waits for the answer.
const OUTER_DIGITS: usize = 20;

/// Makes and recognises the branches of requests towards phones.
pub struct OuterBranches {
    secret: Secret,
}

impl OuterBranches {
    pub fn new(secret: &Secret) -> OuterBranches {
        OuterBranches { secret: secret.derive("branch") }
    }

    pub fn of(&self, manager_branch: &str) -> String {
        let mut text = String::with_capacity(COOKIE.len() + OUTER_DIGITS);
        text.push_str(COOKIE);
        push_hex(&mut text, self.number(manager_branch), OUTER_DIGITS);
        text
    }

    pub fn is_ours(&self, branch: &str, manager_branch: &str) -> bool {
        let number = branch.strip_prefix(COOKIE).filter(|number| number.len() == OUTER_DIGITS);
        number.is_some_and(|number| from_hex(number) == Some(self.number(manager_branch)))
    }

    fn number(&self, manager_branch: &str) -> u128 {
        let mac = self.secret.sign(&[manager_branch.as_bytes()]);
        let number = u128::from_be_bytes(*mac.first_chunk().expect("it has 32 bytes"));
        number >> (4 * (KEY_DIGITS - OUTER_DIGITS))
    }
}

/// The forwarded request as another transaction of the next hop (RFC 3261 8.1.1.7). Whoever has refused it repeats the
/// refusal to the same branch, even when it serves by now. After nine attempts the branch stays as it is.
pub fn attempted_again(request: &Bytes, key: Key) -> Bytes {
    let beginning = beginning(key);
    let mut bytes = request.to_vec();
    let found = bytes.windows(beginning.len()).position(|window| window == beginning.as_bytes());
    let attempt = found.and_then(|at| bytes.get_mut(at + beginning.len()));
    if let Some(attempt @ b'0'..=b'8') = attempt {
        *attempt += 1;
    }
    bytes.into()
}

/// What all attempts of a request have in common; the digit of the attempt follows.
fn beginning(key: Key) -> String {
    let mut text = String::with_capacity(64);
    text.push_str(COOKIE);
    push_hex(&mut text, key.0, KEY_DIGITS);
    text.push('.');
    text
}

pub fn ping(sequence: u32) -> String {
    format!("{PING}{sequence:x}")
}

/// Which of our pings a branch belongs to.
pub fn ping_sequence(branch: &str) -> Option<u32> {
    u32::from_str_radix(branch.strip_prefix(PING)?, 16).ok()
}

/// The requests that a CANCEL may be about: it differs from its request in the method alone (RFC 3261 9.1).
pub fn cancelled(cancel: &Message, checked: &Checked, leg: &Leg) -> impl Iterator<Item = Key> {
    const METHODS: [Method; 8] = [
        Method::Subscribe,
        Method::Publish,
        Method::Register,
        Method::Options,
        Method::Message,
        Method::Notify,
        Method::Invite,
        Method::Refer,
    ];
    METHODS.iter().map(move |method| key(cancel, checked, method.as_str(), leg))
}

/// The To-tag of an answer that we give ourselves: the same for every repeat of the request.
pub fn to_tag(request: &Message) -> String {
    let mut hasher = DefaultHasher::new();
    hash_request(request, &mut hasher);
    request.header(Name::CSeq).hash(&mut hasher);
    let mut text = String::with_capacity(16);
    push_hex(&mut text, hasher.finish().into(), 16);
    text
}

/// The same for every repeat of the request, if `method` is its method.
fn key(request: &Message, checked: &Checked, method: &str, leg: &Leg) -> Key {
    let mut hasher = DefaultHasher::new();
    let Checked { via, cseq, .. } = checked;
    (via.branch, via.host, via.port).hash(&mut hasher);
    // Two phones that share everything above, as copies of one configuration do behind two NATs, are still two.
    (leg.listener, leg.remote, leg.connection).hash(&mut hasher);
    match via.unique_branch() {
        // More than it names a transaction by, for phones that use a branch again.
        Some(_) => request.header(Name::CallId).hash(&mut hasher),
        None => hash_request(request, &mut hasher),
    }
    (cseq.number, method).hash(&mut hasher);
    let halves = [0u8, 1].map(|half| {
        let mut hasher = hasher.clone();
        half.hash(&mut hasher);
        u128::from(hasher.finish())
    });
    Key(halves[0] << 64 | halves[1])
}

fn hash_request(request: &Message, hasher: &mut DefaultHasher) {
    request.request_uri().hash(hasher);
    for name in [Name::CallId, Name::From, Name::To] {
        request.header(name).hash(hasher);
    }
}

/// What `push_hex` wrote; `None` for other text, and for what no number of ours would fill.
fn from_hex(text: &str) -> Option<u128> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if !(1..=32).contains(&text.len()) {
        return None;
    }
    text.bytes().try_fold(0, |number, byte| Some(number << 4 | u128::from(digit(byte)?)))
}

#[cfg(test)]
mod tests {
    use sip::{Limits, Transport};

    use super::*;

    #[test]
    fn a_branch_reads_back() {
        let branch = InnerBranch { key: Key(0xabc), listener: 3, connection: 0x1f_0000_0001 };

        assert_eq!(branch.text(), "z9hG4bK00000000000000000000000000000abc.0.3.1f00000001");
        assert_eq!(InnerBranch::parse(&branch.text()), Some(branch));
    }

    #[test]
    fn another_attempt_has_another_branch_for_the_same_request() {
        let branch = InnerBranch { key: Key(0xabc), listener: 3, connection: 7 };
        let request = Bytes::from(format!("Via: SIP/2.0/TCP h;branch={}\r\n", branch.text()));

        let again = (0..20).fold(attempted_again(&request, branch.key), |request, _| {
            let text = std::str::from_utf8(&request).unwrap();
            assert_eq!(InnerBranch::parse(text.trim_end().rsplit_once('=').unwrap().1), Some(branch));
            attempted_again(&request, branch.key)
        });

        assert_ne!(attempted_again(&request, branch.key), request);
        assert_eq!(again.len(), request.len());
    }

    #[test]
    fn a_branch_of_another_shape_is_not_ours() {
        for text in [
            "",
            "z9hG4bK",
            "z9hG4bKabc",
            "z9hG4bKabc.0.0",
            "z9hG4bKabc.0.0.0.0",
            "z9hG4bKxyz.0.0.0",
            "abc.0.0.0",
        ] {
            assert_eq!(InnerBranch::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_ping_is_no_forwarded_request() {
        assert_eq!(ping_sequence(&ping(77)), Some(77));
        assert_eq!(InnerBranch::parse(&ping(77)), None);
    }

    #[test]
    fn the_branch_towards_a_phone_can_not_be_made_without_the_secret() {
        let (ours, other) =
            (OuterBranches::new(&Secret::new("ours")), OuterBranches::new(&Secret::new("other")));

        let branch = ours.of("z9hG4bKmanager");

        assert!(ours.is_ours(&branch, "z9hG4bKmanager"));
        assert!(!ours.is_ours(&branch, "z9hG4bKmanager2"));
        assert!(!other.is_ours(&branch, "z9hG4bKmanager"));
    }

    #[test]
    fn a_cancel_finds_the_request_that_it_is_about_and_no_other() {
        let leg = Leg {
            transport: Transport::Udp,
            listener: 0,
            remote: "192.0.2.9:5060".parse().unwrap(),
            connection: 0,
        };
        let key = |branch: &str| {
            let publish = request("PUBLISH", branch);
            InnerBranch::of(&publish, &publish.checked().unwrap(), &leg).key
        };

        for branch in ["z9hG4bK1", "1"] {
            let cancel = request("CANCEL", branch);
            let about: Vec<_> = cancelled(&cancel, &cancel.checked().unwrap(), &leg).collect();

            assert!(about.contains(&key(branch)));
            assert!(!about.contains(&key("z9hG4bK2")) && !about.contains(&key("2")));
        }
    }

    fn request(method: &str, branch: &str) -> Message {
        let text = format!(
            "{method} sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch={branch}\r\nFrom: <sip:a@x>;tag=1\r\n\
             To: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }
}
