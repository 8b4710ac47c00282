//! A socket that can go from the runtime of one thread to that of another, inside its TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context as Poller, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// See the file.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Watched by the runtime of this thread.
    Here(TcpStream),
    /// On its way.
    Between(std::net::TcpStream),
    /// Lost on its way.
    Lost,
}

impl Socket {
    /// Returns it, unless it is on its way.
    pub(super) fn here(&mut self) -> io::Result<&mut TcpStream> {
        match self {
            Self::Here(socket) => Ok(socket),
            Self::Between(_) | Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Begins the way.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        if let Self::Here(socket) = std::mem::replace(self, Self::Lost) {
            *self = Self::Between(socket.into_std()?);
        }
        Ok(())
    }

    /// Ends the way, on this thread.
    pub(crate) fn arrive(&mut self) -> io::Result<()> {
        if let Self::Between(socket) = std::mem::replace(self, Self::Lost) {
            *self = Self::Here(TcpStream::from_std(socket)?);
        }
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.here()?).poll_read(poller, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.here()?).poll_write(poller, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.here()?).poll_write_vectored(poller, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.here()?).poll_flush(poller)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.here()?).poll_shutdown(poller)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream as StdStream};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn goes_from_one_runtime_to_another() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let mut near = Socket::Between(near);
        let first = runtime();
        first.block_on(async {
            near.arrive().unwrap();
            near.write_all(b"one").await.unwrap();
            near.leave().unwrap();
            assert!(near.write_all(b"nowhere").await.is_err());
        });
        drop(first);
        runtime().block_on(async {
            near.arrive().unwrap();
            let mut far = TcpStream::from_std(far).unwrap();
            let mut bytes = [0; 3];
            far.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"one");
            // What came while it was watched by nobody is noticed too.
            far.write_all(b"two").await.unwrap();
            near.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"two");
        });
    }
}
