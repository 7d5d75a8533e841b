//! What a program says for good: it outlives every process, and the log that told of it.

use std::path::Path;

use proto::v1;
use proto::v1::admin_client::AdminClient;
use proto::v1::presence_client::PresenceClient;
use tonic::transport::{Channel, Endpoint};

use crate::phone::{Phone, pidf, tag};
use crate::server::Server;

const ALICE: &str = "sip:alice@vedette.test";

#[test]
fn a_status_without_expiry_outlives_kill_9_and_its_log_and_goes_when_it_is_removed() {
    let data = tempfile::tempdir().expect("a folder");
    let config = data.path().join("settings.toml");
    std::fs::write(&config, "limits.snapshot_every = 20\n").expect("a file");
    let flags =
        ["--managers", "1", "--data", path(data.path()), "--config", path(&config)].map(ToOwned::to_owned);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = Server::up(&flags);
    let (sip, http) = (server.sip, server.http);
    let manager = Manager::of(data.path());
    server.ctl(&["publish", ALICE, "away", "--note", "On leave", "--expires", "0"]);
    let said = manager.history();
    let [first] = said.as_slice() else { panic!("one thing was said: {said:?}") };
    assert_eq!((&*first.what, &*first.status, &*first.note), ("said", "away", "On leave"));
    manager.log_until_snapshot(Phone::new("bob", sip));

    server.kill();
    let server = Server::up_at(sip, http, &flags);

    assert!(server.ctl(&["presence", ALICE]).contains("On leave"));
    assert_eq!(manager.history(), said);
    manager.remove(&said[0].source);
    assert!(!server.ctl(&["presence", ALICE]).contains("On leave"));
    let whats: Vec<_> = manager.history().into_iter().map(|change| change.what).collect();
    assert_eq!(whats, ["said", "removed"]);
}

/// The inner door of the only manager.
struct Manager {
    runtime: tokio::runtime::Runtime,
    endpoint: Endpoint,
}

impl Manager {
    fn of(data: &Path) -> Manager {
        let inner = std::fs::read_to_string(data.join("up.toml")).expect("the inner ports are kept");
        let inner: toml::Table = inner.parse().expect("they are TOML");
        let grpc = inner["managers"][0]["grpc"].as_str().expect("a manager has a gRPC port");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let endpoint = Endpoint::from_shared(format!("http://{grpc}")).expect("a URL");
        Manager { runtime: runtime.expect("a runtime"), endpoint }
    }

    /// A new one each time: the process behind it may be another one.
    fn channel(&self) -> Channel {
        self.endpoint.connect_lazy()
    }

    fn history(&self) -> Vec<v1::Change> {
        self.runtime.block_on(async {
            let mut presence = PresenceClient::new(self.channel());
            let request = v1::HistoryRequest { presentity: ALICE.into() };
            presence.history(request).await.expect("a history").into_inner().changes
        })
    }

    fn remove(&self, source: &str) {
        self.runtime.block_on(async {
            let mut presence = PresenceClient::new(self.channel());
            let (presentity, source) = (ALICE.into(), source.into());
            let request = v1::RemoveRequest { presentity, source, ..v1::RemoveRequest::default() };
            presence.remove(request).await.expect("it is removed");
        })
    }

    /// Has a phone publish until a snapshot holds what was in the log before.
    fn log_until_snapshot(&self, mut phone: Phone) {
        let (before, _) = self.progress();
        let mut last = tag(&phone.publish("", 600, &pidf(phone.name, "open", "0")));
        while self.progress().1 <= before {
            last = tag(&phone.publish(&last, 600, ""));
        }
    }

    /// How far the log has been applied, and how far the latest snapshot goes.
    fn progress(&self) -> (u64, u64) {
        self.runtime.block_on(async {
            let mut admin = AdminClient::new(self.channel());
            let status = admin.status(v1::StatusRequest {}).await.expect("a status").into_inner();
            let group = status.groups.iter().find(|group| group.group != 0).expect("there is a group");
            (group.applied, group.snapshot)
        })
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
