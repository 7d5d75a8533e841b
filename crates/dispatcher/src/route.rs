//! Which managers a request may go to, in which order, and which of them serve.
//!
//! PUBLISH and REGISTER are ranked by the presentity, so the requests of one presentity keep their order; everything
//! else by Call-ID, so a dialog stays at the manager that owns it. The order is over all members and never changes with
//! their health: one that is down is passed over, and its keys come back to it when it returns.

use std::time::Duration;

use placement::{NodeId, PresentityKey, rendezvous};
use sip::{Instant, Message, Method};
use smallvec::SmallVec;

/// A next hop. A number is given once and never again, so what is in flight can not be taken for a newcomer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub u64);

/// Best first.
pub type Order = SmallVec<[Peer; 4]>;

/// What may be expected of each peer now. Of one that is not listed, because it has left, nothing.
#[derive(Clone, Debug, Default)]
pub struct Standings(SmallVec<[(Peer, Standing); 8]>);

/// What may be expected of a peer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It said lately that it serves.
    Live,
    /// Connected, but its next word is overdue.
    Doubtful,
    /// Not connected, or it says that it does not serve, or has not said anything yet.
    Down,
}

impl Peer {
    /// So many managers are offered a request. More members than this are not used.
    pub const MAX: usize = 64;
}

impl Standings {
    pub fn of(&self, peer: Peer) -> Standing {
        let found = self.0.iter().find(|(candidate, _)| *candidate == peer);
        found.map_or(Standing::Down, |(_, standing)| *standing)
    }

    pub fn managers(&self) -> impl Iterator<Item = Peer> {
        self.0.iter().map(|(peer, _)| *peer)
    }
}

impl FromIterator<(Peer, Standing)> for Standings {
    fn from_iter<T: IntoIterator<Item = (Peer, Standing)>>(each: T) -> Standings {
        Standings(each.into_iter().collect())
    }
}

/// The managers as rendezvous hashing ranks them.
#[derive(Default)]
pub struct Ranking {
    nodes: Vec<(NodeId, Peer)>,
}

impl Ranking {
    /// Managers are ranked by name, so every dispatcher ranks them alike.
    pub fn new<'a>(managers: impl IntoIterator<Item = (&'a str, Peer)>) -> Ranking {
        Ranking { nodes: managers.into_iter().map(|(name, peer)| (node(name), peer)).collect() }
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
        let peer = |node| self.nodes.iter().find(|(known, _)| *known == node).map(|(_, peer)| *peer);
        let ranked = rendezvous::order(key, self.nodes.iter().map(|(node, _)| *node));
        ranked.into_iter().filter_map(peer).take(Peer::MAX).collect()
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

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    pub fn standing(&self, limit: Duration, now: Instant) -> Standing {
        match self.heard {
            Some((last, true)) if self.connected && now - last < limit => Standing::Live,
            Some((_, true)) if self.connected => Standing::Doubtful,
            _ => Standing::Down,
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
        let ranking = Ranking::new(numbered(&NAMES));

        let first = ranking.order(&request("SUBSCRIBE", "sip:bob@lab.test", "call-1"));
        let refresh = ranking.order(&request("SUBSCRIBE", "sip:10.0.0.11:7070", "call-1"));

        assert_eq!(first, refresh);
        assert_eq!(first.len(), NAMES.len());
    }

    #[test]
    fn the_publications_of_one_presentity_go_to_one_manager_however_it_is_written() {
        let ranking = Ranking::new(numbered(&NAMES));

        let one = ranking.order(&request("PUBLISH", "sip:bob@lab.test", "call-1"));
        let other = ranking.order(&request("PUBLISH", "sip:%62ob@LAB.test:5060;transport=tcp", "call-2"));

        assert_eq!(one, other);
    }

    #[test]
    fn a_registration_goes_where_the_publications_of_its_user_go() {
        let ranking = Ranking::new(numbered(&NAMES));

        let publish = ranking.order(&request("PUBLISH", "sip:bob@lab.test", "call-1"));
        let register = ranking.order(&request("REGISTER", "sip:lab.test", "call-2"));

        assert_eq!(publish, register);
    }

    #[test]
    fn a_publication_for_no_presentity_still_has_an_order() {
        let order = Ranking::new(numbered(&NAMES)).order(&request("PUBLISH", "sip:lab.test", "call-1"));

        assert_eq!(order.len(), NAMES.len());
    }

    #[test]
    fn when_a_manager_leaves_the_configuration_only_its_own_dialogs_move() {
        let left = ["manager-0", "manager-2", "manager-3"];
        let (with, without) = (Ranking::new(numbered(&NAMES)), Ranking::new(numbered(&left)));

        for n in 0..200 {
            let subscribe = request("SUBSCRIBE", "sip:bob@lab.test", &format!("call-{n}"));
            let before = with.order(&subscribe)[0];
            let after = without.order(&subscribe)[0];
            assert!(name(&NAMES, before) == "manager-1" || name(&NAMES, before) == name(&left, after));
        }
    }

    #[test]
    fn dispatchers_that_list_managers_differently_choose_the_same_one() {
        let backwards: Vec<_> = NAMES.into_iter().rev().collect();
        let subscribe = request("SUBSCRIBE", "sip:bob@lab.test", "call-1");

        let one = name(&NAMES, Ranking::new(numbered(&NAMES)).order(&subscribe)[0]);
        let other = name(&backwards, Ranking::new(numbered(&backwards)).order(&subscribe)[0]);

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
    fn a_new_connection_is_down_until_the_first_word() {
        let mut liveness = Liveness::default();
        liveness.serving(Instant(1_000));

        liveness.connected();

        assert_eq!(liveness.standing(LIMIT, Instant(1_001)), Standing::Down);
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

    fn numbered<'a>(names: &[&'a str]) -> Vec<(&'a str, Peer)> {
        names.iter().copied().zip((1..).map(Peer)).collect()
    }

    fn name<'a>(names: &[&'a str], peer: Peer) -> &'a str {
        names[usize::try_from(peer.0 - 1).unwrap()]
    }

    fn request(method: &str, uri: &str, call_id: &str) -> Message {
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:bob@lab.test>;tag=a\r\n\
             To: <sip:bob@lab.test>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }
}
