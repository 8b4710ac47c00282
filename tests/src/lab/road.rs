//! The road to a server, and who may stand on it.
//!
//! The names of a domain point to a [`Road`], which carries every connection on to the server. A test
//! can put somebody there who reads what can be read, changes what can be changed, and cuts.

use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use super::leg::{Leg, TURN};
use crate::{Certificate, Kind, Lab, PATIENCE};

const NO_TLS: &[u8] = b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>";

/// What happens to connections.
#[derive(Clone, Debug, Default)]
pub enum Conduct {
    /// They are carried on as they are.
    #[default]
    Honest,
    /// They are closed at once.
    Shut,
    /// They are taken and nothing is ever said.
    Silent,
    /// `<starttls/>` is taken out of what the server offers.
    Strip,
    /// The wish for TLS is answered with `<failure/>`.
    Fail,
    /// Somebody answers who knows no TLS and believes everything.
    Plain,
    /// Somebody ends TLS on both sides with certificates of their own.
    Impostor(Arc<Impostor>),
}

/// Changes what a server says.
pub type Edit = Box<dyn Fn(&str) -> String + Send + Sync>;

/// Somebody who has certificates.
pub struct Impostor {
    /// Shown to who connects.
    pub as_server: Certificate,
    /// Shown to the server.
    pub as_client: Certificate,
    /// What may be spoken with either.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Changes what the server says inside TLS.
    pub edit: Edit,
}

impl Impostor {
    /// Returns one with certificates of the lab's authority: between `from`, who connects, and `to`.
    #[must_use]
    pub fn new(lab: &Lab, from: &str, to: &str) -> Self {
        Self {
            as_server: lab.authority().issue(Kind::Both, to),
            as_client: lab.authority().issue(Kind::Both, from),
            versions: vec![&TLS13],
            edit: Box::new(str::to_owned),
        }
    }
}

impl std::fmt::Debug for Impostor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Impostor").field("versions", &self.versions).finish_non_exhaustive()
    }
}

/// A road. Dropping it ends it.
#[derive(Debug)]
pub struct Road {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    domain: String,
    to: IpAddr,
    roots: rustls::RootCertStore,
    conducts: Mutex<Vec<(u16, Conduct)>>,
    open: Mutex<Vec<TcpStream>>,
    /// All that could be read: what went in clear, and what was inside the TLS of an impostor.
    seen: Mutex<Vec<u8>>,
    is_over: AtomicBool,
}

impl Road {
    /// Leads from the usual ports of `from` to those of `to`, where the servers of `domain` are, and
    /// publishes `from` as their address.
    #[must_use]
    pub fn new(lab: &Lab, domain: &str, from: IpAddr, to: IpAddr) -> Self {
        lab.publish(domain, from);
        let shared = Arc::new(Shared {
            domain: domain.to_owned(),
            to,
            roots: lab.authority().roots(),
            conducts: Mutex::default(),
            open: Mutex::default(),
            seen: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let threads = [5222, 5223, 5269, 5270, 443].map(|port| {
            let (shared, listener) = (Arc::clone(&shared), TcpListener::bind((from, port)));
            let listener = listener.unwrap();
            listener.set_nonblocking(true).unwrap();
            std::thread::spawn(move || shared.listen(&listener, port))
        });
        Self { shared, threads: threads.into() }
    }

    /// Says what happens at these ports from now on; what is open is cut.
    pub fn conduct(&self, ports: &[u16], conduct: &Conduct) {
        let mut conducts = self.shared.conducts.lock().unwrap();
        conducts.retain(|(port, _)| !ports.contains(port));
        conducts.extend(ports.iter().map(|port| (*port, conduct.clone())));
        drop(conducts);
        self.cut();
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        for socket in self.shared.open.lock().unwrap().drain(..) {
            drop(socket.shutdown(Shutdown::Both));
        }
    }

    /// Tells whether somebody on the road could read these bytes.
    #[must_use]
    pub fn has_seen(&self, needle: &str) -> bool {
        let seen = self.shared.seen.lock().unwrap();
        seen.windows(needle.len()).any(|window| window == needle.as_bytes())
    }

    /// Returns all that could be read, as far as it is text.
    #[must_use]
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.shared.seen.lock().unwrap()).into_owned()
    }

