//! Which managers a request may go to, in which order, and which of them serve.
//!
//! PUBLISH and REGISTER are ranked by the presentity, so the requests of one presentity keep their order; everything
//! else by Call-ID, so a dialog stays at the manager that owns it. The order is over all configured managers and never
//! changes with their health: one that is down is passed over, and its keys come back to it when it returns.

use std::time::Duration;

use placement::{NodeId, PresentityKey, rendezvous};
use sip::{Instant, Message, Method};
use smallvec::SmallVec;

/// A next hop, by its position: the managers as configured, then the upstream registrar if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub usize);

/// Best first.
pub type Order = SmallVec<[Peer; 4]>;

/// What may be expected of a peer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It said lately that it serves.
    Live,
    /// Connected, but its word is overdue.
    Doubtful,
    /// Not connected, or it says that it does not serve.
    Down,
}

impl Peer {
    /// So many managers can be configured.
    pub const MAX: usize = 64;

    pub fn standing(self, standings: &[Standing]) -> Standing {
        standings.get(self.0).copied().unwrap_or(Standing::Down)
    }
}

/// The managers as rendezvous hashing ranks them.
pub struct Ranking {
    nodes: Vec<NodeId>,
}

impl Ranking {
    /// Managers are ranked by name, so every dispatcher ranks them alike.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Ranking {
        Ranking { nodes: names.into_iter().map(node).collect() }
    }

    pub fn order(&self, request: &Message) -> Order {
        let presentity = match request.method() {
            Method::Publish => PresentityKey::of(request.request_uri()),
            Method::Register => request.to().ok().and_then(|to| PresentityKey::of(to.uri)),
            _ => None,
        };
        match presentity {
            Some(presentity) => self.ranked(presentity.as_str().as_bytes()),
            None => self.ranked(request.call_id().as_bytes()),
        }
    }

    fn ranked(&self, key: &[u8]) -> Order {
        let position = |node| self.nodes.iter().position(|candidate| *candidate == node).map(Peer);
        rendezvous::order(key, self.nodes.iter().copied()).into_iter().filter_map(position).collect()
    }
}

/// What a manager's connection and its answers to our pings say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Liveness {
    connected: bool,
    /// The last answer to a ping, and whether it was "serving".
    heard: Option<(Instant, bool)>,
}

impl Liveness {
    pub fn connected(&mut self) {
        *self = Liveness { connected: true, heard: None };
    }

    /// It answered a ping with 200.
    pub fn serving(&mut self, now: Instant) {
        self.heard = Some((now, true));
    }

    /// It answered a ping with anything else.
    pub fn declined(&mut self, now: Instant) {
        self.heard = Some((now, false));
    }

    /// When it last answered a ping.
    pub fn heard(&self) -> Option<Instant> {
        self.heard.map(|(at, _)| at)
    }

    pub fn lost(&mut self) {
        *self = Liveness::default();
    }

    pub fn standing(&self, limit: Duration, now: Instant) -> Standing {
        match self.heard {
            _ if !self.connected => Standing::Down,
            Some((_, false)) => Standing::Down,
            Some((last, true)) if now - last < limit => Standing::Live,
            _ => Standing::Doubtful,
        }
    }
}

/// The node id of a name: FNV-1a, which no release changes.
fn node(name: &str) -> NodeId {
    let mix = |state: u64, byte| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    NodeId(name.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

#[cfg(test)]
mod tests {
    use sip::Limits;

    use super::*;

    const NAMES: [&str; 4] = ["manager-0", "manager-1", "manager-2", "manager-3"];
    const LIMIT: Duration = Duration::from_millis(750);

    #[test]
    fn a_dialog_stays_at_one_manager() {
        let ranking = Ranking::new(NAMES);

        let first = ranking.order(&request("SUBSCRIBE", "sip:bob@lab.test", "call-1"));
        let refresh = ranking.order(&request("SUBSCRIBE", "sip:10.0.0.11:7070", "call-1"));

        assert_eq!(first, refresh);
        assert_eq!(first.len(), NAMES.len());
    }

    #[test]
    fn the_publications_of_one_presentity_go_to_one_manager_however_it_is_written() {
        let ranking = Ranking::new(NAMES);

        let one = ranking.order(&request("PUBLISH", "sip:bob@lab.test", "call-1"));
        let other = ranking.order(&request("PUBLISH", "sip:%62ob@LAB.test:5060;transport=tcp", "call-2"));

        assert_eq!(one, other);
    }

    #[test]
    fn a_registration_goes_where_the_publications_of_its_user_go() {
        let ranking = Ranking::new(NAMES);

        let publish = ranking.order(&request("PUBLISH", "sip:bob@lab.test", "call-1"));
        let register = ranking.order(&request("REGISTER", "sip:lab.test", "call-2"));

        assert_eq!(publish, register);
    }

    #[test]
    fn a_publication_for_no_presentity_still_has_an_order() {
        let order = Ranking::new(NAMES).order(&request("PUBLISH", "sip:lab.test", "call-1"));

        assert_eq!(order.len(), NAMES.len());
    }

    #[test]
    fn when_a_manager_leaves_the_configuration_only_its_own_dialogs_move() {
        let (with, without) =
            (Ranking::new(NAMES), Ranking::new(NAMES.into_iter().filter(|name| *name != "manager-1")));
        let left = ["manager-0", "manager-2", "manager-3"];

        for n in 0..200 {
            let subscribe = request("SUBSCRIBE", "sip:bob@lab.test", &format!("call-{n}"));
            let before = with.order(&subscribe)[0];
            let after = without.order(&subscribe)[0];
            assert!(NAMES[before.0] == "manager-1" || NAMES[before.0] == left[after.0]);
        }
    }

    #[test]
    fn dispatchers_that_list_managers_differently_choose_the_same_one() {
        let backwards: Vec<_> = NAMES.into_iter().rev().collect();
        let subscribe = request("SUBSCRIBE", "sip:bob@lab.test", "call-1");

        let one = NAMES[Ranking::new(NAMES).order(&subscribe)[0].0];
        let other = backwards[Ranking::new(backwards.iter().copied()).order(&subscribe)[0].0];

        assert_eq!(one, other);
    }

    #[test]
    fn a_manager_is_live_for_750_ms_after_it_said_so() {
        let mut liveness = Liveness::default();
        liveness.connected();

        liveness.serving(Instant(1_000));

        assert_eq!(liveness.standing(LIMIT, Instant(1_749)), Standing::Live);
        assert_eq!(liveness.standing(LIMIT, Instant(1_750)), Standing::Doubtful);
    }

    #[test]
    fn a_new_connection_is_doubtful_until_the_first_word() {
        let mut liveness = Liveness::default();
        liveness.serving(Instant(1_000));

        liveness.connected();

        assert_eq!(liveness.standing(LIMIT, Instant(1_001)), Standing::Doubtful);
    }

    #[test]
    fn who_says_not_serving_or_lost_its_connection_is_down_at_once() {
        let (mut declined, mut lost) = (Liveness::default(), Liveness::default());
        for liveness in [&mut declined, &mut lost] {
            liveness.connected();
            liveness.serving(Instant(1_000));
        }

        declined.declined(Instant(1_001));
        lost.lost();

        assert_eq!(declined.standing(LIMIT, Instant(1_002)), Standing::Down);
        assert_eq!(lost.standing(LIMIT, Instant(1_002)), Standing::Down);
    }

    fn request(method: &str, uri: &str, call_id: &str) -> Message {
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:bob@lab.test>;tag=a\r\n\
             To: <sip:bob@lab.test>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }
}
