//! The SIP service behind us, which takes what is not ours.

pub mod dns;
pub mod found;
pub mod locate;
