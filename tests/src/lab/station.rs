//! A server that a test plays: it takes streams from other servers and does what its manners say.

use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;

use super::leg::{Leg, TURN};
use crate::{Certificate, Lab, attr, wait};

/// What it offers and how it answers.
#[derive(Clone, Debug)]
pub struct Manners {
    /// EXTERNAL is offered, and what it proves is believed.
    pub external: bool,
    /// Dialback is offered, and every key is believed.
    pub dialback: bool,
    /// Whether a key that somebody else was given is its own; `None`: it never says.
    pub verifies: Option<bool>,
    /// What is added to what it offers inside TLS.
    pub more: String,
    /// What it says behind a proof.
    pub then: String,
}

impl Default for Manners {
    fn default() -> Self {
        let (more, then) = (String::new(), String::new());
        Self { external: true, dialback: true, verifies: Some(true), more, then }
    }
}

/// A server on port 5269 of its address, with STARTTLS. Dropping it ends it.
#[derive(Debug)]
pub struct Station {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    domain: String,
    manners: Manners,
    tls: Arc<ServerConfig>,
    open: Mutex<Vec<TcpStream>>,
    heard: Mutex<String>,
    taken: AtomicUsize,
    is_over: AtomicBool,
}

impl Station {
    /// Publishes a domain and takes streams for it.
    #[must_use]
    pub fn start(
        lab: &Lab,
        domain: &str,
        address: IpAddr,
        shown: &Certificate,
        manners: Manners,
    ) -> Self {
        lab.publish(domain, address);
        lab.names().remove(&format!("_xmpps-server._tcp.{domain}"));
        let asks = WebPkiClientVerifier::builder(Arc::new(lab.authority().roots()))
            .allow_unauthenticated()
            .build()
            .unwrap();
        let tls = ServerConfig::builder()
            .with_client_cert_verifier(asks)
            .with_single_cert(shown.shown(), shown.private())
            .unwrap();
        let shared = Arc::new(Shared {
            domain: domain.to_owned(),
            manners,
            tls: Arc::new(tls),
            open: Mutex::default(),
            heard: Mutex::default(),
            taken: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let listener = TcpListener::bind((address, 5269)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let taker = Arc::clone(&shared);
        let thread = std::thread::spawn(move || taker.take_all(&listener));
        Self { shared, thread: Some(thread) }
    }

    /// Returns all that was said inside TLS.
    #[must_use]
    pub fn heard(&self) -> String {
        self.shared.heard.lock().unwrap().clone()
    }

    /// Waits until this was said.
    #[track_caller]
    pub fn hears(&self, needle: &str) {
        wait(&format!("that {} hears {needle}", self.shared.domain), || {
            self.heard().contains(needle)
        });
    }

    /// Returns how many connections there were.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.shared.taken.load(Relaxed)
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Relaxed);
        for socket in self.shared.open.lock().unwrap().drain(..) {
            drop(socket.shutdown(Shutdown::Both));
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn take_all(self: Arc<Self>, listener: &TcpListener) {
        while !self.is_over.load(Relaxed) {
            let Ok((socket, _)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            let shared = Arc::clone(&self);
            shared.taken.fetch_add(1, Relaxed);
            std::thread::spawn(move || shared.take(socket));
        }
    }

    /// Takes one connection to its end; `None` only says that it has come.
    fn take(&self, socket: TcpStream) -> Option<()> {
        socket.set_nonblocking(false).ok()?;
        socket.set_read_timeout(Some(TURN)).ok()?;
        self.open.lock().unwrap().push(socket.try_clone().ok()?);
        let mut leg = Leg::Plain(socket);
        let (mut is_secure, mut is_known) = (false, false);
        let mut text = String::new();
        loop {
            let said = String::from_utf8_lossy(&leg.read()?).into_owned();
            if is_secure {
                self.heard.lock().unwrap().push_str(&said);
            }
            text.push_str(&said);
            // Headers and what follows them may come together or apart.
            while let Some(end) = text.find('>') {
                let tag: String = text.drain(..=end).collect();
                if tag.contains("<stream:stream") {
                    let offer = self.offer(&tag, is_secure, is_known);
                    leg.write(offer.as_bytes())?;
                } else if tag.contains("<starttls") && !is_secure {
                    leg.write(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")?;
                    leg = leg.accept((*self.tls).clone())?;
                    is_secure = true;
                    text.clear();
                } else if tag.contains("<auth ") {
                    leg.write(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")?;
                    is_known = true;
                } else if tag.contains("<db:") {
                    leg.write(self.judge(&tag)?.as_bytes())?;
                    is_known |= tag.contains("<db:result");
                }
                if is_known && !self.manners.then.is_empty() && tag.contains("<stream:stream") {
                    leg.write(self.manners.then.as_bytes())?;
                }
            }
        }
    }

    fn offer(&self, header: &str, is_secure: bool, is_known: bool) -> String {
        let (from, to) = (&self.domain, attr(header, "from").unwrap_or_default());
        let Manners { external, dialback, more, .. } = &self.manners;
        let mut offer = String::new();
        if !is_secure {
            offer.push_str(
                "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>",
            );
        } else if !is_known {
            if *external {
                offer.push_str(
                    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL\
                     </mechanism></mechanisms>",
                );
            }
            if *dialback {
                offer.push_str("<dialback xmlns='urn:xmpp:features:dialback'/>");
            }
            offer.push_str(more);
        }
        let id = self.taken.load(Relaxed);
        format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:server' from='{from}' to='{to}' \
             xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' \
             version='1.0' id='station{id}'><stream:features>{offer}</stream:features>"
        )
    }

    /// Answers a key.
    fn judge(&self, tag: &str) -> Option<String> {
        let (from, to) = (attr(tag, "to")?, attr(tag, "from")?);
        if tag.contains("<db:result") {
            return Some(format!("<db:result from='{from}' to='{to}' type='valid'/>"));
        }
        let id = attr(tag, "id")?;
        let kind = if self.manners.verifies? { "valid" } else { "invalid" };
        Some(format!("<db:verify from='{from}' to='{to}' id='{id}' type='{kind}'/>"))
    }
}
