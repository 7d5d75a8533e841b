//! The example itself, where the checks do not look: what an operator changes while it runs is told at once.

use proto::v1::auth_client::AuthClient;
use proto::v1::{AuthoriseRequest, Decision, InvalidateAccountsRequest, Proof};
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::billing::{Billing, Faults, Secrets, perform};
use crate::server::start;

const ALICE: &str = "sip:alice@vedette.test";
const BOB: &str = "sip:bob@vedette.test";

async fn decision(client: &mut AuthClient<Channel>) -> Decision {
    let question = AuthoriseRequest {
        account: ALICE.into(),
        method: "SUBSCRIBE".into(),
        presentity: BOB.into(),
        proof: Proof::Dialog.into(),
        ..AuthoriseRequest::default()
    };
    client.authorise(question).await.unwrap().into_inner().decision()
}

async fn told(stream: &mut Streaming<proto::v1::InvalidatedAccounts>) -> Vec<String> {
    stream.message().await.unwrap().expect("the stream stays open").accounts
}

fn command(billing: &Billing, line: &str) {
    assert_eq!(perform(billing, line), "done", "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_is_told_whom_a_change_concerns_and_is_answered_anew() {
    let (billing, url) = start(Secrets::Given, Faults::default()).await;
    let mut client = AuthClient::new(Endpoint::from_shared(url).unwrap().connect().await.unwrap());
    let mut stream = client.invalidate_accounts(InvalidateAccountsRequest {}).await.unwrap().into_inner();
    assert!(told(&mut stream).await.is_empty());
    assert_eq!(decision(&mut client).await, Decision::Pending);

    command(&billing, &format!("approve {ALICE} {BOB}"));
    assert_eq!(told(&mut stream).await, [ALICE]);
    assert_eq!(decision(&mut client).await, Decision::Allow);

    command(&billing, &format!("block {ALICE}"));
    assert_eq!(told(&mut stream).await, [ALICE]);
    assert_eq!(decision(&mut client).await, Decision::Deny);

    assert_eq!(perform(&billing, "calls"), "3 questions, 1 streams");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_done_says_why() {
    let (billing, _) = start(Secrets::Given, Faults::default()).await;

    for (line, why) in [
        ("block sip:nobody@vedette.test", "error: sip:nobody@vedette.test is no customer"),
        ("lie nonsense", "error: there is no lie nonsense"),
        ("delay soon", "error: soon is no number of milliseconds"),
        ("", "error: block URI"),
    ] {
        assert!(perform(&billing, line).starts_with(why), "{line}");
    }
}
