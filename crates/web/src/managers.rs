//! The gRPC side: which manager is asked, and who is asked next when it does not answer.
//!
//! Any manager answers for any presentity, so calls go round, those that served at the last probe first. A read is given
//! up after a while and put to the next manager. A write is put to the next one only when the first said that it did not
//! take it, or broke off: one that is merely slow may still be committed, and a second copy proposed through another
//! manager could then overwrite what somebody wrote in between.

use std::error::Error;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use proto::v1::admin_client::AdminClient;
use proto::v1::presence_client::PresenceClient;
use proto::v1::{NodeStatus, PresentityState, StatusRequest, WatchRequest};
use tls::Wires;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, Streaming};
use tracing::{debug, info, warn};

use crate::json::Position;
use crate::{BindError, metrics};

/// After this a read is put to the next manager.
const READ_TIME: Duration = Duration::from_secs(2);
/// A manager without a leader keeps a write for up to 3 s; this is longer, and shorter than a request may take.
const WRITE_TIME: Duration = Duration::from_millis(4500);
/// How often every manager is asked whether it serves.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_TIME: Duration = Duration::from_millis(900);
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// A manager that is paused, or behind a cut cable, is noticed on an idle event stream by an unanswered ping.
const PING_EVERY: Duration = Duration::from_secs(2);
/// The list of watchers of a popular presentity is the longest answer: some 100,000 of them fit.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// The configured managers.
pub struct Managers {
    managers: Vec<Manager>,
    turn: AtomicUsize,
    /// As the last look said; 0 before anybody answered.
    cluster: AtomicU64,
}

struct Manager {
    address: String,
    channel: Channel,
    /// Whether it served at the last probe and failed no call since.
    serving: AtomicBool,
}

/// What may be done about a call that was not answered in time.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Read,
    Write,
}

impl Managers {
    pub fn new(addresses: &[String], wires: &Wires) -> Result<Managers, BindError> {
        let managers: Vec<_> =
            addresses.iter().map(|address| Manager::new(address, wires)).collect::<Result<_, _>>()?;
        if managers.is_empty() {
            return Err(BindError::NoManagers);
        }
        Ok(Managers { managers, turn: AtomicUsize::new(0), cluster: AtomicU64::new(0) })
    }

    /// Asks one manager after another until one answers.
    pub async fn read<T, F>(&self, call: impl Fn(PresenceClient<Channel>) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call(Kind::Read, call).await
    }

    /// Hands a change to one manager, or to the next where that is certain to be harmless.
    pub async fn write<T, F>(&self, call: impl Fn(PresenceClient<Channel>) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call(Kind::Write, call).await
    }

    /// Begins to follow a presentity at whichever manager answers, from what was seen already.
    pub async fn watch(
        &self,
        presentity: &str,
        seen: Option<Position>,
    ) -> Result<Streaming<PresentityState>, Status> {
        let after = seen.map(|position| position.to_string()).unwrap_or_default();
        let request = WatchRequest { presentity: presentity.to_owned(), after };
        self.read(async |mut manager: PresenceClient<Channel>| manager.watch(request.clone()).await).await
    }

    /// What every manager says about itself, in the configured order.
    pub async fn status(&self) -> Vec<(&str, Result<NodeStatus, String>)> {
        join_all(self.managers.iter().map(async |manager| {
            let answer = manager.status(READ_TIME).await;
            (manager.address.as_str(), answer.map_err(|status| proto::reason(&status)))
        }))
        .await
    }

    /// Keeps asking who serves, until dropped.
    pub async fn probe(&self) {
        let mut ticks = interval(PROBE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
        }
    }

    /// Which cluster answers here, 0 if nobody does: positions of another one mean nothing in it.
    pub async fn cluster(&self) -> u64 {
        if self.cluster.load(Ordering::Relaxed) == 0 {
            self.look().await;
        }
        self.cluster.load(Ordering::Relaxed)
    }

    async fn look(&self) {
        let clusters = join_all(self.managers.iter().map(Manager::probe)).await;
        if let Some(cluster) = clusters.into_iter().flatten().next() {
            self.cluster.store(cluster, Ordering::Relaxed);
        }
    }

    pub fn any_serving(&self) -> bool {
        self.managers.iter().any(Manager::is_serving)
    }

    /// All addresses, for a message to the operator.
    pub fn addresses(&self) -> String {
        let addresses: Vec<_> = self.managers.iter().map(|manager| manager.address.as_str()).collect();
        addresses.join(", ")
    }

    async fn call<T, F>(&self, kind: Kind, call: impl Fn(PresenceClient<Channel>) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let patience = if kind == Kind::Read { READ_TIME } else { WRITE_TIME };
        let mut last = String::new();
        for manager in self.in_turn() {
            let status = match timeout(patience, call(manager.presence())).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if !unanswered(&status) => return Err(status),
                Ok(Err(status)) => status,
                Err(_) if kind == Kind::Read => Status::deadline_exceeded("no answer in time"),
                Err(_) => return Err(Status::deadline_exceeded("no answer in time")),
            };
            last = proto::reason(&status);
            debug!(manager = manager.address, reason = last, "Asking the next manager");
            manager.serves(false);
            ::metrics::counter!(metrics::FAILOVERS).increment(1);
        }
        Err(Status::unavailable(format!("no manager answers ({}): {last}", self.addresses())))
    }

    fn in_turn(&self) -> Vec<&Manager> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.managers.len();
        let (before, from) = self.managers.split_at(first);
        let mut order: Vec<_> = from.iter().chain(before).collect();
        order.sort_by_key(|manager| !manager.is_serving());
        order
    }
}

