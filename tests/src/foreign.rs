//! Servers that others wrote: Debian's Prosody and ejabberd, PyPI's pyjabber.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::{Authority, Client, Host, How, Kind, Lab, Mechanism, PATIENCE, password, wait, within};

mod files;

/// How much of a log is shown when a test fails, in bytes.
const LOG_SHOWN: usize = 20_000;

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Prosody 0.12, as Debian 12 has it.
    Prosody,
    /// ejabberd 23.01, as Debian 12 has it.
    Ejabberd,
    /// pyjabber 0.4.5.
    Pyjabber,
}

/// A running server of others, on the usual ports of its own address. Dropping it kills it.
#[derive(Debug)]
pub struct Foreign {
    which: Which,
    domain: String,
    address: IpAddr,
    folder: PathBuf,
    ca: PathBuf,
    authority: Arc<Authority>,
    kind: Kind,
    dialback: bool,
    direct: bool,
    is_whole: bool,
    has_rooms: bool,
    /// The domain and the secret of a component, on port 5347 (Prosody).
    component: Option<(String, String)>,
    pub(crate) accounts: Vec<String>,
    pub(crate) is_quiet: bool,
    child: Option<Child>,
}

impl Which {
    /// Says what is missing on this machine, if anything is.
    #[must_use]
    pub fn obstacle(self) -> Option<String> {
        let program = match self {
            Self::Prosody => "/usr/bin/prosody".into(),
            Self::Ejabberd => "/usr/sbin/ejabberdctl".into(),
            Self::Pyjabber => python(),
        };
        (!program.exists())
            .then(|| format!("{} is not there: run tests/interop/setup", program.display()))
    }
}

/// Returns the Python that has pyjabber, which `tests/interop/setup` installs.
fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/interop/pyjabber/bin/python")
}

impl Foreign {
    /// Returns one that shows a certificate for both uses, demands certificates of others, and knows
    /// no dialback. It does not run yet.
    #[must_use]
    pub fn new(which: Which, lab: &Lab, domain: &str, address: IpAddr) -> Self {
        lab.publish(domain, address);
        Self {
            which,
            domain: domain.to_owned(),
            address,
            folder: lab.folder(domain),
            ca: lab.ca(),
            authority: Arc::clone(lab.authority()),
            kind: Kind::Both,
            dialback: false,
            direct: true,
            is_whole: false,
            has_rooms: false,
            component: None,
            accounts: vec!["ana".to_owned(), "ben".to_owned()],
            is_quiet: false,
            child: None,
        }
    }

    /// Shows another kind of certificate.
    #[must_use]
    pub fn shows(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Lets others prove themselves by dialback, and proves itself so when it has to.
    #[must_use]
    pub fn dialback(mut self) -> Self {
        self.dialback = true;
        self
    }

    /// Runs all modules that it comes with (Prosody).
    #[must_use]
    pub fn everything(mut self) -> Self {
        self.is_whole = true;
        self
    }

    /// Has rooms with archives at `rooms.DOMAIN`, which its certificate names as well (Prosody, ejabberd).
    #[must_use]
    pub fn rooms(mut self, lab: &Lab) -> Self {
        lab.publish(&format!("rooms.{}", self.domain), self.address);
        self.has_rooms = true;
        self.shows(Kind::WithRooms)
    }

    /// Makes these accounts in place of `ana` and `ben`.
    #[must_use]
    pub fn people(mut self, names: &[&str]) -> Self {
        self.accounts = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Lets a program speak for `domain` on port 5347 (Prosody).
    #[must_use]
    pub fn component(mut self, domain: &str, secret: &str) -> Self {
        self.component = Some((domain.to_owned(), secret.to_owned()));
        self
    }

    /// Speaks STARTTLS only with other servers.
    #[must_use]
    pub fn starttls_only(mut self, lab: &Lab) -> Self {
        lab.names().remove(&format!("_xmpps-server._tcp.{}", self.domain));
        self.direct = false;
        self
    }

    /// Makes these accounts in place of `ana` and `ben`, and writes no log but warnings: for measuring.
    #[must_use]
    pub fn measured(mut self, accounts: Vec<String>) -> Self {
        self.accounts = accounts;
        self.is_quiet = true;
        self
    }

    /// Writes its files, makes its accounts and starts it.
    #[must_use]
    #[track_caller]
    pub fn start(mut self) -> Self {
        let shown = self.authority.issue(self.kind, &self.domain);
        self.write(&shown);
        if self.which == Which::Prosody {
            self.prosody_accounts();
        }
        self.launch();
        if self.which == Which::Pyjabber {
            for name in &self.accounts {
                self.register(name);
            }
        }
        self
    }

    /// Starts the program and waits until clients can log in.
    #[track_caller]
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.file("log"));
        let log = log.unwrap();
        let mut command = self.command();
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.process_group(0).spawn().unwrap());
        // ejabberd has much to do before it is, and others want the CPU as well.
        within(PATIENCE * 4, &format!("{:?} is ready", self.which), || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{:?} does not start: {}", self.which, self.log());
            TcpStream::connect(self.c2s()).is_ok() && self.is_ready()
        });
    }

    fn is_ready(&self) -> bool {
        // ejabberd listens before its accounts are made.
        self.which != Which::Ejabberd || self.log().contains("accounts are there")
    }

    /// Makes an account as a client does, for there is no tool.
    #[track_caller]
    fn register(&self, name: &str) {
        let mut client = self.how().secured(self);
        client.open_stream();
        let secret = password(name);
        client.send(&format!(
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{name}</username>\
             <password>{secret}</password></query></iq>"
        ));
        let said = client.expect(&["<iq"]);
        assert!(said.contains("result"), "{said}");
    }

    /// Kills it as a power switch would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // pyjabber has processes below it, which would stay.
            let group = Pid::from_raw(i32::try_from(child.id()).unwrap());
            // One that is gone already is as good.
            let _gone = killpg(group, Signal::SIGKILL);
            drop(child.wait());
        }
    }

    /// Asks it to stop and waits for that.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        wait("the end of a foreign server", || child.try_wait().unwrap().is_some());
    }

    /// Returns the number of the process.
    #[must_use]
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Logs a user in.
    #[must_use]
    #[track_caller]
    pub fn login(&self, name: &str) -> Client {
        self.how().login(self, name)
    }

    /// Returns its address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Host for Foreign {
    fn domain(&self) -> &str {
        &self.domain
    }

    fn c2s(&self) -> SocketAddr {
        (self.address, 5222).into()
    }

    fn c2s_tls(&self) -> SocketAddr {
        (self.address, 5223).into()
    }

    fn authority(&self) -> &Authority {
        &self.authority
    }

    fn how(&self) -> How {
        // The one that all of them have.
        let how = How::default().by(Mechanism::Plain);
        if self.which == Which::Pyjabber { how.undeclared() } else { how }
    }

    fn log(&self) -> String {
        let log = std::fs::read(self.file("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Foreign {
    #[allow(clippy::print_stderr, reason = "whoever looks for the fault needs both sides")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(LOG_SHOWN);
            let from = (from..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
            eprintln!("the log of {:?} ends with:\n{}", self.which, &log[from..]);
        }
    }
}
