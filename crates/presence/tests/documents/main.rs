//! The document half of presence seen from outside: bytes of strangers in, documents for watchers out.

mod captured;
mod hostile;
mod policy;
mod properties;
mod support;
mod truth;
