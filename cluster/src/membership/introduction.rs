//! What a node says of itself, and what one hears when one asks the others who they are.

use placement::directory::Member;
use placement::{ClusterId, Directory, NodeId};

/// What the log of the system group may hold for this build to understand it.
pub const LEVEL: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    pub name: String,
    pub id: NodeId,
    pub incarnation: u64,
    /// Digest of the members and groups that it was configured with.
    pub declared: u64,
    pub sip: String,
    pub level: u32,
    /// A store was set aside here that may hold what a cluster had.
    pub set_aside: bool,
    /// The newest directory it knows; `None` while it belongs to no cluster.
    pub directory: Option<Directory>,
}

/// What became of the question who answers at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who should be there.
    pub name: String,
    pub address: String,
    pub said: Result<Introduction, String>,
}

impl Introduction {
    pub fn cluster(&self) -> Option<ClusterId> {
        self.directory.as_ref().map(|directory| directory.cluster)
    }

    /// How it stands in a directory, reached at this address.
    pub fn member(&self, grpc: &str) -> Member {
        Member {
            name: self.name.clone(),
            grpc: grpc.to_owned(),
            sip: self.sip.clone(),
            incarnation: self.incarnation,
            level: self.level,
        }
    }
}

impl Heard {
    /// The introduction, if the one who should be there is. An address may lead to somebody else for a while, where
    /// names are resolved to addresses that move.
    pub fn right(&self) -> Option<&Introduction> {
        self.said.as_ref().ok().filter(|said| said.name == self.name)
    }

    /// Who is missed, and why, for an operator.
    pub fn missed(&self) -> String {
        match &self.said {
            Ok(said) => format!("{} ({} answers as {})", self.name, self.address, said.name),
            Err(error) => format!("{} ({}: {error})", self.name, self.address),
        }
    }
}

/// What the one with this name said, wherever it is.
pub fn said_by<'a>(heard: &'a [Heard], name: &str) -> Option<&'a Introduction> {
    heard.iter().filter(|heard| heard.name == name).find_map(Heard::right)
}

/// The newest directory of a cluster that anybody mentioned.
pub fn newest(heard: &[Heard], cluster: ClusterId) -> Option<&Directory> {
    let directories = heard.iter().filter_map(Heard::right).filter_map(|said| said.directory.as_ref());
    directories.filter(|directory| directory.cluster == cluster).max_by_key(|directory| directory.version)
}
