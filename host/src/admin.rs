//! The operator's commands over a Unix socket: one line of JSON each way.
//!
//! Only the server's own user can open the socket (mode 0600), so there is no password. A request
//! is one line; the answer is any number of progress lines and one last line.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::operate;
use crate::server::Shared;

/// The longest request.
const REQUEST_BYTES_MAX: u64 = 64 << 10;
/// How many operators may ask at the same time.
const CLIENTS_MAX: usize = 16;
/// How long a request may take to arrive.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// What an operator asks for.
#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum AdminRequest {
    /// How the server is.
    Status,
    /// Read the configuration and the certificates again.
    Reload,
    /// Write a backup.
    Backup {
        /// The file, absolute.
        to: std::path::PathBuf,
        /// The folder for files that people sent, absolute; nothing: they are left out.
        files: Option<std::path::PathBuf>,
    },
    /// The list of commands that modules offer.
    CommandList,
    /// Run a command of a module.
    Command {
        /// Its name.
        node: String,
        /// Whose account it is for; none for the operator's own commands.
        account: Option<String>,
        /// Its fields, each as `name=value`.
        fields: Vec<String>,
    },
    /// The other domains, and what was said about them.
    PeerList,
    /// Allow or block another domain.
    PeerRule {
        /// The domain.
        domain: String,
        /// Whether it is allowed; nothing: the configuration decides.
        allow: Option<bool>,
    },
    /// Try to reach another domain now.
    PeerRetry {
        /// The domain.
        domain: String,
    },
    /// Follow an attempt to reach another domain.
    PeerTrace {
        /// The domain.
        domain: String,
    },
    /// The list of accounts.
    UserList,
    /// Make an account.
    UserAdd {
        /// Its address.
        account: String,
        /// Its record, hexadecimal: the password itself stays with the command.
        record: String,
    },
    /// Make accounts, as many as fit. The answer's data are the addresses that existed already.
    UserImport {
        /// Their addresses and records, as in `UserAdd`.
        accounts: Vec<(String, String)>,
    },
    /// Replace a password.
    UserPasswd {
        /// The address.
        account: String,
        /// The new record, hexadecimal.
        record: String,
    },
    /// Refuse logins and end the sessions.
    UserDisable {
        /// The address.
        account: String,
    },
    /// Allow logins again.
    UserEnable {
        /// The address.
        account: String,
    },
    /// Remove an account and all that is kept for it.
    UserDelete {
        /// The address.
        account: String,
    },
}

impl fmt::Debug for AdminRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Records hold what passwords are checked against.
        f.write_str("AdminRequest")
    }
}

/// What the server says to it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(crate) enum AdminReply {
    /// It goes on; more follows.
    Progress {
        /// How far.
        done: u64,
        /// Of how much; 0 when that is not known.
        total: u64,
    },
    /// It is done.
    Done {
        /// For a person.
        text: String,
        /// The same for a program.
        data: serde_json::Value,
    },
    /// It is not done.
    Failed {
        /// A sentence without its full stop.
        why: String,
    },
}

impl AdminReply {
    /// Says that it is done.
    pub(crate) fn done(text: impl Into<String>) -> Self {
        Self::Done { text: text.into(), data: serde_json::Value::Null }
    }
}

/// Opens the socket. One that a killed server left behind is replaced.
///
/// # Errors
///
/// A sentence when a server answers there, or the socket cannot be made.
pub(crate) fn bind(path: &Path) -> Result<UnixListener, String> {
    let told = path.display();
    if UnixStream::connect(path).is_ok() {
        return Err(format!("another calypte answers at {told}; stop that one first"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(format!("{told} is in the way and cannot be removed: {error}"));
        }
        _ => {}
    }
    // Sun paths are short; the system's own words would not say so.
    if path.as_os_str().len() > 107 {
        return Err(format!("{told} is too long for a socket (107 bytes); set `listen.admin`"));
    }
    // Made under a mask, the socket is never open to others, not even for a moment.
    let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    nix::sys::stat::umask(before);
    let listener = bound.map_err(|error| format!("{told} cannot be made: {error}"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| format!("{told} cannot be protected: {error}"))?;
    Ok(listener)
}

/// The thread that answers operators. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct AdminThread {
    path: std::path::PathBuf,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AdminThread {
    /// Answers at `listener`.
    pub(crate) fn start(
        listener: UnixListener,
        path: &Path,
        shared: &Arc<Shared>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(false)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, shared) = (Arc::clone(&is_over), Arc::clone(shared));
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || accept(&listener, &over, &shared))?;
        Ok(Self { path: path.to_owned(), is_over, thread: Some(thread) })
    }
}

impl Drop for AdminThread {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        // Wakes the thread, which waits for somebody to connect.
        let woken = UnixStream::connect(&self.path).is_ok();
        drop(std::fs::remove_file(&self.path));
        if let (true, Some(thread)) = (woken, self.thread.take()) {
            drop(thread.join());
        }
    }
}

fn accept(listener: &UnixListener, is_over: &AtomicBool, shared: &Arc<Shared>) {
    let clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if is_over.load(Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if clients.load(Relaxed) >= CLIENTS_MAX {
            continue;
        }
        clients.fetch_add(1, Relaxed);
        let (left, shared) = (Arc::clone(&clients), Arc::clone(shared));
        let spawned = std::thread::Builder::new().name("operator".to_owned()).spawn(move || {
            if let Err(error) = answer(&stream, &shared) {
                tracing::debug!(%error, "An operator went away.");
            }
            left.fetch_sub(1, Relaxed);
        });
        if spawned.is_err() {
            clients.fetch_sub(1, Relaxed);
        }
    }
}

fn answer(mut stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_WITHIN))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    if line.is_empty() {
        return Ok(());
    }
    let reply = match serde_json::from_str(&line) {
        Ok(request) => operate::answer(request, shared, &mut |done, total| {
            drop(write_line(&mut stream, &AdminReply::Progress { done, total }));
        }),
        Err(_) => AdminReply::Failed { why: "this server does not know the request".to_owned() },
    };
    write_line(&mut stream, &reply)
}

fn write_line(stream: &mut &UnixStream, reply: &AdminReply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Asks the server at `path`. `None` when no server answers there.
///
/// # Errors
///
/// A sentence when the conversation breaks off.
pub(crate) fn ask(
    path: &Path,
    request: &AdminRequest,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Option<AdminReply>, String> {
    let told = path.display();
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(None),
            io::ErrorKind::PermissionDenied => {
                return Err(format!(
                    "{told} is only for the user that runs the server (sudo -u …)"
                ));
            }
            _ => return Err(format!("{told} does not answer: {error}")),
        },
    };
    let broken = |error: io::Error| format!("the server at {told} went away: {error}");
    let mut line = serde_json::to_vec(request).map_err(|error| error.to_string())?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;
    for line in BufReader::new(stream).lines() {
        let reply = serde_json::from_str(&line.map_err(broken)?)
            .map_err(|_| format!("the server at {told} is of another version"))?;
        match reply {
            AdminReply::Progress { done, total } => progress(done, total),
            last => return Ok(Some(last)),
        }
    }
    Err(format!("the server at {told} went away without an answer"))
}
