//! The way to a provider's billing: plain, or TLS verified by the host that is dialled.

use std::sync::Arc;

use tls::{Connector, Outside, OutsideFiles, Protocol, Wires};

use crate::backend::BadBackend;

pub struct Way(Option<Arc<Outside>>);

impl Way {
    /// TLS where the URL says https.
    pub fn to(url: &str, files: OutsideFiles) -> Result<Way, BadBackend> {
        if url.starts_with("https://") {
            return Ok(Way(Some(Outside::new("billing", files)?)));
        }
        match files {
            OutsideFiles { ca: None, own: None } => Ok(Way(None)),
            _ => Err(BadBackend::FilesWithoutTls(url.to_owned())),
        }
    }

    pub fn connector(&self, protocol: Protocol) -> Connector {
        match &self.0 {
            Some(outside) => outside.connector(protocol),
            None => Wires::plain().connector(),
        }
    }

    /// Takes up new certificates, for ever.
    pub async fn keep_fresh(&self) {
        if let Some(outside) = &self.0 {
            outside.clone().keep_fresh().await;
        }
    }
}