    /// Forgets what was seen.
    pub fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Relaxed);
        self.cut();
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn listen(self: Arc<Self>, listener: &TcpListener, port: u16) {
        while !self.is_over.load(Relaxed) {
            let Ok((near, _)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            let shared = Arc::clone(&self);
            std::thread::spawn(move || shared.carry(near, port));
        }
    }

    /// Carries one connection to its end; `None` only says that it has come.
    fn carry(&self, near: TcpStream, port: u16) -> Option<()> {
        near.set_nonblocking(false).ok()?;
        near.set_read_timeout(Some(TURN)).ok()?;
        near.set_nodelay(true).ok()?;
        let conducts = self.conducts.lock().unwrap().clone();
        let conduct = conducts.into_iter().find(|(at, _)| *at == port);
        let conduct = conduct.map(|(_, conduct)| conduct).unwrap_or_default();
        self.open.lock().unwrap().push(near.try_clone().ok()?);
        let near = Leg::Plain(near);
        match conduct {
            Conduct::Shut => {
                near.shut();
                None
            }
            Conduct::Silent => self.stay_silent(near),
            Conduct::Plain => self.believe_everything(near),
            _ => {
                let far = TcpStream::connect_timeout(&SocketAddr::new(self.to, port), PATIENCE);
                let far = far.ok()?;
                far.set_read_timeout(Some(TURN)).ok()?;
                far.set_nodelay(true).ok()?;
                self.open.lock().unwrap().push(far.try_clone().ok()?);
                self.between(near, Leg::Plain(far), &conduct, [5223, 5270, 443].contains(&port))
            }
        }
    }

    fn see(&self, bytes: &[u8]) {
        self.seen.lock().unwrap().extend_from_slice(bytes);
    }

    fn stay_silent(&self, mut near: Leg) -> Option<()> {
        loop {
            self.see(&near.read()?);
        }
    }

    fn between(&self, near: Leg, far: Leg, conduct: &Conduct, is_direct: bool) -> Option<()> {
        let (mut near, mut far) = match conduct {
            Conduct::Impostor(who) if is_direct => self.end_tls(near, far, who)?,
            _ => (near, far),
        };
        let mut held = Vec::new();
        loop {
            let said = near.read()?;
            self.see(&said);
            if matches!(conduct, Conduct::Fail) && has(&said, "<starttls") {
                near.write(NO_TLS)?;
                return Some(());
            }
            far.write(&said)?;
            held.extend(far.read()?);
            // What is offered is changed as a whole.
            if has(&held, "<stream:features") && !has(&held, "</stream:features") {
                continue;
            }
            self.see(&held);
            let said = match (conduct, &near) {
                (Conduct::Strip, _) => edited(&held, without_starttls),
                (Conduct::Impostor(who), Leg::Server(_)) => edited(&held, &who.edit),
                _ => held.clone(),
            };
            near.write(&said)?;
            if let Conduct::Impostor(who) = conduct
                && has(&held, "<proceed")
            {
                (near, far) = self.end_tls(near, far, who)?;
            }
            held.clear();
        }
    }

    fn end_tls(&self, near: Leg, far: Leg, who: &Impostor) -> Option<(Leg, Leg)> {
        let mut server = ServerConfig::builder_with_protocol_versions(&who.versions)
            .with_no_client_auth()
            .with_single_cert(who.as_server.shown(), who.as_server.private())
            .ok()?;
        server.alpn_protocols = alpn();
        let mut client = ClientConfig::builder_with_protocol_versions(&who.versions)
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(who.as_client.shown(), who.as_client.private())
            .ok()?;
        client.alpn_protocols = alpn();
        let near = near.accept(server)?;
        let far = far.connect(client, &self.domain)?;
        Some((near, far))
    }

    /// Answers as a server would that has no TLS, and to every proof that it is right.
    fn believe_everything(&self, mut near: Leg) -> Option<()> {
        let mut domain = self.domain.clone();
        loop {
            let said = near.read()?;
            self.see(&said);
            let text = String::from_utf8_lossy(&said);
            if text.contains("<stream:stream") {
                // It is whoever was asked for.
                domain = crate::attr(&text, "to").unwrap_or(domain);
                near.write(
                    format!(
                        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
                         xmlns:db='jabber:server:dialback' version='1.0' id='s{}' \
                         xmlns:stream='http://etherx.jabber.org/streams' from='{domain}'>\
                         <stream:features><dialback xmlns='urn:xmpp:features:dialback'/><mechanisms \
                         xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism>\
                         </mechanisms></stream:features>",
                        said.len()
                    )
                    .as_bytes(),
                )?;
            }
            if text.contains("<starttls") {
                near.write(NO_TLS)?;
            }
            if text.contains("<auth") {
                near.write(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")?;
            }
            if text.contains("<db:result") {
                let other = crate::attr(&text, "from").unwrap_or_default();
                let yes = format!("<db:result from='{domain}' to='{other}' type='valid'/>");
                near.write(yes.as_bytes())?;
            }
        }
    }
}

fn alpn() -> Vec<Vec<u8>> {
    ["xmpp-server", "xmpp-client", "http/1.1"].map(|name| name.as_bytes().to_vec()).into()
}

fn has(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Changes text; what is none stays as it is.
fn edited(bytes: &[u8], edit: impl Fn(&str) -> String) -> Vec<u8> {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.to_vec(), |text| edit(text).into_bytes())
}

fn without_starttls(text: &str) -> String {
    let Some(start) = text.find("<starttls") else { return text.to_owned() };
    let (rest, close) = (&text[start..], "</starttls>");
    let short = rest.find("/>").map(|at| at + 2).filter(|at| !rest[..*at].contains("><"));
    let end = short.or_else(|| rest.find(close).map(|at| at + close.len()));
    let Some(end) = end.map(|end| start + end) else { return text.to_owned() };
    format!("{}{}", &text[..start], &text[end..])
}
