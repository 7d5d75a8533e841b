//! A provider's own server of the contract (`vedette.v1.Auth`): asked over gRPC, and followed for accounts that change.

use std::time::Duration;

use proto::v1::auth_client::AuthClient;
use proto::v1::{AuthoriseRequest, AuthoriseResponse, InvalidateAccountsRequest, InvalidatedAccounts};
use tls::{OutsideFiles, Protocol};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tracing::{info, warn};

use super::{Backend, BadBackend, Change, Failure};
use crate::answer::{Answer, Digests};
use crate::aor::Aor;
use crate::metrics;
use crate::question::Question;
use crate::way::Way;

/// The longest answer; a longer one is none.
const MAX_ANSWER: usize = 64 * 1024;
/// The longest message of changed accounts. A longer one ends the stream, and all accounts count as changed.
const MAX_CHANGES: usize = 1024 * 1024;
/// Accounts in one `Change`, so that nobody is held up for long by a message of many.
const NAMED: usize = 256;
/// The stream has to open and say its first word within this time.
const OPENING: Duration = Duration::from_secs(5);
/// How long a stream that was lost, or did not open, is not tried again: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Whether a billing system without changes has them now is asked this often.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// A connection that broke without a word is noticed by a ping that nobody answers.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

pub struct Billing {
    client: AuthClient<Channel>,
    way: Way,
}

/// Why there is no stream of changes.
enum NoStream {
    /// Billing has none.
    Unheard,
    Failed(String),
}

impl Billing {
    /// Connects at the first question, and again after every loss.
    pub fn new(url: &str, files: OutsideFiles, connect: Duration) -> Result<Billing, BadBackend> {
        let way = Way::to(url, files)?;
        let whole = url.starts_with("http://") || url.starts_with("https://");
        let endpoint = Endpoint::from_shared(url.to_owned()).ok().filter(|_| whole);
        let channel = endpoint
            .ok_or_else(|| BadBackend::Url(url.to_owned()))?
            .connect_timeout(connect)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(way.connector(Protocol::Grpc));
        Ok(Billing { client: AuthClient::new(channel).max_decoding_message_size(MAX_ANSWER), way })
    }

    async fn open(&self) -> Result<(Streaming<InvalidatedAccounts>, InvalidatedAccounts), NoStream> {
        let mut client = self.client.clone().max_decoding_message_size(MAX_CHANGES);
        let opened = timeout(OPENING, async {
            let mut stream = client.invalidate_accounts(InvalidateAccountsRequest {}).await?.into_inner();
            let first = stream.message().await?;
            Ok((stream, first.ok_or_else(|| Status::unavailable("it ended at once"))?))
        });
        match opened.await {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(status)) => Err(NoStream::of(&status)),
            Err(_) => Err(NoStream::Failed("it said nothing".into())),
        }
    }
}

#[tonic::async_trait]
impl Backend for Billing {
    fn digests(&self) -> Digests {
        Digests::Read
    }

    async fn authorise(&self, question: &Question, deadline: Duration) -> Result<AuthoriseResponse, Failure> {
        let deadline_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
        let mut request = Request::new(AuthoriseRequest { deadline_ms, ..question.request.clone() });
        request.set_timeout(deadline);
        match self.client.clone().authorise(request).await {
            Ok(response) => Ok(response.into_inner()),
            // About this question and not about billing.
            Err(status) if status.code() == Code::InvalidArgument => Ok(Answer::denied("Malformed Request")),
            Err(status) => Err(failure(&status)),
        }
    }

    async fn follow(&self, changes: mpsc::Sender<Change>) {
        tokio::join!(self.way.keep_fresh(), self.follow_changes(changes));
    }
}

