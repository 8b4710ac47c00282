//! The program while it serves: commands, signals, a second start.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::Place;

/// A server that is killed when the test ends.
pub(crate) struct Running {
    pub(crate) place: Place,
    child: Child,
    port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn config(port: u16, more: &str) -> String {
    format!(
        "domain = \"chat.example\"\ndata = \"data\"\n\
         [tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n\
         [listen]\nc2s = \"127.0.0.1:{port}\"\nc2s_tls = []\ns2s = []\ns2s_tls = []\nhttp = []\n\
         [login]\niterations = 4096\n[server]\nshards = 1\ngoodbye = \"1 second\"\n{more}"
    )
}

/// Waits until `is_so`, for at most 20 seconds.
#[track_caller]
fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < until, "{what} did not happen");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

impl Running {
    fn start() -> Self {
        let place = Place::new();
        let port = free_port();
        place.write("calypte.toml", &config(port, ""));
        Self::start_in(place, port)
    }

    /// Starts with the configuration that is there.
    pub(crate) fn start_in(place: Place, port: u16) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_calypte"))
            .args(["run", "--config", "calypte.toml"])
            .current_dir(place.path())
            .env_remove("CALYPTE_CONFIG")
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(place.file("log")).unwrap())
            .spawn()
            .unwrap();
        let mut running = Self { place, child, port };
        wait("the start", || {
            if let Some(status) = running.child.try_wait().unwrap() {
                panic!("it ended with {status}: {}", running.log());
            }
            running.place.calypte(&["status"], "").code == 0
        });
        running
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.place.file("log")).unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    #[track_caller]
    fn ends(mut self) -> (i32, String) {
        let mut code = None;
        wait("the end", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        (code.and_then(|status| status.code()).unwrap_or(-1), self.log())
    }
}

#[test]
fn accounts_while_it_runs() {
    let running = Running::start();
    let place = &running.place;
    assert!(place.calypte(&["user", "list"], "").succeeds().contains("no accounts yet"));
    place.calypte(&["user", "add", "ana"], "secret\n").succeeds();
    place.calypte(&["user", "disable", "ana"], "").succeeds();
    assert!(place.calypte(&["user", "list"], "").succeeds().contains("disabled"));
    place.calypte(&["user", "delete", "ana", "--yes"], "").succeeds();
    assert!(place.calypte(&["user", "list"], "").succeeds().contains("no accounts yet"));
    place.calypte(&["backup", "saved"], "").succeeds();
    place.calypte(&["verify", "saved"], "").succeeds();
    assert!(!running.log().contains("secret"));
}

#[test]
fn a_broken_reload_changes_nothing() {
    let running = Running::start();
    let place = &running.place;
    place.write("calypte.toml", &config(running.port, "[limits]\nstanza = \"20 KiB\"\n"));
    let said = place.calypte(&["reload"], "").succeeds();
    assert!(said.contains("in force now: limits.stanza"), "{said}");
    place.write("calypte.toml", &config(running.port, "[limits]\nstanzas = \"20 KiB\"\n"));
    // The command itself reads the file to find the server, so it sees the problem as well.
    place.calypte(&["reload"], "").fails(2);
    running.signal("-HUP");
    wait("the answer to SIGHUP", || running.log().contains("The reload failed"));
    place.write("calypte.toml", &config(running.port, ""));
    place.calypte(&["status"], "").succeeds();
    assert!(TcpStream::connect(("127.0.0.1", running.port)).is_ok());
}

#[test]
fn a_signal_ends_it_cleanly() {
    let running = Running::start();
    let (socket, port) = (running.place.file("data/admin.sock"), running.port);
    assert!(socket.exists());
    running.signal("-TERM");
    let (code, log) = running.ends();
    assert_eq!(code, 0, "{log}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_second_one_does_not_start() {
    let running = Running::start();
    let said = running.place.calypte(&["run"], "").fails(2);
    assert!(said.contains("another calypte"), "{said}");
    let other = Place::new();
    other.write("calypte.toml", &config(running.port, ""));
    let said = other.calypte(&["run"], "").fails(2);
    let holder = format!("port {} is held by calypte (pid {})", running.port, running.child.id());
    assert!(said.contains(&holder), "{said}");
    running.place.calypte(&["status"], "").succeeds();
}

/// Starts `calypte dev` with its temporary folder in `folder`, and returns it with what it says.
fn dev(folder: &Path, arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_calypte"))
        .arg("dev")
        .args(arguments)
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

/// Reads until all is said that a user needs.
fn greeting(out: &mut BufReader<ChildStdout>) -> String {
    let mut said = String::new();
    while !said.contains("\nEND\n") {
        assert_ne!(out.read_line(&mut said).unwrap(), 0, "{said}");
    }
    said
}

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
}

#[test]
fn many_throwaway_servers_start_at_once() {
    let temporary = tempfile::tempdir().unwrap();
    let mut all: Vec<_> = (0..8).map(|_| dev(temporary.path(), &[])).collect();
    for (child, out) in &mut all {
        greeting(out);
        interrupt(child);
    }
    for (mut child, _out) in all {
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn dev_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut child, mut out) = dev(temporary.path(), &["--port", &free_port().to_string()]);
    let mut said = greeting(&mut out);
    for part in ["ana@localhost", "ben@localhost", "Profanity", "Gajim", "slixmpp"] {
        assert!(said.contains(part), "{said}");
    }
    interrupt(&child);
    out.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert!(said.ends_with("stopped; nothing is left of it\n"), "{said}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}
