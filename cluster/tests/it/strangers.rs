//! What another node sends is checked before it is believed.

use proto::v1::raft_client::RaftClient;
use proto::v1::{AppendReply, AppendRequest, Ballot, Envelope, LogId, LogRecord, VoteRequest};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::harness::{Cluster, GROUP, patient};

#[test]
fn a_message_for_another_cluster_node_or_group_is_refused() {
    let (cluster, mut client, right) = one_node();
    let vote = |to| VoteRequest { to, vote: Some(Ballot { term: 9, node: 2, committed: false }), last: None };
    let cases = [
        (Some(Envelope { target: right.target + 1, ..right }), Code::FailedPrecondition),
        (Some(Envelope { cluster: right.cluster + 1, ..right }), Code::FailedPrecondition),
        (Some(Envelope { cluster: 0, ..right }), Code::FailedPrecondition),
        (Some(Envelope { group: 77, ..right }), Code::NotFound),
        (None, Code::InvalidArgument),
    ];

    for (to, code) in cases {
        assert_eq!(block_on(client.vote(vote(to))).unwrap_err().code(), code, "{to:?}");
    }
    assert!(block_on(client.vote(vote(Some(right)))).is_ok());
    drop(cluster);
}

#[test]
fn a_start_of_a_member_before_the_known_one_is_refused() {
    let (cluster, mut client, right) = one_node();
    let (member, known) = {
        let directory = cluster.directory(0);
        let (id, member) = directory.members.iter().find(|(id, _)| id.0 != right.target).unwrap();
        (id.0, member.incarnation)
    };
    let vote = |incarnation| VoteRequest {
        to: Some(Envelope { source: member, incarnation, ..right }),
        vote: Some(Ballot { term: 9, node: member, committed: false }),
        last: None,
    };

    let old = block_on(client.vote(vote(known - 1))).unwrap_err();

    assert_eq!(old.code(), Code::FailedPrecondition, "{old}");
    assert!(block_on(client.vote(vote(known + 1))).is_ok());
    assert!(block_on(client.vote(vote(known))).is_err());
    drop(cluster);
}

#[test]
fn records_that_do_not_follow_each_other_are_refused() {
    let (cluster, mut client, right) = one_node();
    let record = |index| LogRecord { id: Some(LogId { term: 9, node: 2, index }), payload: None };
    let request = |previous, indices: &[u64]| AppendRequest {
        to: Some(right),
        vote: Some(Ballot { term: 9, node: 2, committed: true }),
        previous,
        records: indices.iter().map(|index| record(*index)).collect(),
        ..Default::default()
    };
    let previous = Some(LogId { term: 9, node: 2, index: 4 });

    for request in
        [request(None, &[1]), request(previous, &[6]), request(previous, &[5, 5]), request(previous, &[5, 7])]
    {
        let status = block_on(append(&mut client, request)).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    drop(cluster);
}

#[test]
fn a_word_about_the_lease_that_makes_no_sense_gives_none() {
    let (cluster, mut client, right) = one_node();
    let group = cluster.group(0, GROUP);
    let words = [
        (Some(u64::MAX), Some(u64::MAX)),
        (Some(0), Some(u64::MAX)),
        (Some(u64::MAX), Some(1)),
        (Some(0), Some(0)),
        (Some(0), None),
        (None, Some(u64::MAX)),
    ];

    for (quorum_age_ms, your_clock_ms) in words {
        let request = AppendRequest {
            to: Some(right),
            vote: Some(Ballot { term: 9, node: 2, committed: true }),
            quorum_age_ms,
            your_clock_ms,
            ..Default::default()
        };
        block_on(append(&mut client, request)).unwrap();

        assert_eq!(group.lease_until(u64::MAX), None);
    }
}

#[test]
fn an_append_without_a_number_is_heard_and_not_answered() {
    let (_cluster, mut client, right) = one_node();
    let of_term = |term| {
        let vote = Some(Ballot { term, node: 2, committed: true });
        AppendRequest { to: Some(right), vote, ..Default::default() }
    };

    let unasked = block_on(async {
        let mut answers = client.append(tokio_stream::once(of_term(9))).await.unwrap().into_inner();
        answers.message().await.unwrap()
    });
    let asked = block_on(append(&mut client, of_term(8))).unwrap();

    assert_eq!(unasked, None);
    assert_eq!(asked.vote.map(|vote| vote.term), Some(9));
}

/// One member of three that is alone, and how somebody it does not know addresses it properly.
fn one_node() -> (Cluster, RaftClient<Channel>, Envelope) {
    let mut cluster = Cluster::start(1, patient());
    for at in 0..3 {
        cluster.stop(at);
    }
    cluster.run(0);
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.nodes[0].address)).unwrap();
    let channel = block_on(endpoint.connect()).unwrap();
    let (target, of) = (cluster.id(0).0, cluster.directory(0).cluster.0);
    let right = Envelope { group: GROUP.0, source: 2, target, cluster: of, incarnation: 1 };
    (cluster, RaftClient::new(channel), right)
}

/// On a stream of its own.
async fn append(client: &mut RaftClient<Channel>, request: AppendRequest) -> Result<AppendReply, Status> {
    let request = AppendRequest { call: 1, ..request };
    let mut answers = client.append(tokio_stream::once(request)).await?.into_inner();
    answers.message().await.map(|answer| answer.expect("every append that asks for it is answered"))
}

fn block_on<F: Future>(future: F) -> F::Output {
    use std::sync::LazyLock;
    use tokio::runtime::Runtime;
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    RUNTIME.block_on(future)
}
