//! How the roles reach each other: plainly, or by mutual TLS with certificates of one CA.
//!
//! [`Wires`] is what every role is given. It opens connections, takes them, and is the same code whether there is TLS or
//! not; a mixed mode is deliberately absent: with TLS every inner wire of a role has it, and a peer that speaks plainly is
//! refused. Whoever shows a certificate of the CA may speak; `name`, if there is one, must stand in it.
//!
//! [`Outside`] reaches servers of others, such as a provider's billing or an upstream, as any client on the web would.
//!
//! [`Front`] is shown to phones, which have no certificates.
//!
//! Certificates are read anew when their files change ([`watched`]); what is connected stays connected.

mod accept;
#[cfg(any(test, feature = "authority"))]
pub mod authority;
mod certificate;
mod complaints;
mod connect;
mod front;
mod identity;
pub mod metrics;
mod mutual;
mod outside;
mod reason;
mod stream;
mod watched;
mod wires;

#[cfg(test)]
mod tests;

pub use accept::Incoming;
pub use connect::Connector;
pub use front::Front;
pub use outside::{Outside, OutsideFiles};
pub use stream::{ReadHalf, Stream, WriteHalf};
pub use watched::BadFiles;
pub use wires::{Files, Wires};

/// What is spoken inside. Peers that both name it (ALPN) must agree, so a connection to the wrong port fails at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    Sip,
    /// HTTP/1.1, which only servers of others speak.
    Http,
}

impl Protocol {
    fn alpn(self) -> Vec<Vec<u8>> {
        let name: &[u8] = match self {
            Protocol::Grpc => b"h2",
            Protocol::Sip => b"sip/2",
            Protocol::Http => b"http/1.1",
        };
        vec![name.to_vec()]
    }
}
