//! The socket of a connection: silent, plain, in a handshake, or inside TLS. It holds no buffer
//! while nothing comes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};

use rustls::{ProtocolVersion, ServerConfig};
use stream::Facts;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::socket::Socket;
use crate::actors::reading;
use crate::tls::{BUFFER_BYTES, Served};

/// The label of the exporter (RFC 9266 §2).
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// How a port begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// In the clear.
    StartTls,
    /// With TLS.
    Direct,
}

impl Port {
    /// Returns its name for the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Direct => "direct",
        }
    }
}

/// See the file.
pub(crate) enum Transport {
    /// A port with direct TLS, where no byte has come yet.
    Silent(Socket),
    /// Before STARTTLS.
    Plain(Socket),
    /// TLS is being negotiated.
    Handshake(Box<Accept<Socket>>, Arc<Served>),
    /// All is well.
    Tls(Box<TlsStream<Socket>>),
    /// HTTP carries what is said.
    Elsewhere,
    /// It failed.
    Gone,
}

/// What a handshake came to.
pub(super) enum Shaken {
    /// There is none, or it is over.
    Not,
    /// It worked.
    Done(Facts),
    /// It did not.
    Failed(io::Error),
}

impl Transport {
    /// Returns the transport of a new connection.
    pub(super) fn new(port: Port, socket: TcpStream) -> Self {
        let socket = Socket::Here(socket);
        match port {
            Port::StartTls => Self::Plain(socket),
            Port::Direct => Self::Silent(socket),
        }
    }

    /// Tells whether it is not inside TLS.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Tells whether nothing can be said: TLS was to come and has not.
    pub(super) fn is_mute(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Handshake(..) | Self::Gone)
    }

    /// Begins TLS on a plain socket.
    pub(super) fn begin(&mut self, served: Arc<Served>) {
        if let Self::Plain(socket) = std::mem::replace(self, Self::Gone) {
            *self = handshake(socket, Arc::clone(&served.starttls), served);
        }
    }

    /// Lets go of the runtime that watches the socket.
    ///
    /// # Errors
    ///
    /// What the system says, or that there is nothing to move.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        if matches!(self, Self::Elsewhere) { Ok(()) } else { self.socket()?.leave() }
    }

    /// Lets the runtime of this thread watch the socket.
    ///
    /// # Errors
    ///
    /// As [`Transport::leave`].
    pub(super) fn arrive(&mut self) -> io::Result<()> {
        if matches!(self, Self::Elsewhere) { Ok(()) } else { self.socket()?.arrive() }
    }

    fn socket(&mut self) -> io::Result<&mut Socket> {
        match self {
            Self::Silent(socket) | Self::Plain(socket) => Ok(socket),
            Self::Tls(tls) => Ok(tls.get_mut().0),
            Self::Handshake(..) | Self::Elsewhere | Self::Gone => {
                Err(io::ErrorKind::NotConnected.into())
            }
        }
    }

    /// Goes on with a handshake.
    pub(super) fn poll_handshake(
        &mut self,
        served: impl FnOnce() -> Arc<Served>,
        poller: &mut Poller<'_>,
    ) -> Poll<Shaken> {
        if let Self::Silent(socket) = self {
            // TLS takes some 10 KiB; who says nothing gets none of it.
            let is_ready = match socket.here() {
                Ok(socket) => ready!(socket.poll_read_ready(poller)),
                Err(error) => Err(error),
            };
            if let Err(error) = is_ready {
                return Poll::Ready(Shaken::Failed(error));
            }
            if let Self::Silent(socket) = std::mem::replace(self, Self::Gone) {
                let served = served();
                *self = handshake(socket, Arc::clone(&served.direct), served);
            }
        }
        let Self::Handshake(accept, served) = self else { return Poll::Ready(Shaken::Not) };
        match ready!(Pin::new(&mut **accept).poll(poller)) {
            Ok(tls) => {
                let facts = facts(&tls, served);
                *self = Self::Tls(Box::new(tls));
                Poll::Ready(Shaken::Done(facts))
            }
            Err(error) => {
                *self = Self::Gone;
                Poll::Ready(Shaken::Failed(error))
            }
        }
    }

    /// Reads what is there and gives it to `take`. Returns how many bytes; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        poller: &mut Poller<'_>,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => reading::poll_plain(socket.here()?, poller, take),
            Self::Tls(tls) => reading::poll_tls(&mut **tls, poller, take),
            Self::Silent(_) | Self::Handshake(..) | Self::Elsewhere => Poll::Pending,
            Self::Gone => Poll::Ready(Ok(0)),
        }
    }

    /// Writes some of `bytes`.
    pub(super) fn poll_write(
        &mut self,
        poller: &mut Poller<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write(poller, bytes),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_write(poller, bytes),
            Self::Silent(_) | Self::Handshake(..) | Self::Elsewhere => Poll::Pending,
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Writes what TLS still holds.
    pub(super) fn poll_flush(&mut self, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(tls) => Pin::new(&mut **tls).poll_flush(poller),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Says that nothing more comes.
    pub(super) fn poll_shutdown(&mut self, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(poller),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(poller),
            _ => Poll::Ready(Ok(())),
        }
    }
}

fn handshake(socket: Socket, config: Arc<ServerConfig>, served: Arc<Served>) -> Transport {
    let accept = TlsAcceptor::from(config).accept_with(socket, |tls| {
        tls.set_buffer_limit(Some(BUFFER_BYTES));
    });
    Transport::Handshake(Box::new(accept), served)
}

/// Returns what is known of a TLS channel for which `served` was shown.
pub(crate) fn facts(tls: &TlsStream<Socket>, served: &Served) -> Facts {
    let (_, session) = tls.get_ref();
    let version = session.protocol_version();
    // Before TLS 1.3 the exporter is not safe without the extended master secret, and clients
    // compute it differently (RFC 9266 §1).
    let exporter = (version == Some(ProtocolVersion::TLSv1_3))
        .then(|| session.export_keying_material([0; 32], EXPORTER, Some(b"")).ok())
        .flatten()
        .map(|value: [u8; 32]| value.to_vec());
    let version = if exporter.is_some() { "TLSv1.3" } else { "TLSv1.2" };
    Facts { exporter, end_point: served.end_point.clone(), version: version.to_owned() }
}
