//! The directory is the same everywhere, whoever was away, and anybody may follow it.

use bytes::Bytes;
use cluster::Limits;
use proto::v1::directory_client::DirectoryClient;
use proto::v1::{DirectoryState, FollowRequest};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::harness::{Cluster, GROUP, PATIENCE, patient, until};

#[test]
fn a_follower_of_the_directory_sees_it_and_every_change() {
    let mut cluster = Cluster::start(1, patient());
    let (asked, restarted) = (0, 1);
    let runtime = Runtime::new().unwrap();
    let mut states = runtime.block_on(follow(cluster.nodes[asked].address));

    let first = runtime.block_on(next(&mut states));
    cluster.stop(restarted);
    cluster.run(restarted);
    let second = runtime.block_on(next(&mut states));

    let directory = cluster.directory(asked);
    assert_eq!((first.cluster, first.slots.len(), first.level), (directory.cluster.0, 1_024, 1));
    let incarnation = |state: &DirectoryState| {
        let id = cluster.id(restarted).0;
        state.members.iter().find(|member| member.node == id).unwrap().incarnation
    };
    assert_eq!((incarnation(&first), incarnation(&second)), (1, 2));
    assert!(second.version > first.version && second.version == directory.version);
}

#[test]
fn a_member_that_finds_the_log_of_the_directory_purged_gets_its_snapshot_and_keeps_it() {
    let mut cluster = Cluster::start(1, Limits { snapshot_every: 2, log_kept: 1, ..patient() });
    // Every start of a member is a change.
    for _ in 0..3 {
        for at in 0..3 {
            cluster.stop(at);
            cluster.run(at);
            until("its start is known", || (0..3).all(|other| cluster.knows_start_of(other, at)));
        }
    }
    until("snapshots", || (0..3).all(|at| cluster.node(at).system().status().snapshot > 4));
    let leader = cluster.leader(GROUP);
    let (lost, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(lost);
    cluster.wipe(lost);

    cluster.run(lost);
    cluster.until_voters(&[0, 1, 2]);
    until("it is the same", || cluster.directory(lost) == cluster.directory(other));
    cluster.stop(lost);
    cluster.run(lost);

    until("its start is known", || (0..3).all(|at| cluster.knows_start_of(at, lost)));
    assert!(cluster.node(lost).system().status().snapshot > 4);
    until("it is the same", || cluster.directory(lost) == cluster.directory(other));
}

#[test]
fn what_is_no_change_of_the_directory_stops_nobody_now_or_at_a_restart() {
    let mut cluster = Cluster::start(1, patient());
    let nonsense = cluster.node(0).system();
    let before = nonsense.status().applied;

    for (ticket, command) in [(u64::MAX, &[0xff_u8][..]), (u64::MAX - 1, &[])] {
        nonsense.propose(ticket, Bytes::from_static(command)).unwrap();
    }
    until("it is in the log", || (0..3).all(|at| cluster.node(at).system().status().applied > before));
    for at in 0..3 {
        cluster.stop(at);
        cluster.run(at);
    }

    until("every start is known", || (0..3).all(|at| (0..3).all(|of| cluster.knows_start_of(at, of))));
}

async fn follow(address: std::net::SocketAddr) -> Streaming<DirectoryState> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = DirectoryClient::new(endpoint.connect().await.unwrap());
    client.follow(FollowRequest {}).await.unwrap().into_inner()
}

async fn next(states: &mut Streaming<DirectoryState>) -> DirectoryState {
    timeout(PATIENCE, states.message()).await.expect("in time").unwrap().expect("the stream has no end")
}
