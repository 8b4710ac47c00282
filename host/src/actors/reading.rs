//! Reading from a connection without a buffer of its own while nothing comes.

use std::io;
use std::pin::Pin;
use std::task::{Context as Poller, Poll, ready};

use tokio::io::AsyncBufRead;
use tokio::net::TcpStream;

/// What is read from a plain socket at once. Only STARTTLS comes that way.
const PLAIN_BYTES: usize = 4096;

/// Reads what is there and gives it to `take`. Returns how many bytes; 0 is the end.
pub(super) fn poll_plain(
    socket: &TcpStream,
    poller: &mut Poller<'_>,
    take: impl FnOnce(&[u8]),
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_read_ready(poller))?;
        let mut bytes = [0; PLAIN_BYTES];
        match socket.try_read(&mut bytes) {
            Ok(count) => {
                take(bytes.get(..count).unwrap_or_default());
                return Poll::Ready(Ok(count));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// The same inside TLS.
pub(super) fn poll_tls<T: AsyncBufRead + Unpin>(
    tls: &mut T,
    poller: &mut Poller<'_>,
    take: impl FnOnce(&[u8]),
) -> Poll<io::Result<usize>> {
    let mut tls = Pin::new(tls);
    match ready!(tls.as_mut().poll_fill_buf(poller)) {
        Ok(bytes) => {
            let count = bytes.len();
            take(bytes);
            tls.consume(count);
            Poll::Ready(Ok(count))
        }
        // Many do not say goodbye to TLS.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
        Err(error) => Poll::Ready(Err(error)),
    }
}
