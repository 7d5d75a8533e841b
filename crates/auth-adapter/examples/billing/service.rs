//! The two calls of the contract (`proto/vedette/v1/auth.proto`, which says what each field means).
//!
//! `Authorise` is a question with one answer. `InvalidateAccounts` stays open: whoever asks questions also keeps one of
//! these, and hears on it whose answers count no more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use proto::v1::auth_server::{Auth, AuthServer};
use proto::v1::{AuthoriseRequest, AuthoriseResponse, InvalidateAccountsRequest, InvalidatedAccounts};
use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Server, server::TcpIncoming};
use tonic::{Request, Response, Status};

use super::customers::Customers;
use super::faults::{Faults, Lie};
use super::rules::{self, Secrets};

/// What the server knows, shared by its calls and the admin.
pub struct Billing {
    customers: Mutex<Customers>,
    secrets: Secrets,
    cache_seconds: u32,
    faults: Mutex<Faults>,
    /// Names of accounts that changed, for everyone who follows.
    changes: broadcast::Sender<String>,
    questions: AtomicU64,
    streams: AtomicU64,
}

/// Changes that a slow follower may be behind before it is told that everything may have changed.
const BACKLOG: usize = 256;

impl Billing {
    pub fn new(customers: Customers, secrets: Secrets, cache_seconds: u32) -> Billing {
        Billing {
            customers: Mutex::new(customers),
            secrets,
            cache_seconds,
            faults: Mutex::default(),
            changes: broadcast::Sender::new(BACKLOG),
            questions: AtomicU64::new(0),
            streams: AtomicU64::new(0),
        }
    }

    /// Tells everyone who follows that answers about this account count no more. Do this after the change, not before:
    /// the question comes again at once.
    pub fn changed(&self, account: &str) {
        // Nobody may be following, and that is no error.
        let _ = self.changes.send(account.to_owned());
    }

    pub fn customers(&self) -> MutexGuard<'_, Customers> {
        self.customers.lock().expect("no thread panics while it holds the customers")
    }

    pub fn faults(&self) -> Faults {
        *self.faults.lock().expect("no thread panics while it holds the faults")
    }

    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock().expect("no thread panics while it holds the faults") = faults;
    }

    /// How many questions were asked, and how many streams were opened.
    pub fn calls(&self) -> (u64, u64) {
        (self.questions.load(Ordering::Relaxed), self.streams.load(Ordering::Relaxed))
    }
}

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, billing: Arc<Billing>) -> Result<(), tonic::transport::Error> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder().add_service(AuthServer::new(Service(billing))).serve_with_incoming(incoming).await
}

struct Service(Arc<Billing>);

#[tonic::async_trait]
impl Auth for Service {
    async fn authorise(
        &self,
        request: Request<AuthoriseRequest>,
    ) -> Result<Response<AuthoriseResponse>, Status> {
        let billing = &self.0;
        let asked_before = billing.questions.fetch_add(1, Ordering::Relaxed);
        let faults = billing.faults();
        let mut question = request.into_inner();

        tokio::time::sleep(Duration::from_millis(faults.delay_ms)).await;
        if faults.fail {
            return Err(Status::unavailable("told to fail"));
        }
        if let Some(lie) = faults.lie {
            lie.twist_question(&mut question);
        }
        let mut answer = rules::answer(&billing.customers(), billing.secrets, &question);
        // A refusal is remembered too: a phone with a wrong password asks often.
        answer.cache_seconds = billing.cache_seconds;
        if let Some(lie) = faults.lie {
            lie.twist_answer(&question, &mut answer, asked_before)?;
        }
        Ok(Response::new(answer))
    }

    type InvalidateAccountsStream = ReceiverStream<Result<InvalidatedAccounts, Status>>;

    async fn invalidate_accounts(
        &self,
        _: Request<InvalidateAccountsRequest>,
    ) -> Result<Response<Self::InvalidateAccountsStream>, Status> {
        let billing = &self.0;
        billing.streams.fetch_add(1, Ordering::Relaxed);
        let mut changes = billing.changes.subscribe();
        let (told, stream) = tokio::sync::mpsc::channel(1);
        let is_mute = billing.faults().lie == Some(Lie::MuteStream);
        tokio::spawn(async move {
            // The first message is empty and comes at once: it says "from now on you are told".
            let mut news = InvalidatedAccounts::default();
            let mut silent = is_mute;
            while silent || told.send(Ok(news)).await.is_ok() {
                silent = false;
                news = tokio::select! {
                    change = changes.recv() => match change {
                        Ok(account) => InvalidatedAccounts { accounts: vec![account], all: false },
                        Err(RecvError::Lagged(_)) => InvalidatedAccounts { all: true, ..Default::default() },
                        Err(RecvError::Closed) => return,
                    },
                    () = told.closed() => return,
                };
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
