//! The binary under test, started on free ports and ended with the test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::ports::free_address;

pub struct Server {
    process: Child,
    pub sip: SocketAddr,
    pub http: SocketAddr,
}

pub fn vedette() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vedette"))
}

impl Server {
    /// Starts `vedette up` with these flags besides the ports, and waits until it says that it is ready.
    pub fn up(flags: &[&str]) -> Server {
        Server::up_at(free_address(), free_address(), flags)
    }

    pub fn kept_in(data: &Path) -> Server {
        Server::up(&["--data", data.to_str().expect("a plain path")])
    }

    pub fn up_at(sip: SocketAddr, http: SocketAddr, flags: &[&str]) -> Server {
        Server::started(sip, http, &[&["--sip", &sip.to_string()], flags].concat())
    }

    /// Where phones reach it, `config` says: at `sip`, and perhaps elsewhere.
    pub fn configured(sip: SocketAddr, config: &Path) -> Server {
        let config = config.to_str().expect("a plain path");
        Server::started(sip, free_address(), &["--managers", "1", "--config", config])
    }

    fn started(sip: SocketAddr, http: SocketAddr, flags: &[&str]) -> Server {
        let mut command = vedette();
        command.arg("up").args(["--http", &http.to_string()]).args(flags);
        // The home of the write token: not the one of whoever runs the tests.
        command.env("XDG_RUNTIME_DIR", std::env::temp_dir().join(format!("vedette-test-{}", http.port())));
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line.contains("Vedette is ready")));
        assert!(ready, "the server ended before it was ready");
        // What follows is read too, so that the server never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Server { process, sip, http }
    }

    /// `vedette ctl` against this server; its standard output.
    pub fn ctl(&self, args: &[&str]) -> String {
        let mut command = vedette();
        command.args(["ctl", "--api", &format!("http://{}", self.http)]).args(args);
        command
            .env("XDG_RUNTIME_DIR", std::env::temp_dir().join(format!("vedette-test-{}", self.http.port())));
        let output = command.output().expect("ctl starts");
        assert!(output.status.success(), "ctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("a child can be killed");
    }

    /// Ctrl-C.
    pub fn interrupt(mut self) -> ExitStatus {
        let killed = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        self.process.wait().expect("a child can be waited for")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing behind; one that ended the server already has nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
