//! The socket of a connection with another server: silent, plain, in a handshake, or inside TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};

use rustls_pki_types::CertificateDer;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::{Accept, Connect, TlsAcceptor, TlsConnector, TlsStream};

use crate::actors::reading;
use crate::federation::{identity, tls};
use crate::tls::{BUFFER_BYTES, Served};

/// See the file.
pub(super) enum Transport {
    /// A port with direct TLS, where no byte has come yet.
    Silent(TcpStream),
    /// Before STARTTLS.
    Plain(TcpStream),
    /// TLS is being negotiated, with who came to us.
    Accepting(Box<Accept<TcpStream>>, [u8; 32]),
    /// TLS is being negotiated, with whom we came to.
    Connecting(Box<Connect<TcpStream>>, [u8; 32]),
    /// All is well.
    Tls(Box<TlsStream<TcpStream>>),
    /// It failed.
    Gone,
}

/// What is known of a TLS channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Channel {
    /// `TLSv1.3`
    pub(super) version: &'static str,
    /// The certificates that the peer showed, its own first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The hash of its public key; empty: it showed none.
    pub(super) peer_spki: Vec<u8>,
    /// The hash of ours.
    pub(super) own_spki: Vec<u8>,
}

/// What a handshake came to.
pub(super) enum Shaken {
    /// There is none, or it is over.
    Not,
    /// It worked.
    Done(Channel),
    /// It did not.
    Failed(io::Error),
}

impl Transport {
    /// Tells whether it is not inside TLS.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Tells whether nothing can be said: TLS was to come and has not.
    pub(super) fn is_mute(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Accepting(..) | Self::Connecting(..) | Self::Gone)
    }

    /// Begins TLS with who came to us.
    pub(super) fn accept(&mut self, served: &Served) {
        if let Self::Plain(socket) = std::mem::replace(self, Self::Gone) {
            *self = accepting(socket, served, &served.peers.accept_starttls);
        }
    }

    /// Begins TLS with whom we came to.
    ///
    /// # Errors
    ///
    /// A sentence when the domain is no name that TLS can carry.
    pub(super) fn connect(
        &mut self,
        served: &Served,
        domain: &str,
        is_direct: bool,
    ) -> Result<(), String> {
        let peers = &served.peers;
        let config = if is_direct { &peers.connect_direct } else { &peers.connect_starttls };
        let name = tls::server_name(domain)?;
        if let Self::Plain(socket) = std::mem::replace(self, Self::Gone) {
            let connect =
                TlsConnector::from(Arc::clone(config)).connect_with(name, socket, |tls| {
                    tls.set_buffer_limit(Some(BUFFER_BYTES));
                });
            *self = Self::Connecting(Box::new(connect), peers.own_spki);
        }
        Ok(())
    }

    /// Goes on with a handshake.
    pub(super) fn poll_handshake(
        &mut self,
        served: impl FnOnce() -> Arc<Served>,
        poller: &mut Poller<'_>,
    ) -> Poll<Shaken> {
        if let Self::Silent(socket) = self {
            // TLS takes some 10 KiB; who says nothing gets none of it.
            if let Err(error) = ready!(socket.poll_read_ready(poller)) {
                return Poll::Ready(Shaken::Failed(error));
            }
            if let Self::Silent(socket) = std::mem::replace(self, Self::Gone) {
                let served = served();
                *self = accepting(socket, &served, &served.peers.accept_direct);
            }
        }
        let (shaken, own_spki) = match self {
            Self::Accepting(accept, own_spki) => {
                let shaken = ready!(Pin::new(&mut **accept).poll(poller));
                (shaken.map(TlsStream::from), *own_spki)
            }
            Self::Connecting(connect, own_spki) => {
                let shaken = ready!(Pin::new(&mut **connect).poll(poller));
                (shaken.map(TlsStream::from), *own_spki)
            }
            _ => return Poll::Ready(Shaken::Not),
        };
        Poll::Ready(match shaken {
            Ok(tls) => {
                let channel = channel(&tls, &own_spki);
                *self = Self::Tls(Box::new(tls));
                Shaken::Done(channel)
            }
            Err(error) => {
                *self = Self::Gone;
                Shaken::Failed(error)
            }
        })
    }

    /// Returns the value that only the two ends of this channel know (RFC 5705).
    pub(super) fn exporter(&self, initiator: &str, receiver: &str) -> Option<Vec<u8>> {
        let Self::Tls(tls) = self else { return None };
        tls::exporter(tls, initiator, receiver).map(|value| value.to_vec())
    }

    /// Reads what is there and gives it to `take`. Returns how many bytes; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        poller: &mut Poller<'_>,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => reading::poll_plain(socket, poller, take),
            Self::Tls(tls) => reading::poll_tls(&mut **tls, poller, take),
            Self::Silent(_) | Self::Accepting(..) | Self::Connecting(..) => Poll::Pending,
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
            Self::Silent(_) | Self::Accepting(..) | Self::Connecting(..) => Poll::Pending,
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

fn accepting(socket: TcpStream, served: &Served, config: &Arc<rustls::ServerConfig>) -> Transport {
    let accept = TlsAcceptor::from(Arc::clone(config)).accept_with(socket, |tls| {
        tls.set_buffer_limit(Some(BUFFER_BYTES));
    });
    Transport::Accepting(Box::new(accept), served.peers.own_spki)
}

fn channel(tls: &TlsStream<TcpStream>, own_spki: &[u8]) -> Channel {
    let (_, state) = tls.get_ref();
    let chain = tls::chain(state).to_vec();
    let spki = chain.first().and_then(|own| identity::spki(own.as_ref()).ok());
    Channel {
        version: tls::version(state),
        peer_spki: spki.map(|hash| hash.to_vec()).unwrap_or_default(),
        own_spki: own_spki.to_vec(),
        chain,
    }
}
