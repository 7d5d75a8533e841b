//! The ids of one document: every one unique, whoever wrote the parts it is composed of (xs:ID, RFC 3863 §4.1.2).
//!
//! Two phones of one model publish the same tuple id, and some publish none. Whoever comes first keeps what he
//! wrote; any other gets an id made from his scope and what he wrote, so that it is the same in each document
//! that is composed from the same publications.

use std::collections::{BTreeMap, BTreeSet};

use super::simple::is_id;

#[derive(Debug, Default)]
pub struct Ids {
    taken: BTreeSet<String>,
    /// How often each scope and original made an id, so that repeats do not search from the start.
    made: BTreeMap<u64, u64>,
}

impl Ids {
    /// Takes the id if it is legal and still free.
    pub fn claim(&mut self, id: &str) -> bool {
        is_id(id) && !self.taken.contains(id) && self.taken.insert(id.to_owned())
    }

    /// The original if it can be had, else an id that begins with `letter`.
    pub fn assign(&mut self, letter: char, scope: &str, original: &str) -> String {
        if self.claim(original) {
            return original.to_owned();
        }
        let name = fnv1a([scope, "\0", original]);
        let made = self.made.entry(name).or_default();
        loop {
            let id = format!("{letter}{:016x}", name.wrapping_add(made.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
            *made += 1;
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }
}

/// FNV-1a: the same on every node and in every build, which the hashers of std do not promise.
fn fnv1a<const N: usize>(parts: [&str; N]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_keeps_its_id_and_the_next_gets_one_of_its_scope() {
        let mut ids = Ids::default();

        let first = ids.assign('t', "a", "sipjs");
        let second = ids.assign('t', "b", "sipjs");
        let again = Ids::default().assign('t', "b", "1sipjs");

        assert_eq!(first, "sipjs");
        assert!(second.starts_with('t') && is_id(&second) && second != again);
    }

    #[test]
    fn a_made_id_is_the_same_in_each_run() {
        assert_eq!(Ids::default().assign('t', "a", ""), "t089be207b544f1e4");
    }

    #[test]
    fn ids_are_unique_even_if_someone_wrote_the_made_one() {
        let made = Ids::default().assign('t', "a", "");
        let mut ids = Ids::default();

        assert!(ids.claim(&made));

        assert_ne!(ids.assign('t', "a", ""), made);
        assert_ne!(ids.assign('t', "a", ""), ids.assign('t', "a", ""));
    }
}
