//! The inner side of `vedette up`: loopback ports and a secret, chosen once and kept with the data.
//!
//! They must not change from one start to the next: a dialog's route names the dispatcher's inner address, and
//! everything signed is signed with the secret.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inner {
    pub secret: String,
    pub dispatcher: SocketAddr,
    pub auth: SocketAddr,
    pub managers: Vec<ManagerPorts>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManagerPorts {
    pub sip: SocketAddr,
    pub grpc: SocketAddr,
}

impl Inner {
    /// Reads what the folder was born with, or chooses it now.
    pub fn of(data: &Path, managers: usize) -> anyhow::Result<Inner> {
        let file = data.join("up.toml");
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let inner: Inner =
                    toml::from_str(&text).with_context(|| format!("{} is damaged", file.display()))?;
                if inner.managers.len() != managers {
                    let born = inner.managers.len();
                    bail!(
                        "{} was born with {born} managers; start it with --managers {born}",
                        data.display()
                    );
                }
                Ok(inner)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let inner = Inner::chosen(managers)?;
                write_private(&file, &toml::to_string(&inner)?)?;
                Ok(inner)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    fn chosen(managers: usize) -> anyhow::Result<Inner> {
        // All are held until the last is found, so that no port is given twice.
        let held: Vec<_> = (0..2 + 2 * managers).map(|_| free_port()).collect::<anyhow::Result<_>>()?;
        let addresses: Vec<_> = held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let managers = addresses[2..].chunks(2).map(|pair| ManagerPorts { sip: pair[0], grpc: pair[1] });
        Ok(Inner {
            secret: format!("{:032x}", rand::random::<u128>()),
            dispatcher: addresses[0],
            auth: addresses[1],
            managers: managers.collect(),
        })
    }
}

/// Below the ports that systems give to outgoing connections: one of those could sit there at the next start.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

fn free_port() -> anyhow::Result<TcpListener> {
    let tries = (0..1_000).map(|_| rand::random_range(PORTS));
    let mut free = tries.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    free.next().context("no free ports on loopback")
}

/// Keeps a second process out of a data folder for as long as it is held.
pub fn lock(data: &Path) -> anyhow::Result<File> {
    let file = data.join("lock");
    let locked = File::create(&file).with_context(|| format!("cannot write {}", file.display()))?;
    match locked.try_lock() {
        Ok(()) => Ok(locked),
        Err(_) => bail!("{} is in use by another vedette", data.display()),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", file.display());
    let temporary = file.with_extension("new");
    let _ = std::fs::remove_file(&temporary);
    let mut open = std::fs::OpenOptions::new();
    let mut opened = open.write(true).create_new(true).mode(0o600).open(&temporary).with_context(context)?;
    opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all()).with_context(context)?;
    std::fs::rename(&temporary, file).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_keeps_its_ports_and_its_number_of_managers() {
        let data = tempfile::tempdir().unwrap();

        let first = Inner::of(data.path(), 3).unwrap();

        assert_eq!(Inner::of(data.path(), 3).unwrap(), first);
        let refused = Inner::of(data.path(), 5).unwrap_err().to_string();
        assert!(refused.contains("born with 3 managers"), "{refused}");
    }
}
