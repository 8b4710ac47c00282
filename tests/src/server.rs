//! The program in a folder of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Authority, Host, PATIENCE, Setup, password, wait};

impl Setup {
    /// Starts a server like this.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Server {
        let mut server = self.prepare();
        server.launch();
        server
    }

    /// Makes the folder and the accounts, and starts nothing.
    #[must_use]
    #[track_caller]
    pub fn prepare(self) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let authority = self.authority.clone().unwrap_or_default();
        authority.issue(self.kind, &self.domain).write(folder.path());
        let server = Server { folder, setup: self, authority, ports: free_ports(), child: None };
        server.configure();
        for name in server.setup.accounts.clone() {
            server.add(&name);
        }
        server
    }
}

/// What a command said and how it ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit code; -1 after a signal.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

/// A server in a folder of its own. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    folder: tempfile::TempDir,
    setup: Setup,
    authority: Arc<Authority>,
    ports: [u16; 3],
    child: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    /// Starts the usual server: see [`Setup::new`].
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Setup::new().start()
    }

    /// Starts the program and waits until clients can log in.
    #[track_caller]
    pub fn launch(&mut self) {
        for _ in 0..5 {
            if self.try_launch() {
                return;
            }
            // Another test may have taken a port in the meantime.
            assert!(self.log().contains("is held by"), "it does not start: {}", self.log());
            self.ports = free_ports();
            self.configure();
        }
        panic!("no free ports");
    }

    /// Starts the program and waits for nothing.
    #[track_caller]
    pub fn begin(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.child = Some(self.spawn());
    }

    fn spawn(&self) -> Child {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.file("log"));
        let mut command = self.command(&["run"]);
        command.stdin(Stdio::null()).stderr(log.unwrap()).spawn().unwrap()
    }

    fn try_launch(&mut self) -> bool {
        assert!(self.child.is_none(), "it runs already");
        let start = self.log().len();
        let mut child = self.spawn();
        let until = Instant::now() + PATIENCE;
        loop {
            if self.log()[start..].contains("The server is ready.") {
                self.child = Some(child);
                return true;
            }
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < until, "it does not get ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.setup.form.program());
        command
            .args(["--config", "calypte.toml"])
            .args(args)
            .current_dir(self.folder.path())
            .env_remove("CALYPTE_CONFIG")
            .envs(self.setup.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command of the program on this server's configuration.
    pub fn run(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        // A program that reads nothing may be gone already.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Makes an account with its [`password`].
    #[track_caller]
    pub fn add(&self, name: &str) {
        let ran = self.run(&["user", "add", name], &format!("{}\n", password(name)));
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// Asks for a reload and returns the verdict.
    pub fn reload(&self) -> Ran {
        self.run(&["reload"], "")
    }

    /// Changes the setup and writes the configuration anew; nothing is reloaded.
    pub fn change(&mut self, change: impl FnOnce(Setup) -> Setup) {
        self.setup = change(std::mem::take(&mut self.setup));
        self.configure();
    }

    fn configure(&self) {
        std::fs::write(self.file("calypte.toml"), self.setup.toml(self.ports)).unwrap();
    }

    /// Replaces the certificate on disk by another one of the same authority.
    pub fn renew_certificate(&self) {
        self.authority.issue(self.setup.kind, &self.setup.domain).write(self.folder.path());
    }

    /// Returns the authority that its clients trust.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns the path of a file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns where clients begin in the clear.
    #[must_use]
    pub fn c2s(&self) -> SocketAddr {
        self.setup.address.map_or_else(
            || (Ipv4Addr::LOCALHOST, self.ports[0]).into(),
            |address| (address, 5222).into(),
        )
    }

    /// Returns where clients begin with TLS.
    #[must_use]
    pub fn c2s_tls(&self) -> SocketAddr {
        self.setup.address.map_or_else(
            || (Ipv4Addr::LOCALHOST, self.ports[1]).into(),
            |address| (address, 5223).into(),
        )
    }

    /// Returns the text of a page such as `/metrics`, with its status line and headers.
    #[must_use]
    pub fn http(&self, path: &str) -> String {
        self.get(self.ports[2], path)
    }

    /// Returns what is answered for a path on another port of loopback.
    #[must_use]
    pub fn get(&self, port: u16, path: &str) -> String {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text
    }

    /// Returns a figure of `/metrics`, 0 when it is not there. A label belongs to the name.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.http("/metrics");
        let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        let found = lines.find(|(have, _)| *have == name);
        found.map_or(0.0, |(_, value)| value.parse().unwrap())
    }

    /// Returns all that was logged since the folder was made.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Returns the number of the process.
    #[must_use]
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Kills the process as a power switch would, as far as a process goes.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Asks it to stop and waits for that.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended()
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let mut status = None;
        wait("the end of the server", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Tells whether the process is there.
    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Returns how much memory the process has in use, in bytes.
    #[must_use]
    #[track_caller]
    pub fn memory(&self) -> u64 {
        self.status_kib("VmRSS:") * 1024
    }

    /// Returns the most memory that the process ever had in use, in bytes.
    #[must_use]
    #[track_caller]
    pub fn memory_peak(&self) -> u64 {
        self.status_kib("VmHWM:") * 1024
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Host for Server {
    fn domain(&self) -> &str {
        &self.setup.domain
    }

    fn c2s(&self) -> SocketAddr {
        self.c2s()
    }

    fn c2s_tls(&self) -> SocketAddr {
        self.c2s_tls()
    }

    fn authority(&self) -> &Authority {
        &self.authority
    }

    fn log(&self) -> String {
        self.log()
    }
}

/// Returns ports that nobody listens on. They lie below those that the system gives to clients.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 89).unwrap() * 11;
    let mut found = std::iter::repeat_with(|| 16_000 + (spread + NEXT.fetch_add(1, Relaxed)) % 999)
        .take(5000)
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    std::array::from_fn(|_| found.next().expect("a free port"))
}
