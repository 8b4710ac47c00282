//! A blocking client that sends what a test says and shows what comes back.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, StreamOwned};

use crate::cut::{Cut, Piece};
use crate::{DOMAIN, Host, PATIENCE};

mod counts;
mod login;

pub use counts::Memory;
use counts::{Counts, SM};
pub use login::{How, Mechanism, Port};

/// Something that came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A whole element below the stream, as it came.
    Element(String),
    /// `</stream:stream>`
    End,
    /// The connection is gone.
    Gone,
}

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    cut: Cut,
    /// Whole elements that a test did not want yet.
    kept: VecDeque<String>,
    domain: String,
    declaration: &'static str,
    jid: String,
    name: String,
    counts: Option<Counts>,
    answers_requests: bool,
}

#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// Returns the value of the first attribute `name` in `xml`.
#[must_use]
pub fn attr(xml: &str, name: &str) -> Option<String> {
    let quotes = ['\'', '"'].map(|quote| (quote, format!(" {name}={quote}")));
    let found = quotes.iter().filter_map(|(end, start)| {
        let at = xml.find(start)?;
        Some((at, xml[at + start.len()..].split(*end).next()?))
    });
    found.min().map(|(_, value)| value.to_owned())
}

impl Client {
    /// Logs in the usual way: see [`How`].
    #[must_use]
    #[track_caller]
    pub fn login(server: &(impl Host + ?Sized), name: &str) -> Self {
        How::default().login(server, name)
    }

