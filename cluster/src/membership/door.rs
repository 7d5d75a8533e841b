//! How a node comes in: it takes its folder, says who it is to whoever asks, and waits until it belongs to a cluster.
//!
//! The rules are in `birth` and `tenure`; here they are asked, and what they say is done. What is decided is on the disk
//! before anybody hears of it, the directory before the identity that names its cluster: so a node that stops anywhere in
//! between decides anew, and one whose identity names a cluster has all it needs to start in it.
//!
//! A store that cannot be trusted is set aside, and its node comes in as somebody new. That happens once in the life of a
//! process: a disk that damages the new store as well is for somebody to look at.

use std::path::PathBuf;
use std::time::Duration;

use placement::{ClusterId, Directory, NodeId, SlotTable};
use proto::v1::JoinRequest;
use tokio::sync::watch;
use tonic::service::Routes;
use tracing::{error, info};

use crate::config::NodeConfig;
use crate::directory::copy::{self, CopyError};
use crate::directory::{follow::Follow, wire};
use crate::events::GroupEvents;
use crate::groups::Group;
use crate::membership::birth::{self, Verdict, Waiting};
use crate::membership::front::Front;
use crate::membership::hello::Asker;
use crate::membership::identity::{self, Identity};
use crate::membership::introduction::{Heard, Introduction, newest};
use crate::membership::quarantine;
use crate::membership::reception::Reception;
use crate::membership::tenure::{self, Moment, Tenure};
use crate::node::{Node, StartError};
use crate::raft::service::Service;

/// Pause between two rounds of questions.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// A node that has taken its folder and is on its way in.
pub struct Door {
    pub(crate) config: NodeConfig,
    pub(crate) front: Front,
    pub(crate) service: Service,
    pub(crate) reception: Reception,
    asker: Asker,
    waiting: watch::Sender<String>,
    /// Whether this process has set a store aside already.
    anew: bool,
}

impl Door {
    /// Takes the folder. Nobody else is needed for this.
    pub async fn open(config: NodeConfig) -> Result<Door, StartError> {
        config.check()?;
        config.timings.check()?;
        let Taken { identity, directory, anew } = take_folder(&config).await?;
        info!(name = identity.name, id = %identity.id, incarnation = identity.incarnation, "This node");
        let front = Front::new(&config, identity, directory);
        Ok(Door {
            service: Service::new(front.clone()),
            reception: Reception::new(front.clone()),
            asker: Asker::default(),
            waiting: watch::Sender::new("starting".to_owned()),
            config,
            front,
            anew,
        })
    }

    /// What this node answers to others; mount it on the gRPC server (see `server`) before `enter`.
    pub fn routes(&self) -> Routes {
        Routes::new(self.reception.clone().into_server())
            .add_service(Follow::server(self.front.clone()))
            .add_service(self.service.clone().into_server())
    }

    /// Why this node does not take part yet, for operators.
    pub fn waiting(&self) -> watch::Receiver<String> {
        self.waiting.subscribe()
    }

    /// Waits until this node belongs to a cluster, then recovers what its disk holds and starts its groups. Someone must
    /// read the events of each.
    pub async fn enter(mut self) -> Result<(Node, Vec<(Group, GroupEvents)>), StartError> {
        loop {
            self.settle().await?;
            match Node::start(&self).await {
                Err(damage) if damage.is_damage() && !self.anew => {
                    self.start_anew(&damage.to_string()).await?;
                }
                started => return started,
            }
        }
    }

