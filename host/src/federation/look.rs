//! Looking at others from outside: which certificate a port shows, and pages by HTTPS.
//!
//! Bounded in time and bytes. Nothing that is found here is trusted by itself.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use xml::{Element, Flat, Item, Limits, Reader};
use xmpp::ns;

use super::resolve::{Resolver, Target};
use super::tls::PeerTls;
use super::{dial, identity, tls};

pub(crate) mod https;

/// Whom a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Clients.
    Client,
    /// Other servers.
    Server,
}

/// What a port showed.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The certificates, the server's own first. At least one.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// "TLSv1.3" or "TLSv1.2".
    pub(crate) version: &'static str,
}

/// Returns the BLAKE3 hash of the key that the port `port` of `domain` shows. The host is that of
/// the SRV record with this port, or the domain itself.
///
/// # Errors
///
/// Words that say which step failed.
pub(crate) async fn spki(
    resolver: &Resolver,
    domain: &str,
    port: u16,
    peers: &PeerTls,
    within: Duration,
) -> Result<[u8; 32], String> {
    let found = resolver.at_port(domain, port).await;
    let (target, service) = found.map_err(|why| why.to_string())?;
    let seen = chain(&target, domain, service, peers, within).await?;
    let own = seen.chain.first().ok_or("the server shows no certificate")?;
    identity::spki(own)
}

/// Connects to `target` as others do and returns the certificates that it shows for `domain`.
///
/// # Errors
///
/// Words that say which step failed.
pub(crate) async fn chain(
    target: &Target,
    domain: &str,
    service: Service,
    peers: &PeerTls,
    within: Duration,
) -> Result<Seen, String> {
    let Target { host, port, is_direct, .. } = target;
    let work = async {
        let mut stream = dial::connect(target, within).await?;
        if !is_direct {
            let asked = starttls(&mut stream, domain, service).await;
            asked.map_err(|why| format!("{host} port {port}: {why}"))?;
        }
        let config = match (service, is_direct) {
            (Service::Server, true) => Arc::clone(&peers.connect_direct),
            (Service::Client, true) => for_clients(peers),
            (_, false) => Arc::clone(&peers.connect_starttls),
        };
        let handshake = TlsConnector::from(config).connect(tls::server_name(domain)?, stream);
        let done = handshake.await.map_err(|error| format!("{host} port {port}: TLS: {error}"))?;
        let state = done.get_ref().1;
        Ok(Seen { chain: tls::chain(state).to_vec(), version: tls::version(state) })
    };
    let late = |_| format!("{host} port {port}: no answer in time");
    tokio::time::timeout(within, work).await.map_err(late)?
}

fn for_clients(peers: &PeerTls) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&peers.connect_starttls);
    config.alpn_protocols = vec![crate::tls::ALPN_CLIENT.to_vec()];
    Arc::new(config)
}

/// Speaks until TLS can begin (RFC 6120 §5.4.2).
async fn starttls(stream: &mut TcpStream, domain: &str, service: Service) -> Result<(), String> {
    let (content, noun) = match service {
        Service::Client => (ns::CLIENT, "clients"),
        Service::Server => (ns::SERVER, "servers"),
    };
    let mut hello = String::from("<?xml version='1.0'?><stream:stream to='");
    xml::escape_attr(domain, &mut hello);
    hello.push_str(&format!("' version='1.0' xmlns='{content}' xmlns:stream='{}'>", ns::STREAMS));
    let mut talk = Talk { stream, reader: Reader::new(Limits::before_login()) };
    talk.write(&hello).await?;
    let features = talk.element().await?;
    let root = features.root();
    if root.is(ns::STREAMS, "error") {
        let condition = root.children().next().map_or("", |child| child.name());
        return Err(format!("the stream was refused ({})", told(condition)));
    }
    if !root.has_child(ns::TLS, "starttls") {
        return Err(format!("no STARTTLS is offered to {noun}"));
    }
    talk.write(&Element::new(ns::TLS, "starttls").to_xml("")).await?;
    let answer = talk.element().await?;
    if !answer.root().is(ns::TLS, "proceed") {
        return Err("STARTTLS is offered and then refused".to_owned());
    }
    // What came in the clear must not be taken for what came inside TLS.
    if !talk.reader.is_empty() {
        return Err("there is more in the clear after STARTTLS".to_owned());
    }
    Ok(())
}

/// What a stranger wrote, short.
fn told(word: &str) -> String {
    word.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect()
}

struct Talk<'a> {
    stream: &'a mut TcpStream,
    reader: Reader,
}

impl Talk<'_> {
    async fn write(&mut self, text: &str) -> Result<(), String> {
        let written = self.stream.write_all(text.as_bytes()).await;
        written.map_err(|error| format!("the connection broke: {error}"))
    }

    async fn element(&mut self) -> Result<Flat, String> {
        let mut piece = [0; 2048];
        loop {
            match self.reader.next().map_err(|error| format!("this is no XMPP: {error}"))? {
                Some(Item::Element(element)) => return Ok(element),
                Some(Item::Close) => return Err("the stream was closed".to_owned()),
                Some(Item::Open(_)) => {}
                None => {
                    let read = self.stream.read(&mut piece).await;
                    let count = read.map_err(|error| format!("the connection broke: {error}"))?;
                    if count == 0 {
                        return Err("the connection was closed".to_owned());
                    }
                    let pushed = self.reader.push(piece.get(..count).unwrap_or_default());
                    pushed.map_err(|error| format!("this is no XMPP: {error}"))?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
