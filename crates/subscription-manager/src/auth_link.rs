//! The link to the auth-adapter: one call per question, bounded in number and in time; and one stream, on which it names
//! accounts that have changed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics::{counter, gauge};
use presence_agent::Ticket;
use presence_agent::verdict::{Invalidated, Question, Verdict};
use proto::v1::InvalidateAccountsRequest;
use proto::v1::auth_client::AuthClient;
use tokio::sync::{Semaphore, mpsc};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tracing::warn;

use crate::billing_codec;
use crate::config::LinkLimits;
use crate::driver::Input;
use crate::metrics::{INVALIDATED, INVALIDATIONS_HEARD, QUESTIONS, QUESTIONS_FAILED};

#[derive(Clone)]
pub struct AuthLink {
    client: AuthClient<Channel>,
    room: Arc<Semaphore>,
    timeout: Duration,
}

/// Pauses before the stream is begun anew.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// How long an adapter that tells of no changes is left alone; it may be replaced by one that does.
const TELLS_NOTHING: Duration = Duration::from_secs(60);
/// An adapter that vanished without a word is noticed by an unanswered ping.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_WITHIN: Duration = Duration::from_secs(2);

impl AuthLink {
    /// Connects at the first question, and again after every loss.
    pub fn new(url: &str, limits: LinkLimits, wires: &tls::Wires) -> anyhow::Result<AuthLink> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .with_context(|| {
                format!("{url:?} is not the URL of an auth-adapter (like http://127.0.0.1:9100)")
            })?
            .connect_timeout(limits.verdict_timeout)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN);
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

    /// Tells the drivers whose verdicts count no more, for ever. Whatever was missed while nobody was heard, at the start
    /// too, may be about anybody: so each new stream begins with everybody. Until then verdicts hold for their cache life,
    /// as they do with an adapter that tells of no changes.
    pub async fn follow(mut self, drivers: Vec<mpsc::Sender<Input>>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let ended = self.hear(&drivers, &mut pause).await;
            gauge!(INVALIDATIONS_HEARD).set(0.0);
            let wait = match ended {
                Some(status) if status.code() == Code::Unimplemented => TELLS_NOTHING,
                ended => {
                    // Once for each loss, not for each try.
                    if pause == FIRST_PAUSE {
                        warn!(
                            ?ended,
                            "Changes of accounts are not heard; verdicts hold for their cache life"
                        );
                    }
                    pause
                }
            };
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Gives how one stream ended.
    async fn hear(&mut self, drivers: &[mpsc::Sender<Input>], pause: &mut Duration) -> Option<Status> {
        let mut stream = match self.client.invalidate_accounts(InvalidateAccountsRequest {}).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Some(status),
        };
        let mut is_first = true;
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return None,
                Err(status) => return Some(status),
            };
            let named = if is_first { Some(Invalidated::All) } else { billing_codec::invalidated(message) };
            if is_first {
                (is_first, *pause) = (false, FIRST_PAUSE);
                gauge!(INVALIDATIONS_HEARD).set(1.0);
            }
            let Some(named) = named else { continue };
            counter!(INVALIDATED).increment(match &named {
                Invalidated::Accounts(accounts) => accounts.len() as u64,
                Invalidated::All => 1,
            });
            for driver in drivers {
                // A driver that is gone needs no news; one whose queue is full makes the adapter wait.
                let _ = driver.send(Input::Invalidated(named.clone())).await;
            }
        }
    }

    async fn verdict(mut self, question: Question, source: String) -> anyhow::Result<Verdict> {
        let _room = self.room.clone().try_acquire_owned().context("too many questions are under way")?;
        let request = billing_codec::question(question, source, self.timeout);
        let answer = tokio::time::timeout(self.timeout, self.client.authorise(request)).await;
        Ok(billing_codec::verdict(answer.context("no answer in time")??.into_inner()))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{Stream, StreamExt, stream};
    use placement::PresentityKey;
    use proto::v1::auth_server::{Auth, AuthServer};
    use proto::v1::{AuthoriseRequest, AuthoriseResponse, InvalidatedAccounts};
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::{Request, Response};

    use super::*;

    /// Names bob on each stream, after the empty message that begins it; the first stream ends then.
    #[derive(Clone, Default)]
    struct Fake(Arc<AtomicUsize>);

    #[tonic::async_trait]
    impl Auth for Fake {
        type InvalidateAccountsStream =
            Pin<Box<dyn Stream<Item = Result<InvalidatedAccounts, Status>> + Send>>;

        async fn invalidate_accounts(
            &self,
            _: Request<InvalidateAccountsRequest>,
        ) -> Result<Response<Self::InvalidateAccountsStream>, Status> {
            let accounts = vec!["sip:bob@lab.test".to_owned()];
            let named = InvalidatedAccounts { accounts, all: false };
            let messages = stream::iter([Ok(InvalidatedAccounts::default()), Ok(named)]);
            Ok(Response::new(match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => Box::pin(messages),
                _ => Box::pin(messages.chain(stream::pending())),
            }))
        }

        async fn authorise(
            &self,
            _: Request<AuthoriseRequest>,
        ) -> Result<Response<AuthoriseResponse>, Status> {
            Err(Status::unimplemented("not asked here"))
        }
    }

    #[tokio::test]
    async fn each_stream_begins_with_everybody_and_then_names_who_has_changed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(AuthServer::new(Fake::default()));
        let server = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let (sender, mut inputs) = mpsc::channel(8);
        let link = AuthLink::new(&url, LinkLimits::default(), &tls::Wires::plain()).unwrap();
        let following = tokio::spawn(link.follow(vec![sender]));

        let mut heard = Vec::new();
        while heard.len() < 4 {
            match inputs.recv().await {
                Some(Input::Invalidated(invalidated)) => heard.push(invalidated),
                _ => panic!("something else"),
            }
        }

        let bob = Invalidated::Accounts(vec![PresentityKey::restored("bob@lab.test")]);
        assert_eq!(heard, [Invalidated::All, bob.clone(), Invalidated::All, bob]);
        following.abort();
        server.abort();
    }
}
