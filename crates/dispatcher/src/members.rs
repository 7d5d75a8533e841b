//! The managers in use: who is a member, at which address, over which link.
//!
//! One value, replaced as a whole when the directory changes, so that a message finds its way without a lock. A manager
//! is known by its name: one that comes back at another address keeps its link, and with it what is in flight to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sip::{Instant, Message};

use crate::config::Manager;
use crate::link::Link;
use crate::route::{Order, Peer, Ranking, Standing};

pub struct Members {
    members: Vec<Member>,
    ranking: Ranking,
    /// The number of the next link.
    next: Peer,
}

struct Member {
    address: SocketAddr,
    link: Arc<Link>,
}

/// What follows from another list of managers.
pub struct Change {
    pub members: Members,
    /// To be run.
    pub joined: Vec<Arc<Link>>,
    /// To be left.
    pub left: Vec<Arc<Link>>,
}

impl Members {
    pub fn none() -> Members {
        Members { members: Vec::new(), ranking: Ranking::default(), next: Peer(1) }
    }

    /// Makes these the members, each with the link that its name has already; `queue` bounds the bytes that wait for a
    /// new one.
    pub fn changed_to(&self, managers: &[Manager], queue: usize) -> Change {
        let mut members: Vec<Member> = Vec::with_capacity(managers.len());
        let mut joined = Vec::new();
        let mut next = self.next;
        for manager in managers.iter().take(Peer::MAX) {
            if members.iter().any(|member| member.link.name == manager.name) {
                continue;
            }
            let link = self.named(&manager.name).cloned().unwrap_or_else(|| {
                let link = Link::new(next, &manager.name, manager.sip, queue);
                let link = Arc::new(link);
                next.0 += 1;
                joined.push(link.clone());
                link
            });
            link.move_to(manager.sip);
            members.push(Member { address: manager.sip, link });
        }
        let stays = |link: &Link| members.iter().any(|member| member.link.peer == link.peer);
        let left = self.links().filter(|link| !stays(link)).cloned().collect();
        let ranking =
            Ranking::new(members.iter().map(|member| (member.link.name.as_str(), member.link.peer)));
        Change { members: Members { members, ranking, next }, joined, left }
    }

    pub fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.members.iter().map(|member| &member.link)
    }

    pub fn link(&self, peer: Peer) -> Option<&Arc<Link>> {
        self.links().find(|link| link.peer == peer)
    }

    /// The link of the manager that calls itself by this address in its Via.
    pub fn at(&self, address: SocketAddr) -> Option<&Arc<Link>> {
        self.members.iter().find(|member| member.address == address).map(|member| &member.link)
    }

    pub fn order(&self, request: &Message) -> Order {
        self.ranking.order(request)
    }

    pub fn standings(&self, limit: Duration, now: Instant) -> impl Iterator<Item = (Peer, Standing)> {
        self.links().map(move |link| (link.peer, link.standing(limit, now)))
    }

    fn named(&self, name: &str) -> Option<&Arc<Link>> {
        self.links().find(|link| link.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_joins_gets_a_number_that_nobody_had() {
        let one = changed(&Members::none(), &[("a", 1), ("b", 2)]);
        let without = changed(&one.members, &[("a", 1)]);
        let again = changed(&without.members, &[("a", 1), ("b", 2)]);

        assert_eq!(peers(&one.joined), [Peer(1), Peer(2)]);
        assert_eq!(peers(&without.left), [Peer(2)]);
        assert_eq!(peers(&again.joined), [Peer(3)]);
    }

    #[test]
    fn one_that_moves_keeps_its_link_and_is_found_at_its_new_address() {
        let before = changed(&Members::none(), &[("a", 1)]).members;

        let Change { members, joined, left } = changed(&before, &[("a", 9)]);

        assert!(joined.is_empty() && left.is_empty());
        assert_eq!(members.at(address(9)).map(|link| link.peer), Some(Peer(1)));
        assert!(members.at(address(1)).is_none());
    }

    #[test]
    fn a_name_that_is_listed_twice_is_one_member() {
        let Change { members, joined, .. } = changed(&Members::none(), &[("a", 1), ("a", 2)]);

        assert_eq!((members.links().count(), joined.len()), (1, 1));
        assert!(members.at(address(1)).is_some());
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let crowd: Vec<_> = (0..100)
            .map(|n| Manager { name: format!("m{n}"), sip: "127.0.0.1:1".parse().unwrap() })
            .collect();

        let change = Members::none().changed_to(&crowd, 1_000);

        assert_eq!(change.members.links().count(), Peer::MAX);
    }

    fn changed(members: &Members, managers: &[(&str, u16)]) -> Change {
        let manager = |(name, port): &(&str, u16)| Manager { name: (*name).into(), sip: address(*port) };
        members.changed_to(&managers.iter().map(manager).collect::<Vec<_>>(), 1_000)
    }

    fn peers(links: &[Arc<Link>]) -> Vec<Peer> {
        links.iter().map(|link| link.peer).collect()
    }

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }
}
