//! The link to the auth-adapter: one call per question, bounded in number and in time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics::counter;
use presence_agent::Ticket;
use presence_agent::verdict::{Question, Verdict};
use proto::v1::auth_client::AuthClient;
use tokio::sync::{Semaphore, mpsc};
use tonic::transport::{Channel, Endpoint};
use tracing::warn;

use crate::codec;
use crate::config::LinkLimits;
use crate::driver::Input;
use crate::metrics::{QUESTIONS, QUESTIONS_FAILED};

#[derive(Clone)]
pub struct AuthLink {
    client: AuthClient<Channel>,
    room: Arc<Semaphore>,
    timeout: Duration,
}

impl AuthLink {
    /// Connects at the first question, and again after every loss.
    pub fn new(url: &str, limits: LinkLimits, wires: &tls::Wires) -> anyhow::Result<AuthLink> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .with_context(|| {
                format!("{url:?} is not the URL of an auth-adapter (like http://127.0.0.1:9100)")
            })?
            .connect_timeout(limits.verdict_timeout);
        let room = Arc::new(Semaphore::new(limits.questions));
        Ok(AuthLink {
            client: AuthClient::new(endpoint.connect_with_connector_lazy(wires.connector())),
            room,
            timeout: limits.verdict_timeout,
        })
    }

    /// Asks, and sends the verdict to the driver. No room, no answer or an answer too late: nobody knows, so the
    /// request is refused for now.
    pub fn ask(&self, ticket: Ticket, question: Question, source: String, driver: mpsc::Sender<Input>) {
        counter!(QUESTIONS).increment(1);
        let link = self.clone();
        tokio::spawn(async move {
            let verdict = match link.verdict(question, source).await {
                Ok(verdict) => verdict,
                Err(error) => {
                    counter!(QUESTIONS_FAILED).increment(1);
                    warn!(%error, "No verdict from the auth-adapter");
                    Verdict::unavailable()
                }
            };
            // A driver that is gone has nobody waiting.
            let _ = driver.send(Input::Verdict { ticket, verdict }).await;
        });
    }

    async fn verdict(mut self, question: Question, source: String) -> anyhow::Result<Verdict> {
        let _room = self.room.clone().try_acquire_owned().context("too many questions are under way")?;
        let request = codec::question(question, source);
        let answer = tokio::time::timeout(self.timeout, self.client.authorise(request)).await;
        Ok(codec::verdict(answer.context("no answer in time")??.into_inner()))
    }
}