    async fn settle(&mut self) -> Result<(), StartError> {
        loop {
            let heard = self.asker.round(&self.front, &self.config.declared).await;
            let me = self.front.introduction();
            let next = match &me.directory {
                Some(own) => self.resume(&me, own, &heard).await?,
                None => self.be_born(&me, &heard).await?,
            };
            match next {
                None => return Ok(()),
                Some(waiting) => self.tell(&waiting),
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// A member comes back; `None` when it may go on.
    async fn resume(
        &mut self,
        me: &Introduction,
        own: &Directory,
        heard: &[Heard],
    ) -> Result<Option<Waiting>, StartError> {
        match tenure::judge(me, own, &self.config.declared, heard, Moment::Start) {
            Tenure::GoOn => {
                if let Some(newer) = newest(heard, own.cluster) {
                    self.front.publish(newer.clone());
                }
                self.count_this_start().await?;
                Ok(None)
            }
            Tenure::Wait(waiting) => Ok(Some(waiting)),
            Tenure::StartOver(cluster) => {
                let reason =
                    format!("cluster {cluster} was never born, and too few of its founders are left");
                self.start_anew(&reason).await?;
                Ok(Some(Waiting::Birth(cluster)))
            }
            Tenure::Refuse(refusal) => Err(refusal.into()),
        }
    }

    /// A node without a cluster looks for its place; `None` when it has one.
    async fn be_born(&self, me: &Introduction, heard: &[Heard]) -> Result<Option<Waiting>, StartError> {
        let directory = match birth::judge(me, &self.config.declared, heard) {
            Verdict::Initialise(founders) => {
                let cluster = ClusterId(rand::random_range(1..=u64::MAX));
                info!(%cluster, members = founders.len(), "Founding a cluster");
                Directory::certificate(cluster, SlotTable::dealt(self.config.declared.groups), founders)
            }
            Verdict::Adopt(directory) => directory,
            Verdict::Join { cluster, at } => match self.ask_to_join(cluster, &at).await {
                Ok(directory) => directory,
                Err(reason) => return Ok(Some(Waiting::Admission(reason))),
            },
            Verdict::Wait(waiting) => return Ok(Some(waiting)),
            Verdict::Refuse(refusal) => return Err(refusal.into()),
        };
        self.belong_to(directory).await?;
        Ok(None)
    }

    async fn ask_to_join(&self, cluster: ClusterId, at: &[String]) -> Result<Directory, String> {
        let me = self.front.identity().id;
        let mut reason = "nobody answers".to_owned();
        for address in at {
            let member = Some(wire::member(me, &self.front.member()));
            let request = JoinRequest { cluster: cluster.0, member };
            match self.asker.join(&self.front, address, request).await {
                Ok(directory) if directory.cluster == cluster && directory.members.contains_key(&me) => {
                    return Ok(directory);
                }
                Ok(_) => reason = format!("{address} answered without naming us"),
                Err(refused) => reason = refused,
            }
        }
        Err(reason)
    }

    /// From now on this start was there: whatever is begun from the folder later, or from a copy of it, is another one.
    async fn count_this_start(&self) -> Result<(), StartError> {
        let (identity, data) = (self.front.identity(), self.config.data.clone());
        blocking(move || Ok(identity.save(&data)?)).await
    }

    async fn belong_to(&self, directory: Directory) -> Result<(), StartError> {
        let cluster = directory.cluster;
        let identity = Identity { cluster: Some(cluster), ..self.front.identity() };
        let (data, kept, known) = (self.config.data.clone(), directory.clone(), identity.clone());
        blocking(move || {
            copy::write(&data, &kept)?;
            Ok(known.save(&data)?)
        })
        .await?;
        info!(%cluster, members = directory.members.len(), "This node belongs to a cluster");
        self.front.become_known_as(identity, Some(directory));
        Ok(())
    }

    /// What the disk holds is not used any more; the node comes in as a new one under its name.
    async fn start_anew(&mut self, reason: &str) -> Result<(), StartError> {
        let config = self.config.clone();
        let reason = reason.to_owned();
        let identity = blocking(move || {
            set_aside(&config, &reason)?;
            Ok(identity::take(&config.data, &config.name, fresh_id())?)
        });
        self.front.become_known_as(identity.await?, None);
        self.anew = true;
        Ok(())
    }

    /// Once for each reason.
    fn tell(&self, waiting: &Waiting) {
        let text = waiting.to_string();
        self.waiting.send_if_modified(|held| {
            let new = *held != text;
            if new {
                match waiting {
                    Waiting::SetAside(_) => error!(reason = text, "No cluster is founded"),
                    _ => info!(reason = text, "Not taking part yet"),
                }
                *held = text;
            }
            new
        });
    }
}

/// What a start finds in its folder.
struct Taken {
    identity: Identity,
    /// If it belongs to a cluster.
    directory: Option<Directory>,
    /// What was there before could not be trusted.
    anew: bool,
}

async fn take_folder(config: &NodeConfig) -> Result<Taken, StartError> {
    let config = config.clone();
    blocking(move || match read_folder(&config) {
        Err(damage) if damage.is_damage() => {
            set_aside(&config, &damage.to_string())?;
            Ok(Taken { anew: true, ..read_folder(&config)? })
        }
        read => read,
    })
    .await
}

fn read_folder(config: &NodeConfig) -> Result<Taken, StartError> {
    let identity = identity::take(&config.data, &config.name, fresh_id())?;
    let Some(cluster) = identity.cluster else {
        return Ok(Taken { identity, directory: None, anew: false });
    };
    let directory = copy::read(&config.data)?.filter(|directory| directory.cluster == cluster);
    let missing = || {
        let (path, reason) = (config.data.join("directory"), "it is not the one of the cluster".to_owned());
        CopyError::Damaged { path, reason }
    };
    Ok(Taken { identity, directory: Some(directory.ok_or_else(missing)?), anew: false })
}

fn set_aside(config: &NodeConfig, reason: &str) -> Result<PathBuf, StartError> {
    let failed = |error| StartError::Storage { path: config.data.clone(), error };
    let folder = quarantine::set_aside(&config.data).map_err(failed)?;
    error!(
        name = config.name,
        reason,
        folder = %folder.display(),
        "The store of this node is not used any more and was set aside; the node comes back as a new member"
    );
    Ok(folder)
}

/// Never 0, and exact wherever numbers are floats.
fn fresh_id() -> NodeId {
    NodeId(rand::random_range(1..1 << 48))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(StartError::Storage { path: PathBuf::new(), error: std::io::Error::other(error) })
    })
}
