//! The server that is measured, and the way to a session on it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::{self as provider, kx_group};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::conn::{Conn, Io, Res, Sm, header};
use crate::scram::{Exchange, Mech};
use crate::web;
use crate::xml::{attr, has, text_of};

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tls {
    Direct,
    Starttls,
    /// Directly, and inside it a WebSocket (RFC 7395) at a port for HTTPS.
    Wss,
    /// Not at all: a WebSocket at a port for HTTP, as behind a web server.
    Ws,
}

/// The way to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// SASL, then a resource (RFC 6120).
    Sasl,
    /// Both together (XEP-0388, XEP-0386).
    Sasl2,
    /// The same by a token (XEP-0484), which the first login gets for the password.
    Fast,
}

/// See the file.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    pub(crate) domain: String,
    pub(crate) tls: Tls,
    pub(crate) config: Arc<ClientConfig>,
    /// `{}` stands for the number.
    pub(crate) users: String,
    pub(crate) password: String,
    pub(crate) mech: Mech,
    /// How many loopback addresses to come from.
    pub(crate) sources: u32,
    pub(crate) sm: bool,
    pub(crate) sm_every: u32,
    pub(crate) way: Way,
    /// By the number of the account.
    pub(crate) tokens: Arc<Mutex<BTreeMap<usize, String>>>,
}

/// Returns TLS for clients. Without post-quantum exchange by default, so that servers with and
/// without it are compared on the same work.
pub(crate) fn client_config(ca: &str, post_quantum: bool) -> Res<Arc<ClientConfig>> {
    let mut provider = provider::default_provider();
    if !post_quantum {
        provider.kx_groups = vec![kx_group::X25519, kx_group::SECP256R1];
    }
    let mut roots = rustls::RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(ca).map_err(|error| format!("{ca}: {error}"))?
    {
        let certificate = certificate.map_err(|error| format!("{ca}: {error}"))?;
        roots.add(certificate).map_err(|error| format!("{ca}: {error}"))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider));
    let config = config.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn broken(error: std::io::Error) -> String {
    format!("no connection: {error}")
}

impl Target {
    fn user(&self, number: usize) -> String {
        self.users.replace("{}", &number.to_string())
    }

    pub(crate) fn bare(&self, number: usize) -> String {
        format!("{}@{}", self.user(number), self.domain)
    }

    async fn tcp(&self, number: usize, receive_buffer: Option<u32>) -> std::io::Result<TcpStream> {
        let socket = if self.addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if self.sources > 0 && matches!(self.addr.ip(), IpAddr::V4(_)) {
            let which = u32::try_from(number).unwrap_or(0) % self.sources;
            let [_, _, third, fourth] = (256 + which / 200 * 256 + which % 200 + 2).to_be_bytes();
            socket.bind(SocketAddr::new(Ipv4Addr::new(127, 0, third, fourth).into(), 0))?;
        }
        let stream = socket.connect(self.addr).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn connect(&self, number: usize, receive_buffer: Option<u32>) -> Res<Conn> {
        let mut io: Box<dyn Io> = match self.tls {
            Tls::Ws => Box::new(self.tcp(number, receive_buffer).await.map_err(broken)?),
            _ => Box::new(self.secure(number, receive_buffer).await?),
        };
        if !matches!(self.tls, Tls::Wss | Tls::Ws) {
            return Ok(Conn::new(io));
        }
        web::upgrade(&mut *io, &self.domain).await?;
        Ok(Conn::new(io).over_websocket())
    }

    /// Connects, and begins TLS.
    pub(crate) async fn secure(
        &self,
        number: usize,
        receive_buffer: Option<u32>,
    ) -> Res<TlsStream<TcpStream>> {
        let mut tcp = self.tcp(number, receive_buffer).await.map_err(broken)?;
        if self.tls == Tls::Starttls {
            let tls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
            let hello = header(&self.domain);
            for (say, wait_for) in [(hello.as_str(), "</stream:features>"), (tls, "<proceed")] {
                tcp.write_all(say.as_bytes()).await.map_err(broken)?;
                let mut heard = Vec::new();
                while !(has(&heard, wait_for) && heard.ends_with(b">")) {
                    if tcp.read_buf(&mut heard).await.map_err(broken)? == 0 {
                        return Err("closed before STARTTLS".to_owned());
                    }
                }
            }
        }
        let name = ServerName::try_from(self.domain.clone()).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name, tcp).await.map_err(broken)
    }

    /// Goes the whole way to a session: TLS, SASL, bind, 0198, roster, and presence if wanted.
    pub(crate) async fn login(&self, number: usize, is_available: bool) -> Res<Conn> {
        self.login_with(number, is_available, None).await
    }

    /// As [`Target::login`], with a small receive buffer in the kernel.
    pub(crate) async fn login_with(
        &self,
        number: usize,
        is_available: bool,
        receive_buffer: Option<u32>,
    ) -> Res<Conn> {
        let login = self.go(number, is_available, receive_buffer);
        let login = tokio::time::timeout(Duration::from_secs(120), login).await;
        let login = login.unwrap_or_else(|_| Err("it takes too long".to_owned()));
        login.map_err(|error| format!("login of {}: {error}", self.user(number)))
    }

    async fn go(&self, number: usize, is_available: bool, buffer: Option<u32>) -> Res<Conn> {
        let mut conn = self.connect(number, buffer).await?;
        let features = conn.open(&self.domain).await?;
        if self.way == Way::Sasl {
            self.authenticate(&mut conn, &self.user(number), &features).await?;
            self.bind(&mut conn).await?;
        } else {
            self.authenticate_and_bind(&mut conn, number, &features).await?;
        }
        conn.bare = self.bare(number);
        let roster = "<iq type='get' id='ro'><query xmlns='jabber:iq:roster'/></iq>";
        conn.ask("ro", roster).await?;
        if is_available {
            conn.send("<presence/>");
            conn.flush().await?;
        }
        Ok(conn)
    }

