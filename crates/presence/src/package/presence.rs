//! The `presence` event package (RFC 3856): who can be reached, and what they are doing.

use super::Package;
use crate::format::pidf::{BadDocument, Document, Limits};
use crate::said::Said;

/// RFC 3856 §6.4 for the hour, §6.7 for the type that every watcher and publisher must know.
pub const PACKAGE: Package =
    Package { name: "presence", default_expires: 3600, content_types: &["application/pidf+xml"], check };

fn check(body: &[u8]) -> Result<Said, BadDocument> {
    Document::parse(body, &Limits::default()).map(|document| Said::of(&document))
}
