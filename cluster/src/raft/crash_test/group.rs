//! A whole group whose disk fails: it takes no further part, and says so to everyone who asks.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;

use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::storage::Snapshot;
use openraft::testing::StoreBuilder;
use openraft::{EmptyNode, OptionalSend, RaftNetwork, RaftNetworkFactory};

use super::super::suite_test::Builder;
use super::super::{Payload, Raft, TypeConfig, Vote};
use super::crash_disk::{CrashDisk, Failure, Habit, Left, Then};
use crate::entry;

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_disk_fails_answers_nothing_more_though_the_disk_has_healed() {
    for error in [ErrorKind::StorageFull, ErrorKind::Other] {
        let disk = CrashDisk::new(Habit::Honest);
        let (_guard, log, applier) = Builder::over(disk.clone()).build().await.unwrap();
        let config = Arc::new(openraft::Config::default().validate().unwrap());
        let raft = Raft::new(0, config, Alone, log, applier).await.unwrap();
        raft.initialize(BTreeMap::from([(0, EmptyNode {})])).await.unwrap();
        raft.wait(None).current_leader(0, "it elects itself").await.unwrap();
        raft.client_write(command()).await.unwrap();

        disk.fail(Failure { at: 0, error, left: Left::Nothing, then: Then::Heals });

        for _ in 0..3 {
            let refused = raft.client_write(command()).await.unwrap_err();
            assert!(matches!(refused, RaftError::Fatal(_)), "{refused}");
        }
        let refused = raft.vote(VoteRequest::new(Vote::new(9, 1), None)).await.unwrap_err();
        assert!(matches!(refused, RaftError::Fatal(_)), "{refused}");
        assert!(raft.metrics().borrow().running_state.is_err());
    }
}

fn command() -> Payload {
    Payload(entry::encode(7, Vec::new()))
}

/// A node without others.
struct Alone;

enum Nobody {}

impl RaftNetworkFactory<TypeConfig> for Alone {
    type Network = Nobody;

    async fn new_client(&mut self, target: u64, _node: &EmptyNode) -> Nobody {
        unreachable!("node {target} is no member")
    }
}

impl RaftNetwork<TypeConfig> for Nobody {
    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, EmptyNode, RaftError<u64>>> {
        match *self {}
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, EmptyNode, RaftError<u64>>> {
        match *self {}
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot<TypeConfig>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig, Fatal<u64>>> {
        match *self {}
    }
}
