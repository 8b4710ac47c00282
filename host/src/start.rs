//! From a checked configuration to everything opened and bound: all of it, or a sentence and nothing.

use std::fs::{DirBuilder, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::Store;

use crate::actors::{Entrance, Guests, Port};
use crate::check::Checked;
use crate::config::Config;
use crate::config::federation::With;
use crate::config::settings::Challenge;
use crate::files::Files;
use crate::server::{Prepared, Shared, Sockets};
use crate::tls::Tls;
use crate::{admin, ports, secret_key};

/// Opens the store, binds the ports and the socket.
///
/// # Errors
///
/// A sentence; nothing stays open then.
pub(crate) fn prepare(
    checked: Checked,
    config_path: Option<PathBuf>,
    ready: Box<dyn FnOnce() + Send>,
) -> Result<Prepared, String> {
    // The store first: it is what only one server can have.
    let store = open_store(&checked.config)?;
    let ports = Ports::bind(&checked.config)?;
    finish(checked, config_path, store, ports, ready)
}

/// Does what [`prepare`] does, for ports that are bound already and a configuration without file.
///
/// # Errors
///
/// As [`prepare`].
pub(crate) fn prepare_on(
    ports: Ports,
    checked: Checked,
    ready: Box<dyn FnOnce() + Send>,
) -> Result<Prepared, String> {
    let store = open_store(&checked.config)?;
    finish(checked, None, store, ports, ready)
}

fn finish(
    checked: Checked,
    config_path: Option<PathBuf>,
    store: Store,
    ports: Ports,
    ready: Box<dyn FnOnce() + Send>,
) -> Result<Prepared, String> {
    let Checked { config, served, modules, .. } = checked;
    let served = served.ok_or("there is no certificate")?;
    let admin = admin::bind(&config.admin_socket())?;
    let sockets = Sockets { ports, admin };
    let secret = secret_key::read(&config.data)?;
    let files = Files::open(&config.data, &secret, &*store.reader())?;
    let tls = Tls::new(served);
    let shared = Arc::new(Shared::new(config, config_path, tls, store, files, modules));
    Ok(Prepared { shared, sockets, ready })
}

/// The ports of a configuration, bound.
#[derive(Debug)]
pub(crate) struct Ports {
    /// Clients with STARTTLS.
    pub(crate) c2s: Vec<TcpListener>,
    /// Clients with TLS from the first byte.
    pub(crate) c2s_tls: Vec<TcpListener>,
    /// Servers with STARTTLS.
    pub(crate) s2s: Vec<TcpListener>,
    /// Servers with TLS from the first byte.
    pub(crate) s2s_tls: Vec<TcpListener>,
    /// Components.
    pub(crate) components: Vec<TcpListener>,
    /// Figures and health.
    pub(crate) http: Vec<TcpListener>,
    /// What the world may fetch.
    pub(crate) https: Vec<TcpListener>,
    /// All that begins with TLS.
    pub(crate) alpn: Vec<TcpListener>,
    /// What the world may fetch, in the clear, from this machine.
    pub(crate) web: Vec<TcpListener>,
    /// Answers to challenges.
    pub(crate) http_acme: Vec<TcpListener>,
}

impl Ports {
    fn bind(config: &Config) -> Result<Self, String> {
        let listen = &config.listen;
        let for_servers = |addresses: &[SocketAddr]| match config.federation.with {
            With::Nobody => Ok(Vec::new()),
            With::Everyone | With::Listed => ports::bind_all(addresses),
        };
        Ok(Self {
            c2s: ports::bind_all(&listen.c2s)?,
            c2s_tls: ports::bind_all(&listen.c2s_tls)?,
            s2s: for_servers(&listen.s2s)?,
            s2s_tls: for_servers(&listen.s2s_tls)?,
            components: match config.components.as_slice() {
                [] => Vec::new(),
                _ => ports::bind_all(&listen.components)?,
            },
            http: ports::bind_all(&listen.http)?,
            https: ports::bind_all(&listen.https)?,
            alpn: ports::bind_all(&listen.alpn)?,
            web: ports::bind_all(&listen.web)?,
            http_acme: match config.acme.challenge {
                Challenge::Http01 if config.acme.agree => ports::bind_all(&listen.http_acme)?,
                _ => Vec::new(),
            },
        })
    }

    /// Takes those that listeners serve.
    pub(crate) fn guests(&mut self) -> Vec<(Entrance, Vec<TcpListener>)> {
        let take = std::mem::take::<Vec<TcpListener>>;
        let of = Entrance::Of;
        vec![
            (of(Guests::Clients, Port::StartTls), take(&mut self.c2s)),
            (of(Guests::Clients, Port::Direct), take(&mut self.c2s_tls)),
            (of(Guests::Servers, Port::StartTls), take(&mut self.s2s)),
            (of(Guests::Servers, Port::Direct), take(&mut self.s2s_tls)),
            (of(Guests::Components, Port::StartTls), take(&mut self.components)),
            (Entrance::All, take(&mut self.alpn)),
        ]
    }
}

/// Opens the store of `config`.
///
/// # Errors
///
/// A sentence that says what to do.
pub(crate) fn open_store(config: &Config) -> Result<Store, String> {
    make_folder(&config.data)?;
    Store::open(&config.store(), store::Options::default()).map_err(|error| error.to_string())
}

/// Returns the folder for private copies of loaded modules.
pub(crate) fn modules_folder(config: &Config) -> PathBuf {
    config.data.join("modules")
}

/// Makes a folder that only this user may read.
///
/// # Errors
///
/// A sentence.
pub(crate) fn make_folder(path: &Path) -> Result<(), String> {
    let told = path.display();
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {
            let facts = std::fs::metadata(path).map_err(|error| format!("{told}: {error}"))?;
            if facts.permissions().mode() & 0o077 == 0 {
                return Ok(());
            }
            std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(|error| {
                format!("others may look into {told}, and that cannot be changed: {error}")
            })
        }
        Err(error) => Err(format!("the folder {told} cannot be made: {error}")),
    }
}

#[cfg(test)]
mod tests;
