//! Header fields: their names, and a borrowed type for each that our rules read.

pub mod contact;
pub mod cseq;
pub mod event;
pub(crate) mod lex;
pub mod name;
pub mod name_addr;
pub mod params;
pub mod subscription_state;
pub mod via;

pub use contact::Contacts;
pub use cseq::CSeq;
pub use event::Event;
pub use name::Name;
pub use name_addr::NameAddr;
pub use params::Params;
pub use subscription_state::{State, SubscriptionState};
pub use via::Via;
