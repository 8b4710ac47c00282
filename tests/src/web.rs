//! A client in a browser, without the browser: WebSocket (RFC 6455, RFC 7395) and BOSH (XEP-0124),
//! frame by frame and request by request.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::{DOMAIN, PATIENCE, Scram, attr, password};

const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const TEXT: u8 = 0x81;

/// A connection to a port for browsers.
#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    #[track_caller]
    fn connect(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let Some(config) = tls else { return Self::Plain(socket) };
        let name = ServerName::try_from(DOMAIN).unwrap();
        let mut tls = ClientConnection::new(config, name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).unwrap();
        }
        Self::Tls(Box::new(StreamOwned::new(tls, socket)))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.sock,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(bytes),
            Self::Tls(tls) => tls.read(bytes),
        }
    }
}

/// A WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    wire: Wire,
    bytes: Vec<u8>,
}

/// What came over a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole text.
    Text(String),
    /// The answer to a ping.
    Pong(Vec<u8>),
    /// The end, with its code.
    Close(u16),
    /// The connection is gone.
    Gone,
}

impl WebSocket {
    /// Connects in the clear, with these headers beside the usual ones.
    ///
    /// # Errors
    ///
    /// The status line, when there is no WebSocket.
    pub fn open(port: u16, headers: &[(&str, &str)]) -> Result<Self, String> {
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Self::upgrade(Wire::connect(address, None), "/xmpp-websocket", "xmpp", headers)
    }

    /// Connects inside TLS.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::open`].
    pub fn secure(
        port: u16,
        tls: Arc<ClientConfig>,
        headers: &[(&str, &str)],
    ) -> Result<Self, String> {
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Self::upgrade(Wire::connect(address, Some(tls)), "/xmpp-websocket", "xmpp", headers)
    }

    /// Asks in the clear for another path or protocol.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::open`].
    pub fn ask(port: u16, path: &str, protocol: &str) -> Result<Self, String> {
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Self::upgrade(Wire::connect(address, None), path, protocol, &[])
    }

