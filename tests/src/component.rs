//! Somebody who speaks for a domain of its own on a port of a server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::{PATIENCE, attr};

/// A program that speaks as a component (XEP-0114).
#[derive(Debug)]
pub struct Component {
    socket: TcpStream,
    got: String,
    /// How many questions of the server it answered: they say how far it has read.
    answered: usize,
}

impl Component {
    /// Opens a stream for `domain`; also returns its name.
    #[must_use]
    #[track_caller]
    pub fn open(address: SocketAddr, domain: &str) -> (Self, String) {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut component = Self { socket, got: String::new(), answered: 0 };
        component.say(&format!(
            "<stream:stream xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'>"
        ));
        let header = component.expect(&["<stream:stream", ">"]);
        let id = attr(&header, "id").unwrap();
        // What ends the stream may come with it.
        component.got = header;
        (component, id)
    }

    /// Proves that it knows the secret, or tries to.
    pub fn shake(&mut self, id: &str, secret: &str) {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{id}{secret}").as_bytes());
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.say(&format!("<handshake>{hash}</handshake>"));
    }

    /// Connects for `domain`.
    #[must_use]
    #[track_caller]
    pub fn connect(address: SocketAddr, domain: &str, secret: &str) -> Self {
        let (mut component, id) = Self::open(address, domain);
        component.shake(&id, secret);
        component.expect(&["<handshake/>"]);
        component
    }

    /// Says it as it is.
    #[track_caller]
    pub fn say(&mut self, xml: &str) {
        self.socket.write_all(xml.as_bytes()).unwrap();
    }

    /// Waits until all of these words came, and returns and forgets what came.
    #[track_caller]
    pub fn expect(&mut self, words: &[&str]) -> String {
        let until = Instant::now() + PATIENCE;
        while !words.iter().all(|word| self.got.contains(word)) {
            assert!(Instant::now() < until && self.hear(), "{words:?} did not come: {}", self.got);
        }
        std::mem::take(&mut self.got)
    }

    /// Waits for the end of the stream and returns what came.
    #[track_caller]
    pub fn ended(mut self) -> String {
        let until = Instant::now() + PATIENCE;
        while self.hear() {
            assert!(Instant::now() < until, "it does not end: {}", self.got);
        }
        self.got
    }

    /// Answers what the server asks, as every entity does.
    fn answer(&mut self) {
        let Some(at) = self.got.find("<ping ") else { return };
        let Some(end) = self.got[at..].find("</iq>") else { return };
        let start = self.got[..at].rfind("<iq ").unwrap();
        let ping: String = self.got.drain(start..at + end + 5).collect();
        let [id, to, from] = ["id", "to", "from"].map(|name| attr(&ping, name).unwrap());
        // One that ended its stream cannot.
        drop(self.socket.write_all(
            format!("<iq type='result' id='{id}' from='{to}' to='{from}'/>").as_bytes(),
        ));
        self.answered += 1;
    }

    /// Reads for a moment. `false`: nothing comes any more.
    pub fn hear(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.socket.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.got.push_str(&String::from_utf8_lossy(&bytes[..count]));
                self.answer();
                true
            }
            Err(error) => matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ),
        }
    }

    /// Returns how many questions of the server it answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered
    }

    /// Returns the connection.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }
}
