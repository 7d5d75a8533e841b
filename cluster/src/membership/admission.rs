//! Admits a node with a new id in the place of the old id of its name.
//!
//! Any member may be asked. It proposes the change to the system group, where a majority of the present voters must be up
//! to commit it; and it does so only when no other change of the members is under way in any group, so that a group never
//! has two members at a time that are not there. The change names the members that this was seen for: if they changed
//! meanwhile, it is refused in the log.

use std::collections::BTreeSet;
use std::time::Duration;

use placement::directory::{Change, Member, Seen};
use placement::{Directory, NodeId};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;
use tracing::info;

use crate::directory::{Outcome, Request};
use crate::membership::front::Front;
use crate::membership::hello::Asker;
use crate::raft::group::RaftGroup;

const COMMIT_WAIT: Duration = Duration::from_secs(5);

pub struct Admission {
    pub front: Front,
    pub requests: mpsc::Sender<Request>,
    /// All of this node's groups.
    pub groups: Vec<RaftGroup>,
    pub asker: Asker,
}

impl Admission {
    /// The directory that names the node, once it is committed.
    pub async fn admit(&self, node: NodeId, member: Member) -> Result<Directory, Status> {
        let directory = self.front.directory();
        if directory.members.get(&node).is_some_and(|held| held.name == member.name) {
            return Ok(Directory::clone(&directory));
        }
        let old = self.predecessor(&directory, node, &member).await?;
        let seen = Seen(directory.members_version);
        let name = member.name.clone();
        let (reply, outcome) = oneshot::channel();
        let request = Request { change: Change::MemberReplaced { seen, old, new: node, member }, reply };
        self.requests.try_send(request).map_err(|_| Status::unavailable("others are being admitted"))?;
        match tokio::time::timeout(COMMIT_WAIT, outcome).await {
            Ok(Ok(Outcome::Committed(Ok(())))) => {
                info!(name, id = %node, replaced = %old, "Admitted a new member");
                self.directory_with(node).await
            }
            Ok(Ok(Outcome::Committed(Err(refused)))) => Err(Status::aborted(refused.to_string())),
            _ => Err(Status::unavailable("no majority of the members took the change in time")),
        }
    }

    /// The id in whose place the node comes.
    async fn predecessor(
        &self,
        directory: &Directory,
        node: NodeId,
        member: &Member,
    ) -> Result<NodeId, Status> {
        if !directory.is_born() {
            return Err(Status::unavailable("the cluster is not born yet"));
        }
        if directory.gone.contains_key(&node) {
            return Err(Status::failed_precondition(format!("node {node} was replaced or removed")));
        }
        let Some(old) = directory.id_of(&member.name) else {
            return Err(Status::failed_precondition(format!("no member is called {}", member.name)));
        };
        let members: BTreeSet<_> = directory.members.keys().copied().collect();
        if !self.groups.iter().all(|group| group.roster().may_replace(old, &members)) {
            return Err(Status::unavailable("another change of the members is under way"));
        }
        // The same address may already lead to the new node; at another one the old node may still be there.
        let address = &directory.members[&old].grpc;
        match self.asker.ask(&self.front, address).await {
            Ok(said) if said.id == old => {
                let text = format!("{} is still running at {address}, with id {old}", member.name);
                Err(Status::failed_precondition(text))
            }
            _ => Ok(old),
        }
    }

    /// What was committed is published a moment later.
    async fn directory_with(&self, node: NodeId) -> Result<Directory, Status> {
        let mut watch = self.front.watch();
        let wait = watch.wait_for(|directory| directory.members.contains_key(&node));
        match tokio::time::timeout(COMMIT_WAIT, wait).await {
            Ok(Ok(directory)) => Ok(Directory::clone(&directory)),
            _ => Err(Status::unavailable("the members changed again")),
        }
    }
}
