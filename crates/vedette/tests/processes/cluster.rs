//! Three managers and a dispatcher in a process each, from the binary under test; they end with the test.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tls::authority::Authority;

use crate::ports::free_address;

/// Counted from 1, as in `manager-1`.
pub type Number = usize;

pub struct Cluster {
    folder: TempDir,
    ports: Ports,
    /// Who signs the certificates, if they reach each other by TLS.
    authority: Option<Authority>,
    processes: Vec<(String, Child)>,
}

struct Ports {
    public: SocketAddr,
    inner: SocketAddr,
    http: SocketAddr,
    auth: SocketAddr,
    managers: Vec<ManagerPorts>,
}

struct ManagerPorts {
    sip: SocketAddr,
    grpc: SocketAddr,
}

const MANAGERS: usize = 3;
/// Longer than anything takes on a machine that is busy; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

impl Cluster {
    /// Returns when phones may ask.
    pub fn start() -> Cluster {
        Cluster::start_with(None)
    }

    /// The same over TLS, with an auth-adapter of its own.
    pub fn start_over_tls() -> Cluster {
        Cluster::start_with(Some(Authority::new()))
    }

    fn start_with(authority: Option<Authority>) -> Cluster {
        let folder = tempfile::tempdir().expect("a folder");
        let mut cluster = Cluster { folder, ports: Ports::choose(), authority, processes: Vec::new() };
        if cluster.authority.is_some() {
            let auth = cluster.auth_config();
            cluster.launch("auth", "auth", &auth);
        }
        for manager in 1..=MANAGERS {
            cluster.start_manager(manager);
        }
        let dispatcher = cluster.dispatcher_config();
        cluster.launch("dispatcher", "dispatcher", &dispatcher);
        until("the cluster to serve", || cluster.serves());
        cluster
    }

    /// Where phones reach it.
    pub fn sip(&self) -> SocketAddr {
        self.ports.public
    }

    /// kill -9.
    pub fn kill(&mut self, manager: Number) {
        let name = format!("manager-{manager}");
        let at = self.processes.iter().position(|(running, _)| *running == name).expect("it runs");
        let (_, mut process) = self.processes.remove(at);
        process.kill().and_then(|()| process.wait()).expect("a child can be killed");
    }

    /// Starts a manager that was killed; returns when it has applied all that was committed before.
    pub fn restart(&mut self, manager: Number) {
        let committed = self.find("what is committed", |status| {
            groups(status).filter_map(|(_, group)| group["committed"].as_u64()).max()
        });
        self.start_manager(manager);
        self.find("the manager to catch up", |status| {
            let (_, group) = groups(status).find(|(number, _)| *number == manager)?;
            group["applied"].as_u64().filter(|applied| *applied >= committed)
        });
    }

    pub fn leader(&self) -> Number {
        self.find("a leader", |status| {
            let leading = groups(status).filter(|(_, group)| group["role"] == "leader");
            leading.max_by_key(|(_, group)| group["term"].as_u64()).map(|(number, _)| number)
        })
    }

    /// Who notifies this watcher of a presentity.
    pub fn owner(&self, presentity: &str, call_id: &str) -> Number {
        self.find("a watcher", |status| {
            let watchers = self.ctl(&["watchers", presentity]);
            let mut watchers = watchers["watchers"].as_array()?.iter();
            let owner = &watchers.find(|watcher| watcher["call_id"] == call_id)?["owner"];
            managers(status).find(|manager| manager["node"] == *owner).and_then(number)
        })
    }

    /// Looks at the status until what is looked for is there.
    fn find<T>(&self, what: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
        let mut found = None;
        until(what, || {
            found = look(&self.ctl(&["status"]));
            found.is_some()
        });
        found.expect("`until` has seen it")
    }

    /// Whether the dispatcher has a manager that takes requests.
    fn serves(&self) -> bool {
        let asked = TcpStream::connect(self.ports.http).and_then(|mut http| {
            http.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
            std::io::read_to_string(http)
        });
        asked.is_ok_and(|answer| answer.lines().next().is_some_and(|line| line.contains(" 200 ")))
    }

    /// `vedette ctl --json`; null while nobody answers.
    fn ctl(&self, words: &[&str]) -> Value {
        let api = format!("http://{}", self.ports.http);
        let output = vedette().args(["ctl", "--json", "--api", &api]).args(words).output();
        serde_json::from_slice(&output.expect("ctl starts").stdout).unwrap_or(Value::Null)
    }

