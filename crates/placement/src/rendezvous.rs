//! Rendezvous hashing: every caller ranks the nodes for a key in the same order, and when a node goes only its own
//! keys move.

use crate::{NodeId, hash};

/// The nodes, best first for `key`.
pub fn order(key: &[u8], nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
    let key = hash::hash(key);
    let mut ranked: Vec<_> = nodes.into_iter().map(|node| (score(key, node), node)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.into_iter().map(|(_, node)| node).collect()
}

fn score(key: u64, node: NodeId) -> u64 {
    hash::mix(key ^ hash::mix(node.0.wrapping_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 4] = [NodeId(1), NodeId(2), NodeId(3), NodeId(4)];

    #[test]
    fn the_order_does_not_depend_on_how_the_nodes_were_listed() {
        let mut backwards = NODES;
        backwards.reverse();

        assert_eq!(order(b"call-1", NODES), order(b"call-1", backwards));
    }

    #[test]
    fn when_a_node_goes_only_its_own_keys_move() {
        for n in 0..500 {
            let key = format!("call-{n}");
            let with = order(key.as_bytes(), NODES);
            let without = order(key.as_bytes(), NODES.into_iter().filter(|node| *node != NodeId(2)));

            let expected: Vec<_> = with.into_iter().filter(|node| *node != NodeId(2)).collect();
            assert_eq!(without, expected);
        }
    }

    #[test]
    fn keys_spread_over_all_nodes() {
        let mut firsts = [0; 5];
        for n in 0..4000 {
            firsts[order(format!("call-{n}").as_bytes(), NODES)[0].0 as usize] += 1;
        }

        assert!(firsts[1..].iter().all(|count| (850..1150).contains(count)), "{firsts:?}");
    }
}
