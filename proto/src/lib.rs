//! What crosses a process border: the contracts (`auth`, `presence`, `admin`, `directory`) and the inner messages (`raft`,
//! `replica`, `membership`). The .proto files beside this crate are the documentation; nothing is added here but
//! how a call that failed is told.

mod failure;

pub use failure::reason;

/// Package `vedette.v1`.
pub mod v1 {
    #![allow(clippy::large_enum_variant, clippy::doc_markdown)]
    tonic::include_proto!("vedette.v1");
}
