//! Nodes that reach each other by mutual TLS.

use proto::v1::FollowRequest;
use proto::v1::directory_client::DirectoryClient;
use tls::Wires;
use tls::authority::{Authority, Party};
use tonic::transport::Endpoint;

use crate::harness::{Cluster, GROUP, PATIENCE, patient, until};

const HERE: &[&str] = &["127.0.0.1"];

#[test]
fn nodes_with_certificates_of_one_ca_are_born_commit_and_survive_their_leader() {
    let ca = Authority::new();
    let (mut cluster, _parties) = prepare([&ca, &ca, &ca]);
    cluster.be_born();

    for at in 0..3 {
        cluster.propose(at, GROUP, 0..100);
    }
    for at in 0..3 {
        cluster.ledger(at, GROUP).until("300 commands", |page| page.state.len() == 300);
    }
    let led = cluster.leader(GROUP);
    cluster.kill(led);
    let next = cluster.leader(GROUP);
    cluster.propose(next, GROUP, 100..200);
    assert!(cluster.ledger(next, GROUP).until_fates(100..200).all_committed(100..200));
    cluster.run(led);

    cluster.ledger(led, GROUP).until("it has them all", |page| page.state.len() == 400);
}

#[test]
fn a_node_with_a_certificate_of_another_ca_is_no_member() {
    let (ca, another) = (Authority::new(), Authority::new());
    let (mut cluster, mut parties) = prepare([&ca, &ca, &another]);
    for at in 0..3 {
        cluster.begin(at).unwrap();
    }
    until("the stranger is named", || {
        let waiting = cluster.waiting(0);
        waiting.contains("manager-3") && waiting.contains("not signed by the CA")
    });

    cluster.kill(2);
    parties[2] = ca.party(HERE, None);
    cluster.nodes[2].wires = parties[2].wires.clone();
    cluster.begin(2).unwrap();

    for at in 0..3 {
        cluster.entered(at).unwrap();
    }
}

#[test]
fn a_node_talks_to_nobody_without_a_certificate() {
    let ca = Authority::new();
    let (mut cluster, parties) = prepare([&ca, &ca, &ca]);
    cluster.begin(0).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = |wires: &Wires| {
        let endpoint = Endpoint::from_shared(format!("http://{}", cluster.nodes[0].address)).unwrap();
        let asking = async {
            let channel = endpoint.connect_with_connector(wires.connector()).await?;
            let followed = DirectoryClient::new(channel).follow(FollowRequest {}).await;
            followed.map(drop).map_err(Box::<dyn std::error::Error>::from)
        };
        // No answer is an answer too.
        runtime.block_on(async { tokio::time::timeout(PATIENCE, asking).await? })
    };

    assert!(ask(&Wires::plain()).is_err());
    assert!(ask(&parties[1].wires).is_ok());
}

fn prepare(authorities: [&Authority; 3]) -> (Cluster, Vec<Party>) {
    let parties: Vec<_> = authorities.into_iter().map(|authority| authority.party(HERE, None)).collect();
    let mut cluster = Cluster::prepare(1, patient());
    for (place, party) in cluster.nodes.iter_mut().zip(&parties) {
        place.wires = party.wires.clone();
    }
    (cluster, parties)
}
