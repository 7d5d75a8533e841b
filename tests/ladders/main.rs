//! Golden ladders: a whole flow through the presence agent, message by message, as a text that a person reads.
//!
//! A ladder is compared with the file beside this one. When a change of behaviour is meant, run the tests with
//! `UPDATE_LADDERS=1` and read the difference before committing it.

mod billing;
mod death;
mod feature_code;
mod publish;
mod register;
mod stage;
mod subscribe;
