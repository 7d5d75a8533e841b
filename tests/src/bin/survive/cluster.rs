//! The cluster under trial: what `local.sh` wrote down about it, the script itself, and what `vedette ctl` tells.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// A manager by its number: N of `manager-N`.
pub type Number = u64;

#[derive(Clone, Debug)]
pub struct Cluster {
    script: PathBuf,
    dir: PathBuf,
    binary: PathBuf,
    api: String,
    token: String,
    pub sip: SocketAddr,
    pub domain: String,
    /// The SIP ports that dispatchers use, of manager 1 and so on.
    pub managers: Vec<SocketAddr>,
}

/// The group whose leader is meant by "leader".
const GROUP: u64 = 1;

impl Cluster {
    /// Reads what the script keeps in its folder.
    pub fn of(dir: &Path, script: &Path) -> anyhow::Result<Cluster> {
        let file = dir.join("cluster");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}: start a cluster with local.sh", file.display()))?;
        let settings: HashMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let setting =
            |name: &str| settings.get(name).copied().with_context(|| format!("no {name} in {file:?}"));
        ensure!(setting("AUTH")? == "open", "the cluster asks for passwords; start it with AUTH=open");
        let ports = setting("SIP_PORTS")?.split_whitespace();
        Ok(Cluster {
            script: script.to_owned(),
            dir: dir.to_owned(),
            binary: setting("BIN")?.into(),
            api: format!("http://{}", setting("HTTP")?),
            token: setting("TOKEN")?.to_owned(),
            sip: setting("SIP")?.parse().context("SIP is an address")?,
            domain: setting("DOMAIN")?.to_owned(),
            managers: ports.map(|port| format!("127.0.0.1:{port}").parse()).collect::<Result<_, _>>()?,
        })
    }

    /// Runs the script: kill, restart, pause or resume.
    pub fn manage(&self, command: &str, manager: Number) -> anyhow::Result<()> {
        let mut script = Command::new(&self.script);
        let output = script.args([command, &manager.to_string()]).env("DIR", &self.dir).output();
        let output = output.with_context(|| format!("cannot run {}", self.script.display()))?;
        if !output.status.success() {
            bail!("{command} {manager}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    pub fn leader(&self) -> anyhow::Result<Option<Number>> {
        let status = self.ctl(&["status"])?;
        let leading = managers(&status).filter_map(|manager| {
            let mut groups = manager["groups"].as_array()?.iter();
            let led = groups.find(|group| group["group"] == GROUP && group["role"] == "leader")?;
            Some((led["term"].as_u64()?, number(manager)?))
        });
        Ok(leading.max().map(|(_, number)| number))
    }

    /// Which manager notifies each subscription to these presentities, by Call-ID.
    pub fn owners(&self, presentities: &[String]) -> anyhow::Result<HashMap<String, Number>> {
        let status = self.ctl(&["status"])?;
        let numbers: HashMap<_, _> = managers(&status)
            .filter_map(|manager| Some((manager["node"].as_u64()?, number(manager)?)))
            .collect();
        let mut owners = HashMap::new();
        for uri in presentities {
            let watchers = self.ctl(&["watchers", uri])?;
            for watcher in watchers["watchers"].as_array().into_iter().flatten() {
                let owner = watcher["owner"].as_u64().and_then(|node| numbers.get(&node));
                if let (Some(call_id), Some(owner)) = (watcher["call_id"].as_str(), owner) {
                    owners.insert(call_id.to_owned(), *owner);
                }
            }
        }
        Ok(owners)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn ctl(&self, words: &[&str]) -> anyhow::Result<Value> {
        let mut ctl = Command::new(&self.binary);
        ctl.args(["ctl", "--json", "--api", &self.api]).args(words).env("VEDETTE_TOKEN", &self.token);
        let output = ctl.output();
        let output = output.with_context(|| format!("cannot run {}", self.binary.display()))?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("vedette ctl --json")
    }
}

/// Those that answered.
fn managers(status: &Value) -> impl Iterator<Item = &Value> {
    let all = status["managers"].as_array().into_iter().flatten();
    all.map(|manager| &manager["status"]).filter(|status| !status.is_null())
}

fn number(manager: &Value) -> Option<Number> {
    manager["name"].as_str()?.strip_prefix("manager-")?.parse().ok()
}