impl Billing {
    async fn follow_changes(&self, changes: mpsc::Sender<Change>) {
        let (mut wait, mut missed) = (FIRST_WAIT, false);
        while !changes.is_closed() {
            match self.open().await {
                Ok((stream, first)) => {
                    info!("Billing tells of accounts that change");
                    if missed && changes.send(Change::Everybody).await.is_err() {
                        return;
                    }
                    wait = FIRST_WAIT;
                    let lost = pass_on(stream, first, &changes).await;
                    warn!(
                        reason = lost,
                        "Billing tells no more of accounts that change: answers are asked anew"
                    );
                    missed = true;
                    if changes.send(Change::Lost).await.is_err() {
                        return;
                    }
                }
                Err(NoStream::Unheard) => {
                    sleep(ASK_AGAIN).await;
                    continue;
                }
                Err(NoStream::Failed(reason)) => {
                    if wait == FIRST_WAIT {
                        warn!(reason, "Billing cannot be followed for accounts that change");
                    }
                    missed = true;
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// Until the stream ends; says why it did.
async fn pass_on(
    mut stream: Streaming<InvalidatedAccounts>,
    first: InvalidatedAccounts,
    changes: &mpsc::Sender<Change>,
) -> String {
    metrics::following(true);
    let mut next = Ok(Some(first));
    let reason = loop {
        match next {
            Ok(Some(message)) => {
                for change in changed(&message) {
                    if changes.send(change).await.is_err() {
                        return String::new();
                    }
                }
            }
            Ok(None) => break "it ended".to_owned(),
            Err(status) => break proto::reason(&status),
        }
        next = stream.message().await;
    };
    metrics::following(false);
    reason
}

fn changed(message: &InvalidatedAccounts) -> Vec<Change> {
    if message.all {
        return vec![Change::Everybody];
    }
    let parsed: Vec<_> = message.accounts.iter().filter_map(|uri| Aor::parse(uri)).collect();
    if parsed.len() < message.accounts.len() {
        // Some account changed, and it cannot be told which.
        warn!("Billing names a changed account that is no address: all count as changed");
        return vec![Change::Everybody];
    }
    parsed.chunks(NAMED).map(|named| Change::Accounts(named.iter().map(Aor::account).collect())).collect()
}

fn failure(status: &Status) -> Failure {
    let reason = proto::reason(status);
    let transport = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => {
            Failure::Unanswered(reason)
        }
        _ if transport => Failure::Unanswered(reason),
        code => Failure::Bad(format!("{code:?}: {reason}")),
    }
}

impl NoStream {
    fn of(status: &Status) -> NoStream {
        match status.code() {
            Code::Unimplemented => NoStream::Unheard,
            _ => NoStream::Failed(proto::reason(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_cannot_be_told_makes_all_of_them_changed() {
        let named = |accounts: &[&str], all| {
            let accounts = accounts.iter().map(ToString::to_string).collect();
            changed(&InvalidatedAccounts { accounts, all })
        };

        assert_eq!(named(&[], false), []);
        assert_eq!(named(&["sip:alice@lab.test"], true), [Change::Everybody]);
        assert_eq!(named(&["sip:alice@lab.test", "42"], false), [Change::Everybody]);
        let alice = Aor::parse("sip:alice@lab.test").unwrap();
        assert_eq!(named(&["sip:alice%40lab.test@lab.test"], false), [Change::Accounts(vec![alice])]);
        assert_eq!(named(&["sip:a@b.c"; NAMED + 1], false).len(), 2);
    }

    #[test]
    fn a_url_that_is_none_is_refused() {
        for url in ["billing:7400", "ftp://billing", "http://"] {
            let refusal =
                Billing::new(url, OutsideFiles::default(), OPENING).err().map(|bad| bad.to_string());
            assert!(refusal.is_some_and(|refusal| refusal.contains(url)), "{url}");
        }
        let files = OutsideFiles { ca: Some("ca.pem".into()), own: None };
        let useless = Billing::new("http://billing:1", files, OPENING);
        assert!(matches!(useless, Err(BadBackend::FilesWithoutTls(_))));
    }
}
