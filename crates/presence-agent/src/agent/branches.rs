//! Names of our client transactions, unique in space and time: the group (so that an answer finds it), a count, the node,
//! and its start.

use std::sync::Arc;

use sip::digits::push_hex;

use crate::config::Config;

#[derive(Debug)]
pub(super) struct Branches {
    before: String,
    /// Of this start.
    count: u64,
    behind: String,
}

impl Branches {
    pub fn new(config: &Config) -> Branches {
        Branches {
            before: format!("z9hG4bK{}-", config.group),
            count: 0,
            behind: format!("-{:x}-{:x}", config.node.0, config.incarnation),
        }
    }

    pub fn next(&mut self) -> Arc<str> {
        self.count += 1;
        let mut branch = String::with_capacity(self.before.len() + 16 + self.behind.len());
        branch.push_str(&self.before);
        push_hex(&mut branch, self.count.into(), 1);
        branch.push_str(&self.behind);
        branch.into()
    }
}