    fn start_manager(&mut self, manager: Number) {
        let config = self.manager_config(manager);
        self.launch(&format!("manager-{manager}"), "manager", &config);
    }

    fn launch(&mut self, name: &str, role: &str, config: &str) {
        let file = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&file, format!("{config}{}", self.tls_config(name))).expect("the folder takes files");
        let log =
            File::options().create(true).append(true).open(self.log(name)).expect("the folder takes files");
        let mut command = vedette();
        let process = command
            .env("NO_COLOR", "1")
            .arg(role)
            .arg("--config")
            .arg(file)
            .stderr(log)
            .stdout(Stdio::null())
            .spawn();
        self.processes.push((name.to_owned(), process.expect("the binary starts")));
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn manager_config(&self, manager: Number) -> String {
        let ManagerPorts { sip, grpc } = &self.ports.managers[manager - 1];
        let data = self.folder.path().join(format!("manager-{manager}"));
        let auth = match self.authority {
            None => "open".to_owned(),
            Some(_) => format!("https://{}", self.ports.auth),
        };
        let members = self
            .ports
            .managers
            .iter()
            .zip(1..)
            .map(|(ports, node)| format!("{{ name = \"manager-{node}\", grpc = \"{}\" }},", ports.grpc));
        format!(
            "{COMMON}[manager]\nname = \"manager-{manager}\"\nsip = \"{sip}\"\ngrpc = \"{grpc}\"\ndata = {data:?}\nauth = \"{auth}\"\n\
             members = [{}]\n",
            members.collect::<String>(),
        )
    }

    fn auth_config(&self) -> String {
        let accounts = self.folder.path().join("accounts.toml");
        let account =
            |name| format!("[[account]]\nuri = \"sip:{name}@vedette.test\"\npassword = \"{name}pw\"\n");
        std::fs::write(&accounts, ["alice", "bob"].map(account).concat()).expect("the folder takes files");
        format!("{COMMON}[auth]\nlisten = \"{}\"\naccounts = {accounts:?}\n", self.ports.auth)
    }

    fn tls_config(&self, name: &str) -> String {
        let Some(authority) = &self.authority else { return String::new() };
        let folder = self.folder.path().join(format!("{name}-tls"));
        std::fs::create_dir_all(&folder).expect("the folder takes folders");
        let files = authority.issue(&["127.0.0.1"]).write(&folder, &authority.pem);
        format!("[tls]\ncert = {:?}\nkey = {:?}\nca = {:?}\n", files.cert, files.key, files.ca)
    }

    fn dispatcher_config(&self) -> String {
        let Ports { public, inner, http, managers, .. } = &self.ports;
        let addresses: String = managers.iter().map(|ports| format!("\"{}\",", ports.grpc)).collect();
        format!(
            "{COMMON}[dispatcher]\nlisten = [\"{public}\"]\ninner = \"{inner}\"\ndirectory = [{addresses}]\n\
             [http]\nlisten = \"{http}\"\nmanagers = [{addresses}]\n"
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (name, process) in &mut self.processes {
            // One that ended by itself has nothing left to end.
            let _ = process.kill().and_then(|()| process.wait());
            if std::thread::panicking() {
                let log = std::fs::read_to_string(self.folder.path().join(format!("{name}.log")));
                eprintln!("--- {name}\n{}", log.unwrap_or_default());
            }
        }
    }
}

impl Ports {
    fn choose() -> Ports {
        let manager = || ManagerPorts { sip: free_address(), grpc: free_address() };
        Ports {
            public: free_address(),
            inner: free_address(),
            http: free_address(),
            auth: free_address(),
            managers: (0..MANAGERS).map(|_| manager()).collect(),
        }
    }
}

const COMMON: &str = "domains = [\"vedette.test\"]\nsecret = \"the secret of these tests\"\n";

fn vedette() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vedette"))
}

/// Those that answer.
fn managers(status: &Value) -> impl Iterator<Item = &Value> {
    let all = status["managers"].as_array().into_iter().flatten();
    all.map(|manager| &manager["status"]).filter(|status| !status.is_null())
}

/// The only group of presentities there is, as each manager sees it.
fn groups(status: &Value) -> impl Iterator<Item = (Number, &Value)> {
    managers(status).filter_map(|manager| {
        let mut groups = manager["groups"].as_array()?.iter();
        Some((number(manager)?, groups.find(|group| group["group"] == 1)?))
    })
}

fn number(manager: &Value) -> Option<Number> {
    manager["name"].as_str()?.strip_prefix("manager-")?.parse().ok()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