    /// Connects and says nothing.
    #[must_use]
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            wire: Wire::Plain(socket),
            cut: Cut::default(),
            kept: VecDeque::new(),
            domain: DOMAIN.to_owned(),
            declaration: "<?xml version='1.0'?>",
            jid: String::new(),
            name: String::new(),
            counts: None,
            answers_requests: true,
        }
    }

    /// Says which domain it wants to reach, when it is not the usual one.
    #[must_use]
    pub fn of(self, domain: &str) -> Self {
        Self { domain: domain.to_owned(), ..self }
    }

    /// Leaves the XML declaration out (RFC 6120 §11.4), for servers that stumble over the second one.
    #[must_use]
    pub fn undeclared(self) -> Self {
        Self { declaration: "", ..self }
    }

    /// Begins TLS. What was received before and not read is forgotten.
    ///
    /// # Errors
    ///
    /// What the handshake says.
    pub fn secure(self, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let Wire::Plain(mut socket) = self.wire else { panic!("TLS in TLS") };
        let name = ServerName::try_from(self.domain.clone()).unwrap();
        let mut tls = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        let wire = Wire::Tls(Box::new(StreamOwned::new(tls, socket)));
        Ok(Self { wire, cut: Cut::default(), ..self })
    }

    /// Returns the full address that the server gave.
    #[must_use]
    pub fn jid(&self) -> &str {
        &self.jid
    }

    fn bare(&self) -> &str {
        self.jid.split('/').next().unwrap()
    }

    fn tls(&self) -> &ClientConnection {
        match &self.wire {
            Wire::Plain(_) => panic!("there is no TLS"),
            Wire::Tls(tls) => &tls.conn,
        }
    }

    /// Returns the version of TLS.
    #[must_use]
    pub fn tls_version(&self) -> Option<ProtocolVersion> {
        self.tls().protocol_version()
    }

    /// Returns the certificate that the server showed, in DER.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        self.tls().peer_certificates().unwrap()[0].to_vec()
    }

    /// Returns the value of `tls-exporter` (RFC 9266).
    #[must_use]
    pub fn exporter(&self) -> Vec<u8> {
        let label = b"EXPORTER-Channel-Binding";
        self.tls().export_keying_material([0; 32], label, Some(b"")).unwrap().to_vec()
    }

    /// Returns the value of `tls-server-end-point` (RFC 5929), for certificates with SHA-256.
    #[must_use]
    pub fn end_point(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, &self.certificate()).as_ref().to_vec()
    }

    /// Returns the socket.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(socket) => socket,
            Wire::Tls(tls) => &tls.sock,
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// What the system says, above all when the server has closed.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.wire {
            Wire::Plain(socket) => socket.write_all(bytes),
            Wire::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    /// Sends one element, and counts it when it is a stanza.
    #[track_caller]
    pub fn send(&mut self, xml: &str) {
        let kinds = ["<message", "<presence", "<iq"];
        if let (Some(counts), true) =
            (&mut self.counts, kinds.iter().any(|kind| xml.starts_with(kind)))
        {
            counts.sent = counts.sent.wrapping_add(1);
        }
        if let Err(error) = self.try_send(xml.as_bytes()) {
            panic!("{error} while sending {xml:.200}");
        }
    }

    /// Opens a stream, and returns its features once they are there.
    #[track_caller]
    pub fn open_stream(&mut self) -> String {
        let Self { domain, declaration, .. } = &*self;
        let header = format!(
            "{declaration}<stream:stream to='{domain}' version='1.0' xml:lang='en' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        );
        self.open_with(&header)
    }

    /// Opens a stream with a header of its own, and returns its features once they are there.
    #[track_caller]
    pub fn open_with(&mut self, header: &str) -> String {
        self.cut.clear();
        self.send(header);
        self.expect(&["<stream:features"])
    }

    /// Returns what comes next, or `None` when nothing came in this time.
    #[track_caller]
    pub fn hear(&mut self, within: Duration) -> Option<Heard> {
        if let Some(kept) = self.kept.pop_front() {
            return Some(Heard::Element(kept));
        }
        self.read(within)
    }

    fn read(&mut self, within: Duration) -> Option<Heard> {
        let until = Instant::now() + within;
        loop {
            match self.cut.next() {
                Some(Piece::Header(_)) => continue,
                Some(Piece::End) => return Some(Heard::End),
                Some(Piece::Element(xml)) => {
                    if self.note(&xml) {
                        continue;
                    }
                    return Some(Heard::Element(xml));
                }
                None => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1));
            self.socket().set_read_timeout(Some(left)).unwrap();
            let mut bytes = [0; 16 << 10];
            let read = match &mut self.wire {
                Wire::Plain(socket) => socket.read(&mut bytes),
                Wire::Tls(tls) => tls.read(&mut bytes),
            };
            match read {
                Ok(0) => return Some(Heard::Gone),
                Ok(count) => self.cut.push(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if Instant::now() >= until => {
                        return None;
                    }
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                    _ => return Some(Heard::Gone),
                },
            }
        }
    }

    /// Counts what came. Returns whether it is dealt with.
    fn note(&mut self, xml: &str) -> bool {
        let is_dealt_with = self.count(xml);
        let is_ping = xml.starts_with("<iq") && xml.contains("urn:xmpp:ping");
        if is_ping && self.answers_requests && attr(xml, "type").as_deref() == Some("get") {
            let (id, from) = (attr(xml, "id").unwrap(), attr(xml, "from").unwrap());
            let answer = format!("<iq type='result' id='{id}' to='{from}'/>");
            if let Some(counts) = &mut self.counts {
                counts.sent = counts.sent.wrapping_add(1);
            }
            drop(self.try_send(answer.as_bytes()));
            return true;
        }
        is_dealt_with
    }

    /// Waits for an element with all these `parts` and returns it. Others are kept for later.
    #[track_caller]
    pub fn expect(&mut self, parts: &[&str]) -> String {
        match self.find(parts, PATIENCE) {
            Ok(xml) => xml,
            Err(other) => panic!("{other:?} instead of {parts:?}; before: {:#?}", self.kept),
        }
    }

    /// Waits for such an element for a while.
    pub fn try_expect(&mut self, parts: &[&str], within: Duration) -> Option<String> {
        self.find(parts, within).ok()
    }

    /// Answers requests of the server and of others by itself for a while, and keeps what comes.
    pub fn serve(&mut self, within: Duration) {
        drop(self.find(&["\0"], within));
    }

    fn find(&mut self, parts: &[&str], within: Duration) -> Result<String, Option<Heard>> {
        let is_it = |xml: &String| parts.iter().all(|part| xml.contains(part));
        if let Some(xml) =
            self.kept.iter().position(is_it).and_then(|index| self.kept.remove(index))
        {
            return Ok(xml);
        }
        let until = Instant::now() + within;
        loop {
            match self.read(until.saturating_duration_since(Instant::now())) {
                Some(Heard::Element(xml)) if is_it(&xml) => return Ok(xml),
                Some(Heard::Element(xml)) => self.kept.push_back(xml),
                other => return Err(other),
            }
        }
    }

    /// Returns the next element, whatever it is.
    #[track_caller]
    pub fn element(&mut self) -> String {
        match self.hear(PATIENCE) {
            Some(Heard::Element(xml)) => xml,
            other => panic!("{other:?} instead of an element"),
        }
    }

    /// Returns everything that comes until nothing came for `silence`.
    #[track_caller]
    pub fn drain(&mut self, silence: Duration) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(Heard::Element(xml)) = self.hear(silence) {
            all.push(xml);
        }
        all
    }

    /// Makes both available, and see each other's presence.
    #[track_caller]
    pub fn befriend(&mut self, other: &mut Self) {
        for client in [&mut *self, &mut *other] {
            client.send("<iq type='get' id='list'><query xmlns='jabber:iq:roster'/></iq>");
            client.expect(&["list"]);
            client.send("<presence/>");
            client.ping();
        }
        self.subscribe(other);
        other.subscribe(self);
        for client in [self, other] {
            client.drain(Duration::from_millis(300));
        }
    }

    /// Asks to see the presence of `other`, which allows it.
    fn subscribe(&mut self, other: &mut Self) {
        self.send(&format!("<presence type='subscribe' to='{}'/>", other.bare()));
        other.expect(&["<presence", "subscribe"]);
        other.send(&format!("<presence type='subscribed' to='{}'/>", self.bare()));
        self.expect(&["<presence", "subscribed"]);
    }

    /// Waits for the end of the stream and of the connection; returns the stream error, if any.
    #[track_caller]
    pub fn ended(&mut self) -> Option<String> {
        let mut error = None;
        let until = Instant::now() + PATIENCE;
        loop {
            match self.hear(until.saturating_duration_since(Instant::now())) {
                Some(Heard::Gone) => return error,
                Some(Heard::End) => {
                    drop(self.try_send(b"</stream:stream>"));
                }
                Some(Heard::Element(xml)) if xml.starts_with("<stream:error") => error = Some(xml),
                Some(Heard::Element(_)) => {}
                None => panic!("the connection does not end; so far {error:?}"),
            }
        }
    }

    /// Asks the server's own address and returns how long the answer took.
    #[track_caller]
    pub fn ping(&mut self) -> Duration {
        let start = Instant::now();
        let id = format!("ping-{}", start.elapsed().as_nanos());
        let domain = self.domain.clone();
        self.send(&format!(
            "<iq type='get' to='{domain}' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>"
        ));
        self.expect(&["<iq", &id]);
        start.elapsed()
    }

    /// Says goodbye properly.
    #[track_caller]
    pub fn close(mut self) {
        if let Some(counts) = &self.counts {
            // What is not acknowledged now counts as not received (XEP-0198 §5).
            let last = format!("<a xmlns='{SM}' h='{}'/>", counts.received);
            self.send(&last);
        }
        self.send("</stream:stream>");
        self.ended();
    }
}
