//! Who the managers are, as they say it themselves.
//!
//! Any manager tells the directory and each change of it. One of them is followed at a time; when it breaks off, does
//! not answer, or has said nothing new for a while, the next one is asked, for a manager that is cut off from the others
//! does not know what they have decided. What was learned last stays in use while nobody answers: the managers may be
//! well although nobody tells us of them. What may be learned from whom is in [`known`].

use std::fmt::Display;
use std::time::Duration;

use metrics::{counter, gauge};
use proto::v1::directory_client::DirectoryClient;
use proto::v1::{DirectoryState, FollowRequest};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use tracing::{debug, info, warn};

use crate::config::Manager;
use crate::metrics::{DIRECTORY_LOST, DIRECTORY_VERSION};

pub mod known;

use known::Known;

#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// How long a place may take to say what it knows.
    pub answer: Duration,
    /// After so long without a change the next place is asked.
    pub silence: Duration,
    /// Bounds of the wait before the next place is asked; it doubles while none answers.
    pub retry: (Duration, Duration),
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PlaceError {
    #[error("a dispatcher needs the gRPC address of at least one manager")]
    None,
    #[error("{0:?} is no gRPC address of a manager (host:port)")]
    Bad(String),
}

/// A process that is paused, or behind a cut cable, is noticed by an unanswered ping.
const PING_EVERY: Duration = Duration::from_secs(2);
/// A thousand slots and as many members as we use need a tenth of this.
const LARGEST: usize = 256 << 10;

/// Begins to follow the directory at these places, each `host:port`, and at those that it names itself. Goes on until
/// nobody looks at the list any more.
pub fn follow(
    places: &[String],
    timings: Timings,
    wires: tls::Wires,
) -> Result<watch::Receiver<Vec<Manager>>, PlaceError> {
    if places.is_empty() {
        return Err(PlaceError::None);
    }
    if let Some(bad) = places.iter().find(|place| !known::is_place(place)) {
        return Err(PlaceError::Bad(bad.clone()));
    }
    let (found, managers) = watch::channel(Vec::new());
    let wait = timings.retry.0;
    let follower = Follower {
        configured: places.to_vec(),
        known: Known::default(),
        found: found.clone(),
        timings,
        wires,
        wait,
    };
    tokio::spawn(async move {
        tokio::select! {
            () = follower.run() => {}
            () = found.closed() => {}
        }
    });
    Ok(managers)
}

struct Follower {
    configured: Vec<String>,
    known: Known,
    found: watch::Sender<Vec<Manager>>,
    timings: Timings,
    wires: tls::Wires,
    wait: Duration,
}

impl Default for Timings {
    fn default() -> Timings {
        Timings {
            answer: Duration::from_secs(2),
            silence: Duration::from_secs(30),
            retry: (Duration::from_millis(100), Duration::from_secs(1)),
        }
    }
}

impl Follower {
    async fn run(mut self) {
        for turn in 0_usize.. {
            let place = self.place(turn);
            if let Err(reason) = self.listen(&place).await {
                counter!(DIRECTORY_LOST).increment(1);
                debug!(place, reason, "The directory is not told here any more");
            }
            sleep(self.wait).await;
            self.wait = (self.wait * 2).min(self.timings.retry.1);
        }
    }

    /// The places take turns: those of the configuration, then those that the directory names besides.
    fn place(&self, turn: usize) -> String {
        let learned = self.known.places().iter().filter(|place| !self.configured.contains(place));
        let places: Vec<_> = self.configured.iter().chain(learned).collect();
        places[turn % places.len()].clone()
    }

    /// Learns what is told at one place, until it is silent.
    async fn listen(&mut self, place: &str) -> Result<(), String> {
        let endpoint = Endpoint::from_shared(format!("http://{place}")).map_err(reason)?;
        let endpoint = endpoint
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .keep_alive_while_idle(true);
        let ask = async {
            let channel = endpoint.connect_with_connector(self.wires.connector()).await.map_err(reason)?;
            let mut client = DirectoryClient::new(channel).max_decoding_message_size(LARGEST);
            let mut states = client.follow(FollowRequest {}).await.map_err(reason)?.into_inner();
            let first = states.message().await.map_err(reason)?;
            Ok::<_, String>((first, states))
        };
        let answer = timeout(self.timings.answer, ask).await.map_err(|_| "no answer in time".to_owned())?;
        let (mut told, mut states) = answer?;
        while let Some(state) = told {
            self.learn(&state, place)?;
            told = match timeout(self.timings.silence, states.message()).await {
                Ok(next) => next.map_err(reason)?,
                Err(_silent) => return Ok(()),
            };
        }
        Err("it ended".into())
    }

    fn learn(&mut self, state: &DirectoryState, place: &str) -> Result<(), String> {
        let learned = self.known.learn(state).map_err(|refused| {
            warn!(place, %refused, "The directory told here is not used");
            refused.to_string()
        })?;
        self.wait = self.timings.retry.0;
        let Some(learned) = learned else { return Ok(()) };
        if learned.skipped > 0 {
            warn!(
                place,
                version = state.version,
                skipped = learned.skipped,
                "Members without a usable address"
            );
        }
        let managers = self.known.managers();
        info!(place, version = state.version, managers = managers.len(), "The directory is known");
        gauge!(DIRECTORY_VERSION).set(state.version as f64);
        self.found.send_if_modified(|found| {
            let changed = found.as_slice() != managers;
            found.clone_from(&managers.to_vec());
            changed
        });
        Ok(())
    }
}

fn reason(error: impl Display) -> String {
    error.to_string()
}