impl Manager {
    fn new(address: &str, wires: &Wires) -> Result<Manager, BindError> {
        let bad = || BindError::BadManager(address.to_owned());
        let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
        if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
            return Err(bad());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| bad())?;
        let channel = endpoint
            .connect_timeout(CONNECT_TIME)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .connect_with_connector_lazy(wires.connector());
        Ok(Manager { address: address.to_owned(), channel, serving: AtomicBool::new(false) })
    }

    fn presence(&self) -> PresenceClient<Channel> {
        PresenceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    async fn status(&self, patience: Duration) -> Result<NodeStatus, Status> {
        let mut admin = AdminClient::new(self.channel.clone());
        let answer = timeout(patience, admin.status(StatusRequest {})).await;
        answer
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))
            .map(Response::into_inner)
    }

    /// Whose member it is, if it answers.
    async fn probe(&self) -> Option<u64> {
        let status = self.status(PROBE_TIME).await.ok();
        let serving = status.as_ref().is_some_and(has_leaders);
        if serving != self.serves(serving) {
            match serving {
                true => info!(manager = self.address, "Manager serves"),
                false => warn!(manager = self.address, "Manager does not serve"),
            }
        }
        status.map(|status| status.cluster)
    }

    fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    /// Notes it and says what was true before.
    fn serves(&self, serving: bool) -> bool {
        self.serving.swap(serving, Ordering::Relaxed)
    }
}

/// A manager serves when each of its groups has a leader to propose to.
fn has_leaders(status: &NodeStatus) -> bool {
    !status.groups.is_empty() && status.groups.iter().all(|group| group.leader != 0)
}

/// Whether the manager did not take the call, or the connection broke. Only a status made on this side has a source.
fn unanswered(status: &Status) -> bool {
    status.code() == Code::Unavailable || status.source().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn managers(addresses: &[&str]) -> Result<Managers, BindError> {
        Managers::new(
            &addresses.iter().map(|&address| address.to_owned()).collect::<Vec<_>>(),
            &Wires::plain(),
        )
    }

    fn order(managers: &Managers) -> Vec<&str> {
        managers.in_turn().iter().map(|manager| manager.address.as_str()).collect()
    }

    #[tokio::test]
    async fn managers_take_turns_and_one_that_failed_comes_last() {
        let managers = managers(&["a:1", "b:2", "c:3"]).unwrap();
        for manager in &managers.managers {
            manager.serves(true);
        }

        assert_eq!(order(&managers), ["a:1", "b:2", "c:3"]);
        assert_eq!(order(&managers), ["b:2", "c:3", "a:1"]);
        managers.managers[2].serves(false);
        assert_eq!(order(&managers), ["a:1", "b:2", "c:3"]);
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_dialled_is_refused_at_the_start() {
        for address in ["", "host", "host:", ":7101", "http://host:7101", "host:port", "ho st:1"] {
            assert!(matches!(managers(&[address]), Err(BindError::BadManager(_))), "{address}");
        }
        assert!(managers(&["127.0.0.1:7101"]).is_ok());
        assert!(managers(&["[::1]:7101"]).is_ok());
        assert!(matches!(managers(&[]), Err(BindError::NoManagers)));
    }

    #[tokio::test]
    async fn a_refusal_is_final_and_an_unavailable_manager_is_not() {
        let managers = managers(&["127.0.0.1:1", "127.0.0.1:2"]).unwrap();
        let asked = AtomicUsize::new(0);

        let refused: Result<(), _> = managers
            .write(async |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                Err(Status::invalid_argument("no such status"))
            })
            .await;
        assert_eq!(
            (refused.unwrap_err().code(), asked.swap(0, Ordering::Relaxed)),
            (Code::InvalidArgument, 1)
        );

        let nobody: Result<(), _> = managers
            .write(async |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                Err(Status::unavailable("no leader"))
            })
            .await;
        assert_eq!((nobody.unwrap_err().code(), asked.into_inner()), (Code::Unavailable, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_read_goes_to_the_next_manager_and_a_slow_write_does_not() {
        let managers = managers(&["127.0.0.1:1", "127.0.0.1:2"]).unwrap();
        let asked = AtomicUsize::new(0);
        let slow_once = async |_| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => std::future::pending().await,
            _ => Ok(Response::new(())),
        };

        assert!(managers.read(slow_once).await.is_ok());
        asked.store(0, Ordering::Relaxed);
        let unknown = managers.write(slow_once).await.unwrap_err();

        assert_eq!((unknown.code(), asked.into_inner()), (Code::DeadlineExceeded, 1));
    }
}
