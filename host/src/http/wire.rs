//! One connection below HTTP: a socket, inside TLS or not, that is given up when the other side does
//! not take what we write.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use stream::Facts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::places::Place;
use crate::actors::{Socket, Transport};

/// How long the other side may take nothing of what is to be written.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// See the file.
pub(super) struct Wire {
    io: Io,
    /// What is known of its TLS; `None`: it is in the clear, and a web server of this machine is at
    /// the other end.
    pub(super) facts: Option<Facts>,
    /// Where it comes from.
    pub(super) address: IpAddr,
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

enum Io {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Wire {
    /// Returns a connection in the clear.
    pub(super) fn plain(socket: Socket, address: IpAddr, place: Place) -> Self {
        Self { io: Io::Plain(socket), facts: None, address, stalled: None, _place: place }
    }

    /// Returns one inside TLS.
    pub(super) fn tls(tls: TlsStream<Socket>, facts: Facts, address: IpAddr, place: Place) -> Self {
        let (io, facts) = (Io::Tls(Box::new(tls)), Some(facts));
        Self { io, facts, address, stalled: None, _place: place }
    }

    /// Takes the connection out of this runtime.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn into_transport(self) -> io::Result<Transport> {
        let mut transport = match self.io {
            Io::Plain(socket) => Transport::Plain(socket),
            Io::Tls(tls) => Transport::Tls(tls),
        };
        transport.leave()?;
        Ok(transport)
    }

    fn poll<T>(
        &mut self,
        poller: &mut Poller<'_>,
        write: impl FnOnce(Pin<&mut (dyn AsyncWrite + Unpin)>, &mut Poller<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let io: Pin<&mut (dyn AsyncWrite + Unpin)> = match &mut self.io {
            Io::Plain(socket) => Pin::new(socket),
            Io::Tls(tls) => Pin::new(&mut **tls),
        };
        let written = write(io, poller);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(TAKEN_WITHIN)));
        stalled.as_mut().poll(poller).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(socket) => Pin::new(socket).poll_read(poller, buffer),
            Io::Tls(tls) => Pin::new(&mut **tls).poll_read(poller, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(poller, |io, poller| io.poll_write(poller, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(poller, |io, poller| io.poll_write_vectored(poller, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        self.poll(poller, |io, poller| io.poll_flush(poller))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        self.poll(poller, |io, poller| io.poll_shutdown(poller))
    }
}