    /// The server chooses the resource: an account may have several clients.
    async fn bind(&self, conn: &mut Conn) -> Res<()> {
        let features = conn.open(&self.domain).await?;
        if !has(&features, "xmpp-bind") {
            return Err(format!("no bind in {}", String::from_utf8_lossy(&features)));
        }
        let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
        let bound = conn.ask("b", bind).await?;
        conn.jid = String::from_utf8_lossy(text_of(&bound, "jid").unwrap_or(b"")).into_owned();
        if self.sm {
            conn.raw(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
            let enabled = conn.next().await?;
            if !enabled.starts_with(b"<enabled") {
                return Err(format!("0198: {}", String::from_utf8_lossy(&enabled)));
            }
            conn.sm = Some(Sm::new(self.sm_every));
        }
        Ok(())
    }

    /// Logs in by SASL2 and binds with it, by a token where there is one.
    async fn authenticate_and_bind(
        &self,
        conn: &mut Conn,
        number: usize,
        features: &[u8],
    ) -> Res<()> {
        let user = self.user(number);
        let tokens = || self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tokens().get(&number).cloned();
        let wanted = match (&known, self.way) {
            (Some(_), _) => "<fast xmlns='urn:xmpp:fast:0'/>",
            (None, Way::Fast) => {
                "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>"
            }
            (None, _) => "",
        };
        let name = if known.is_some() { "HT-SHA-256-NONE" } else { self.mech.name() };
        if !has(features, &format!("<mechanism>{name}</mechanism>")) {
            return Err(format!("no {name} in {}", String::from_utf8_lossy(features)));
        }
        let exchange = Exchange::new(self.mech, &user);
        let first = match (&known, self.mech) {
            (Some(token), _) => {
                BASE64.encode([format!("{user}\0").as_bytes(), &hashed(token)].concat())
            }
            (None, Mech::Plain) => BASE64.encode(format!("\0{user}\0{}", self.password)),
            (None, _) => exchange.first(),
        };
        let enable = if self.sm { "<enable xmlns='urn:xmpp:sm:3' resume='true'/>" } else { "" };
        let login = format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{name}'>\
             <initial-response>{first}</initial-response>\
             <user-agent id='00000000-0000-4000-8000-{number:012}'/>\
             <bind xmlns='urn:xmpp:bind:0'><tag>load</tag>{enable}</bind>{wanted}</authenticate>"
        );
        conn.raw(login.as_bytes());
        let mut heard = conn.next().await?;
        if known.is_none() && self.mech != Mech::Plain {
            let challenge = text_of(&heard, "challenge").ok_or_else(|| refused(&heard))?;
            let (answer, proved) = exchange.answer(challenge, &self.password)?;
            let answer = format!("<response xmlns='urn:xmpp:sasl:2'>{answer}</response>");
            conn.raw(answer.as_bytes());
            heard = conn.next().await?;
            proved.check(text_of(&heard, "additional-data").ok_or_else(|| refused(&heard))?)?;
        }
        let jid = text_of(&heard, "authorization-identifier").ok_or_else(|| refused(&heard))?;
        conn.jid = String::from_utf8_lossy(jid).into_owned();
        if let Some(token) = token_in(&heard) {
            tokens().insert(number, token);
        } else if self.way == Way::Fast && known.is_none() {
            return Err(format!("no token in {}", String::from_utf8_lossy(&heard)));
        }
        if self.sm {
            conn.sm = Some(Sm::new(self.sm_every));
        }
        // The features of the session follow at once.
        conn.next().await.map(drop)
    }

    async fn authenticate(&self, conn: &mut Conn, user: &str, features: &[u8]) -> Res<()> {
        let name = self.mech.name();
        if !has(features, &format!("<mechanism>{name}</mechanism>")) {
            return Err(format!("no {name} in {}", String::from_utf8_lossy(features)));
        }
        let exchange = Exchange::new(self.mech, user);
        let first = match self.mech {
            Mech::Plain => BASE64.encode(format!("\0{user}\0{}", self.password)),
            _ => exchange.first(),
        };
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{name}'>{first}</auth>"
        );
        conn.raw(auth.as_bytes());
        let mut heard = conn.next().await?;
        if self.mech != Mech::Plain {
            let challenge = text_of(&heard, "challenge").ok_or_else(|| refused(&heard))?;
            let (answer, proved) = exchange.answer(challenge, &self.password)?;
            conn.raw(response(&answer).as_bytes());
            heard = conn.next().await?;
            if let Some(last) = text_of(&heard, "challenge") {
                proved.check(last)?;
                conn.raw(response("").as_bytes());
                heard = conn.next().await?;
            } else {
                proved.check(text_of(&heard, "success").ok_or_else(|| refused(&heard))?)?;
            }
        }
        if heard.starts_with(b"<success") { Ok(()) } else { Err(refused(&heard)) }
    }
}

/// Returns the proof of a token that is not bound to the channel.
fn hashed(token: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    hmac::sign(&key, b"Initiator").as_ref().to_vec()
}

/// Returns the token that a server gives with its success.
fn token_in(success: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(success).ok()?;
    let (_, token) = text.split_once("<token ")?;
    attr(format!("<token {token}").as_bytes(), "token")
        .and_then(|token| String::from_utf8(token.to_vec()).ok())
}

fn response(text: &str) -> String {
    format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{text}</response>")
}

fn refused(heard: &[u8]) -> String {
    format!("refused: {}", String::from_utf8_lossy(heard))
}
