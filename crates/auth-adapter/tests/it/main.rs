//! The adapter as a manager meets it: over real gRPC connections, with back ends that fail in every way.

mod accounts_file;
mod billing;
mod fake_billing;
mod http_json;
mod over_tls;
mod service;

use std::time::Duration;

use auth_adapter::{Accounts, AuthAdapter, BreakerRules, Config, Rules, Source};
use proto::v1::auth_client::AuthClient;
use proto::v1::{
    AuthoriseRequest, AuthoriseResponse, Digest, InvalidateAccountsRequest, InvalidatedAccounts,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// A manager that is connected to an adapter of its own.
struct Manager {
    client: AuthClient<Channel>,
    shutdown: CancellationToken,
}

impl Manager {
    async fn before(source: Source) -> Manager {
        Manager::with(source, rules()).await
    }

    async fn with(source: Source, rules: Rules) -> Manager {
        let adapter = AuthAdapter::bind(config(source, rules)).await.unwrap();
        let url = format!("http://{}", adapter.address());
        let shutdown = CancellationToken::new();
        tokio::spawn(adapter.serve(shutdown.clone()));
        Manager { client: connect(url).await, shutdown }
    }

    async fn ask(&self, request: AuthoriseRequest) -> Result<AuthoriseResponse, Status> {
        Ok(self.client.clone().authorise(request).await?.into_inner())
    }

    /// The stream of changes, its first word read.
    async fn follow(&self) -> Streaming<InvalidatedAccounts> {
        let mut stream =
            self.client.clone().invalidate_accounts(InvalidateAccountsRequest {}).await.unwrap().into_inner();
        assert_eq!(stream.message().await.unwrap(), Some(InvalidatedAccounts::default()));
        stream
    }
}

/// The next word of a stream; `None` when it has ended.
async fn told(changes: &mut Streaming<InvalidatedAccounts>) -> Option<InvalidatedAccounts> {
    tokio::time::timeout(Duration::from_secs(30), changes.message()).await.expect("nothing is told").unwrap()
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn config(source: Source, rules: Rules) -> Config {
    Config { listen: "127.0.0.1:0".parse().unwrap(), wires: tls::Wires::plain(), source, rules }
}

/// Patient with a busy machine, and with a breaker that tries again at once.
fn rules() -> Rules {
    let breaker = BreakerRules { failures: 5, open: Duration::ZERO };
    Rules { deadline: Duration::from_secs(20), breaker, ..Rules::default() }
}

fn fixed(accounts: &[(&str, &str)]) -> Source {
    let accounts = Accounts::from_pairs(accounts.iter().copied()).unwrap();
    Source::Fixed { accounts, life: Duration::from_secs(60) }
}

async fn connect(url: String) -> AuthClient<Channel> {
    AuthClient::new(Endpoint::new(url).unwrap().connect().await.unwrap())
}

/// What a manager asks about a SUBSCRIBE with credentials.
fn subscribe(account: &str) -> AuthoriseRequest {
    AuthoriseRequest {
        account: format!("sip:{account}@vedette.test"),
        method: "SUBSCRIBE".into(),
        event: "presence".into(),
        presentity: "sip:bob@vedette.test".into(),
        realm: "vedette.test".into(),
        source: "127.0.0.1:5062".into(),
        digest: Some(Digest { username: account.into(), nonce: "n".into(), ..Digest::default() }),
        ..AuthoriseRequest::default()
    }
}
