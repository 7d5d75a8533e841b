//! What is known of the directory, as a value.
//!
//! Versions only rise, so a place that lags takes nothing back. A dispatcher belongs to the cluster whose directory it
//! learned first: after that, what another cluster says is refused, or a wrong address would turn all requests over to
//! managers that know none of the dialogs.

use std::net::SocketAddr;

use proto::v1::{DirectoryMember, DirectoryState};

use crate::config::Manager;
use crate::route::Peer;

#[derive(Debug, Default)]
pub struct Known {
    /// Its cluster and version; `None` while nothing is known.
    at: Option<(u64, u64)>,
    managers: Vec<Manager>,
    places: Vec<String>,
}

/// Something newer.
#[derive(Debug, PartialEq)]
pub struct Learned {
    /// So many members can not be used.
    pub skipped: usize,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    #[error("it is of cluster {told:016x}, and we belong to {known:016x}")]
    Foreign { known: u64, told: u64 },
    #[error("version {0} names no manager with a usable address")]
    Nobody(u64),
}

/// A name is a label of metrics, and a word in logs.
const LONGEST_NAME: usize = 255;

impl Known {
    /// Takes over what is newer; `None` if it is not.
    pub fn learn(&mut self, state: &DirectoryState) -> Result<Option<Learned>, Refused> {
        if state.cluster == 0 {
            // Not born yet.
            return Ok(None);
        }
        match self.at {
            Some((known, _)) if known != state.cluster => {
                return Err(Refused::Foreign { known, told: state.cluster });
            }
            Some((_, version)) if version >= state.version => return Ok(None),
            _ => {}
        }
        let managers = managers(&state.members);
        if managers.is_empty() {
            return Err(Refused::Nobody(state.version));
        }
        let started = state.members.iter().filter(|member| !has_not_started(member)).count();
        let skipped = started - managers.len();
        self.at = Some((state.cluster, state.version));
        self.managers = managers;
        let places = state.members.iter().map(|member| &member.grpc).filter(|place| is_place(place));
        self.places = places.take(Peer::MAX).cloned().collect();
        Ok(Some(Learned { skipped }))
    }

    pub fn managers(&self) -> &[Manager] {
        &self.managers
    }

    /// Where the directory is told, by its own word.
    pub fn places(&self) -> &[String] {
        &self.places
    }
}

/// Whether it has the form `host:port`.
pub fn is_place(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    !host.is_empty() && host.len() <= LONGEST_NAME && host.chars().all(is_host) && port.parse::<u16>().is_ok()
}

/// Those that can be connected to, as many as we use, each name once.
fn managers(members: &[DirectoryMember]) -> Vec<Manager> {
    let mut managers: Vec<Manager> = Vec::new();
    for manager in members.iter().filter_map(manager) {
        if managers.len() < Peer::MAX && !managers.iter().any(|known| known.name == manager.name) {
            managers.push(manager);
        }
    }
    managers
}

fn manager(member: &DirectoryMember) -> Option<Manager> {
    let name = &member.name;
    let is_named = !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(char::is_control);
    // A manager calls itself by this address in its Via, so it is an address and no name.
    let sip: SocketAddr = member.sip.parse().ok()?;
    let is_somewhere = sip.port() != 0 && !sip.ip().is_unspecified();
    (is_named && is_somewhere).then(|| Manager { name: name.clone(), sip })
}

/// It has no address yet, which is nothing to warn of.
fn has_not_started(member: &DirectoryMember) -> bool {
    member.incarnation == 0 && member.sip.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_version_replaces_what_is_known() {
        let mut known = Known::default();

        assert_eq!(known.learn(&state(1, 7, &["a"])), Ok(Some(Learned { skipped: 0 })));
        assert_eq!(known.learn(&state(1, 7, &["b"])), Ok(None));
        assert_eq!(known.learn(&state(1, 6, &["b"])), Ok(None));
        assert_eq!(names(&known), ["a"]);

        assert_eq!(known.learn(&state(1, 8, &["a", "b"])), Ok(Some(Learned { skipped: 0 })));
        assert_eq!(names(&known), ["a", "b"]);
        assert_eq!(known.places(), ["a.test:7201", "b.test:7201"]);
    }

    #[test]
    fn what_another_cluster_says_is_refused_however_new() {
        let mut known = Known::default();
        known.learn(&state(1, 7, &["a"])).unwrap();

        let refused = known.learn(&state(2, 9, &["b"]));

        assert_eq!(refused, Err(Refused::Foreign { known: 1, told: 2 }));
        assert_eq!(names(&known), ["a"]);
    }

    #[test]
    fn a_cluster_that_is_not_born_teaches_nothing_and_binds_nobody() {
        let mut known = Known::default();

        assert_eq!(known.learn(&state(0, 1, &["a"])), Ok(None));
        assert!(known.learn(&state(5, 1, &["a"])).is_ok());
        assert_eq!(names(&known), ["a"]);
    }

    #[test]
    fn members_that_can_not_be_reached_are_skipped_and_the_others_used() {
        let mut told = state(1, 7, &["a", "b", "c", "d", "e", "a", "f"]);
        told.members[1].sip = "manager-2".into();
        told.members[2].sip = "0.0.0.0:7101".into();
        told.members[3].name = String::new();
        told.members[4].name = "a\nb".into();
        let mut known = Known::default();

        let learned = known.learn(&told);

        assert_eq!(learned, Ok(Some(Learned { skipped: 5 })));
        assert_eq!(names(&known), ["a", "f"]);
    }

    #[test]
    fn one_that_never_started_is_nothing_to_warn_of() {
        let mut told = state(1, 7, &["a", "b"]);
        told.members[1] = DirectoryMember { sip: String::new(), incarnation: 0, ..told.members[1].clone() };
        let mut known = Known::default();

        assert_eq!(known.learn(&told), Ok(Some(Learned { skipped: 0 })));
        assert_eq!(names(&known), ["a"]);
    }

    #[test]
    fn a_directory_of_nobody_leaves_those_who_are_known_in_use() {
        let mut known = Known::default();
        known.learn(&state(1, 7, &["a"])).unwrap();

        assert_eq!(known.learn(&state(1, 8, &[])), Err(Refused::Nobody(8)));
        assert_eq!(names(&known), ["a"]);
    }

    #[test]
    fn a_crowd_is_cut_to_as_many_as_are_used() {
        let names: Vec<_> = (0..1_000).map(|n| format!("m{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut known = Known::default();

        known.learn(&state(1, 7, &names)).unwrap();

        assert_eq!((known.managers().len(), known.places().len()), (Peer::MAX, Peer::MAX));
    }

    #[test]
    fn a_place_is_a_host_and_a_port() {
        for place in ["127.0.0.1:7201", "[::1]:7201", "manager-1.vedette.svc:7201"] {
            assert!(is_place(place), "{place}");
        }
        for place in ["", "host", ":7201", "host:", "host:port", "http://host:7201", "ho st:1", "host:70000"]
        {
            assert!(!is_place(place), "{place}");
        }
    }

    fn state(cluster: u64, version: u64, names: &[&str]) -> DirectoryState {
        let member = |name: &&str| DirectoryMember {
            node: 1,
            name: (*name).to_owned(),
            grpc: format!("{name}.test:7201"),
            sip: "10.0.0.11:7101".into(),
            incarnation: 1,
            level: 1,
        };
        let members = names.iter().map(member).collect();
        DirectoryState { cluster, version, level: 1, slots: vec![1; 1_024], members }
    }

    fn names(known: &Known) -> Vec<&str> {
        known.managers().iter().map(|manager| manager.name.as_str()).collect()
    }
}
