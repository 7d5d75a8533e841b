//! The message layer against whole messages: torture suites, captures, a second parser, and chance.

mod captures;
mod corpus;
mod differential;
mod exercise;
mod mutation;
mod torture;