    fn upgrade(
        mut wire: Wire,
        path: &str,
        protocol: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, String> {
        let mut head = format!(
            "GET {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {protocol}\r\n"
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        wire.write(format!("{head}\r\n").as_bytes()).unwrap();
        let mut web = Self { wire, bytes: Vec::new() };
        let end = loop {
            if let Some(end) = web.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            assert!(web.more(), "the answer ends: {:?}", String::from_utf8_lossy(&web.bytes));
        };
        let head = String::from_utf8(web.bytes.drain(..end + 4).collect()).unwrap();
        let first = head.lines().next().unwrap().to_owned();
        if !first.starts_with("HTTP/1.1 101 ") {
            return Err(first);
        }
        // RFC 6455 §1.3: the answer to this very key.
        let accepts = head.to_lowercase();
        assert!(
            accepts.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
            "{head}"
        );
        assert!(accepts.contains("sec-websocket-protocol: xmpp\r\n"), "{head}");
        Ok(web)
    }

    fn more(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        let count = self.wire.read(&mut bytes).unwrap_or(0);
        self.bytes.extend_from_slice(&bytes[..count]);
        count > 0
    }

    /// Sends a frame with this first byte, masked. Whether the server still listens is not looked at.
    pub fn frame(&mut self, first: u8, bytes: &[u8]) {
        let mut mask = [0; 4];
        rand::fill(&mut mask).unwrap();
        let mut out = vec![first];
        match bytes.len() {
            short @ 0..126 => out.push(0x80 | u8::try_from(short).unwrap()),
            medium @ 126..0x1_0000 => {
                out.push(0x80 | 126);
                out.extend(u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                out.push(0x80 | 127);
                out.extend(u64::try_from(long).unwrap().to_be_bytes());
            }
        }
        out.extend(mask);
        out.extend(bytes.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.bytes(&out);
    }

    /// Sends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        drop(self.wire.write(bytes));
    }

    /// Sends a text.
    pub fn send(&mut self, text: &str) {
        self.frame(TEXT, text.as_bytes());
    }

    /// Returns what comes next.
    #[track_caller]
    pub fn hear(&mut self) -> Frame {
        loop {
            if let Some((kind, bytes)) = self.whole() {
                return match kind {
                    TEXT => Frame::Text(String::from_utf8(bytes).unwrap()),
                    0x8A => Frame::Pong(bytes),
                    0x88 => Frame::Close(u16::from_be_bytes([bytes[0], bytes[1]])),
                    // A ping: an answer as of a browser.
                    0x89 => {
                        self.frame(0x8A, &bytes);
                        continue;
                    }
                    kind => panic!("a frame of kind {kind:x}"),
                };
            }
            if !self.more() {
                return Frame::Gone;
            }
        }
    }

    fn whole(&mut self) -> Option<(u8, Vec<u8>)> {
        let (kind, length) = (*self.bytes.first()?, *self.bytes.get(1)?);
        let (bytes, start) = match length {
            126 => (u64::from(u16::from_be_bytes(self.bytes.get(2..4)?.try_into().unwrap())), 4),
            127 => (u64::from_be_bytes(self.bytes.get(2..10)?.try_into().unwrap()), 10),
            short => (u64::from(short), 2),
        };
        let end = start + usize::try_from(bytes).unwrap();
        let inside = self.bytes.get(start..end)?.to_vec();
        self.bytes.drain(..end);
        Some((kind, inside))
    }

    /// Waits for a text with all these parts. Others are forgotten.
    #[track_caller]
    pub fn expect(&mut self, parts: &[&str]) -> String {
        loop {
            match self.hear() {
                Frame::Text(text) if parts.iter().all(|part| text.contains(part)) => return text,
                Frame::Text(_) => {}
                other => panic!("{other:?} instead of {parts:?}"),
            }
        }
    }

    /// Opens a stream and returns its features.
    #[track_caller]
    pub fn open_stream(&mut self) -> String {
        self.send(&format!("<open xmlns='{FRAMING}' to='{DOMAIN}' version='1.0'/>"));
        self.expect(&["<open ", FRAMING]);
        self.expect(&["<stream:features"])
    }

    /// Proves the password of `name` and opens the stream again.
    #[track_caller]
    pub fn prove(&mut self, name: &str) {
        let scram = Scram::new(name, &password(name), "n,,", b"");
        let first = STANDARD.encode(scram.first());
        self.send(&format!("<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>"));
        let (last, _) = scram.last(&inside(&self.expect(&["<challenge"])));
        self.send(&format!("<response xmlns='{SASL}'>{}</response>", STANDARD.encode(last)));
        self.expect(&["<success"]);
        self.open_stream();
    }

    /// Logs in and binds; returns the full address.
    #[track_caller]
    pub fn login(&mut self, name: &str) -> String {
        self.open_stream();
        self.prove(name);
        self.send(
            "<iq xmlns='jabber:client' id='bind' type='set'>\
             <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        );
        let bound = self.expect(&["<jid>"]);
        between(&bound, "<jid>", "</jid>")
    }

    /// Ends the connection without a word.
    pub fn cut(self) {
        drop(self.wire.socket().shutdown(std::net::Shutdown::Both));
    }

    /// Reads nothing for longer than this.
    pub fn patience(&self, within: Duration) {
        self.wire.socket().set_read_timeout(Some(within)).unwrap();
    }
}

fn between(text: &str, start: &str, end: &str) -> String {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}")).1;
    rest.split_once(end).unwrap().0.to_owned()
}

/// Returns the text inside the first element, decoded.
fn inside(xml: &str) -> String {
    let text = xml.split_once('>').unwrap().1.split('<').next().unwrap();
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}

/// A session of BOSH, in the clear.
#[derive(Clone, Debug)]
pub struct Bosh {
    port: u16,
    /// The name of the session.
    pub sid: String,
    /// The number of the next request.
    pub rid: u64,
}

/// Posts `body` and returns the whole answer, with its head.
///
/// # Panics
///
/// When there is no connection.
#[must_use]
pub fn post(port: u16, headers: &[(&str, &str)], body: &str) -> String {
    request(port, "POST", headers, body)
}

/// Sends a request to `/http-bind` and returns the whole answer.
#[must_use]
pub fn request(port: u16, method: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut wire = Wire::connect((Ipv4Addr::LOCALHOST, port).into(), None);
    let mut head = format!(
        "{method} /http-bind HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\
         Content-Type: text/xml; charset=utf-8\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // A server that refuses the body may close before it has all of it.
    drop(wire.write(format!("{head}\r\n{body}").as_bytes()));
    let mut answer = Vec::new();
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = wire.read(&mut bytes) {
        answer.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8(answer).unwrap()
}

/// Returns the text of a request.
#[must_use]
pub fn body(rid: u64, attrs: &str, content: &str) -> String {
    format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' \
         rid='{rid}' {attrs}>{content}</body>"
    )
}

impl Bosh {
    /// Begins a session, and returns it with the first answer.
    #[must_use]
    #[track_caller]
    pub fn begin(port: u16, wait: u8) -> (Self, String) {
        let attrs = format!("to='{DOMAIN}' wait='{wait}' hold='1' ver='1.6' xmpp:version='1.0'");
        let answer = post(port, &[], &body(1000, &attrs, ""));
        let sid = attr(&answer, "sid").unwrap_or_else(|| panic!("no session: {answer}"));
        (Self { port, sid, rid: 1001 }, answer)
    }

    /// Sends a request and returns the answer.
    pub fn send(&mut self, attrs: &str, content: &str) -> String {
        let rid = self.rid;
        self.rid += 1;
        self.send_as(rid, attrs, content)
    }

    /// Sends a request with a number of its own.
    #[must_use]
    pub fn send_as(&self, rid: u64, attrs: &str, content: &str) -> String {
        let attrs = format!("sid='{}' {attrs}", self.sid);
        post(self.port, &[], &body(rid, &attrs, content))
    }

    /// Sends one on a thread of its own, since it waits.
    #[must_use]
    pub fn hold(&mut self) -> std::thread::JoinHandle<String> {
        let (own, rid) = (self.clone(), self.rid);
        self.rid += 1;
        std::thread::spawn(move || own.send_as(rid, "", ""))
    }

    /// Logs in and binds; returns the full address.
    #[track_caller]
    pub fn login(&mut self, name: &str) -> String {
        let scram = Scram::new(name, &password(name), "n,,", b"");
        let first = STANDARD.encode(scram.first());
        let auth = format!("<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>");
        let said = self.send("", &auth);
        let challenge = said.split_once("<challenge").unwrap_or_else(|| panic!("{said}")).1;
        let (last, _) = scram.last(&inside(challenge));
        let response = format!("<response xmlns='{SASL}'>{}</response>", STANDARD.encode(last));
        let said = self.send("", &response);
        assert!(said.contains("<success"), "{said}");
        let said = self.send(&format!("to='{DOMAIN}' xmpp:restart='true'"), "");
        assert!(said.contains("<stream:features"), "{said}");
        let bind = "<iq xmlns='jabber:client' id='bind' type='set'>\
                    <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
        between(&self.send("", bind), "<jid>", "</jid>")
    }
}
