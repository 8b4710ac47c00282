//! A client that speaks as a server does, to say what no server would.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::version::TLS13;
use rustls::{ClientConfig, SupportedProtocolVersion};

use crate::{Certificate, Client, Lab};

/// Who calls, whom, and with what.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The domain that it says it is.
    pub from: String,
    /// The domain that it calls.
    pub to: String,
    /// What it shows.
    pub shows: Option<Certificate>,
    /// What it speaks.
    pub version: &'static SupportedProtocolVersion,
    address: IpAddr,
    roots: rustls::RootCertStore,
}

impl Peer {
    /// Returns one that calls `to`, whose servers are at `address`.
    #[must_use]
    pub fn new(lab: &Lab, from: &str, to: &str, address: IpAddr) -> Self {
        let (from, to) = (from.to_owned(), to.to_owned());
        Self { from, to, shows: None, version: &TLS13, address, roots: lab.authority().roots() }
    }

    /// Shows this.
    #[must_use]
    pub fn shows(self, certificate: &Certificate) -> Self {
        Self { shows: Some(certificate.clone()), ..self }
    }

    /// Returns the header of its streams.
    #[must_use]
    pub fn header(&self) -> String {
        let Self { from, to, .. } = self;
        format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:server' from='{from}' to='{to}' \
             xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' \
             version='1.0' xml:lang='en'>"
        )
    }

    /// Connects to the port for STARTTLS and says nothing.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(SocketAddr::new(self.address, 5269)).of(&self.to)
    }

    /// Connects and begins TLS.
    ///
    /// # Errors
    ///
    /// What the handshake says.
    #[track_caller]
    pub fn secured(&self) -> std::io::Result<Client> {
        let mut client = self.connect();
        client.open_with(&self.header());
        client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        client.expect(&["<proceed"]);
        client.secure(self.tls(None))
    }

    /// Connects to the port for direct TLS.
    ///
    /// # Errors
    ///
    /// What the handshake says.
    #[track_caller]
    pub fn direct(&self) -> std::io::Result<Client> {
        let client = Client::connect(SocketAddr::new(self.address, 5270)).of(&self.to);
        client.secure(self.tls(Some("xmpp-server")))
    }

    /// Connects, begins TLS and opens the stream. Returns what is offered as well.
    #[must_use]
    #[track_caller]
    pub fn open(&self) -> (Client, String) {
        let mut client = self.secured().unwrap();
        let offered = client.open_with(&self.header());
        (client, offered)
    }

    /// Proves itself by its certificate (XEP-0178) and opens the stream that follows.
    ///
    /// # Errors
    ///
    /// What is said to a proof that is refused.
    #[track_caller]
    pub fn prove(&self, client: &mut Client, authzid: Option<&str>) -> Result<(), String> {
        let text = authzid.map_or_else(|| "=".to_owned(), |name| STANDARD.encode(name));
        client.send(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>{text}</auth>"
        ));
        let said = client.element();
        if !said.starts_with("<success") {
            return Err(said);
        }
        client.open_with(&self.header());
        Ok(())
    }

    fn tls(&self, alpn: Option<&str>) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_protocol_versions(&[self.version])
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.shows {
            Some(shown) => config.with_client_auth_cert(shown.shown(), shown.private()).unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.map(|name| name.as_bytes().to_vec()).into_iter().collect();
        Arc::new(config)
    }
}
