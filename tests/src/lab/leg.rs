//! One side of a connection, in clear or in TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use crate::PATIENCE;

/// How long one side is listened to before it is the other's turn.
pub(super) const TURN: Duration = Duration::from_millis(3);

/// One side of a connection.
pub(super) enum Leg {
    Plain(TcpStream),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Leg {
    /// Returns what came, which is nothing after a while, or `None` at the end.
    pub(super) fn read(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 16 << 10];
        let read = match self {
            Self::Plain(socket) => socket.read(&mut bytes),
            Self::Server(tls) => tls.read(&mut bytes),
            Self::Client(tls) => tls.read(&mut bytes),
        };
        match read {
            Ok(0) => None,
            Ok(count) => {
                bytes.truncate(count);
                Some(bytes)
            }
            Err(error) => {
                let is_early = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                is_early.then(Vec::new)
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Option<()> {
        let written = match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Server(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
            Self::Client(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        };
        written.ok()
    }

    fn into_socket(self) -> TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Server(tls) => tls.sock,
            Self::Client(tls) => tls.sock,
        }
    }

    pub(super) fn shut(self) {
        drop(self.into_socket().shutdown(Shutdown::Both));
    }

    /// Begins TLS as the one who was called.
    pub(super) fn accept(self, config: ServerConfig) -> Option<Self> {
        let socket = self.into_socket();
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        let tls = ServerConnection::new(Arc::new(config)).ok()?;
        let mut tls = StreamOwned::new(tls, socket);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).ok()?;
        }
        tls.sock.set_read_timeout(Some(TURN)).ok()?;
        Some(Self::Server(Box::new(tls)))
    }

    /// Begins TLS as the one who calls.
    pub(super) fn connect(self, config: ClientConfig, name: &str) -> Option<Self> {
        let socket = self.into_socket();
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        let name = ServerName::try_from(name.to_owned()).ok()?;
        let tls = ClientConnection::new(Arc::new(config), name).ok()?;
        let mut tls = StreamOwned::new(tls, socket);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).ok()?;
        }
        tls.sock.set_read_timeout(Some(TURN)).ok()?;
        Some(Self::Client(Box::new(tls)))
    }
}
