//! One port for all that begins with TLS. What a connection is for stands in its first words: the
//! protocols that it names (ALPN, RFC 7301; XEP-0368). They are looked at and left where they are, for
//! who takes the connection.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv};
use rustls::server::Acceptor;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the first words may take.
const SAID_WITHIN: Duration = Duration::from_secs(5);
/// How long they may be: what TLS puts into one record.
const BYTES_MAX: usize = 16 << 10;
/// How often more of them may come.
const PIECES_MAX: u32 = 64;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `xmpp-client`
    Client,
    /// `xmpp-server`
    Server,
    /// HTTP, or it does not say: browsers of old do not. HTTP also answers what is no TLS.
    Web,
}

/// Finds out what `socket` is for. `None`: it does not say so in time.
pub(super) async fn wanted(socket: &TcpStream) -> Option<Wanted> {
    timeout(SAID_WITHIN, look(socket)).await.ok()?.ok()
}

async fn look(socket: &TcpStream) -> io::Result<Wanted> {
    socket.readable().await?;
    let mut bytes = vec![0; BYTES_MAX];
    let mut pieces = 0_u32;
    let look = || {
        let count = recv(socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_PEEK)?;
        pieces = pieces.saturating_add(1);
        match read(bytes.get(..count).unwrap_or_default()) {
            Some(wanted) => Ok(wanted),
            None if count == 0 || count == BYTES_MAX || pieces > PIECES_MAX => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            // So that the socket says when there is more, not that there is something.
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    };
    socket.async_io(Interest::READABLE, look).await
}

/// Reads the first words, `None` when they are not whole.
fn read(mut bytes: &[u8]) -> Option<Wanted> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        if acceptor.read_tls(&mut bytes).is_err() {
            return Some(Wanted::Web);
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let named = hello.alpn().into_iter().flatten().find_map(|name| match name {
                    b"xmpp-client" => Some(Wanted::Client),
                    b"xmpp-server" => Some(Wanted::Server),
                    _ => None,
                });
                return Some(named.unwrap_or(Wanted::Web));
            }
            Err(_) => return Some(Wanted::Web),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn hello(alpn: &[&str]) -> Vec<u8> {
        let mut tls = ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        tls.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = "chat.example".try_into().unwrap();
        let mut bytes = Vec::new();
        ClientConnection::new(Arc::new(tls), name).unwrap().write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn reads_what_a_connection_is_for() {
        for (alpn, wanted) in [
            (&["xmpp-client"][..], Wanted::Client),
            (&["xmpp-server"], Wanted::Server),
            (&["h2", "http/1.1"], Wanted::Web),
            (&["acme-tls/1"], Wanted::Web),
            (&[], Wanted::Web),
        ] {
            let hello = hello(alpn);
            assert_eq!(read(&hello), Some(wanted));
            for end in [0, 1, 5, hello.len() - 1] {
                assert_eq!(read(&hello[..end]), None);
            }
        }
        assert_eq!(read(b"GET / HTTP/1.1\r\n\r\n"), Some(Wanted::Web));
        assert_eq!(read(b"<?xml version='1.0'?>"), Some(Wanted::Web));
    }
}
