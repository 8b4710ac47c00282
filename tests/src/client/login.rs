//! From a socket to a session.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::counts::{Counts, SM};
use super::{Client, Memory, attr};
use crate::{Host, Scram, password};

/// How TLS begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Port {
    /// After `<starttls/>`.
    #[default]
    StartTls,
    /// With the first byte.
    Direct,
}

/// How a password is proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256-PLUS: `tls-exporter`, or `tls-server-end-point` with TLS 1.2.
    #[default]
    ScramPlus,
    /// SCRAM-SHA-256.
    Scram,
    /// PLAIN.
    Plain,
}

/// How to log in. The default: STARTTLS, TLS 1.3, SCRAM-SHA-256-PLUS, a resource of the server's
/// choice.
#[derive(Clone, Debug)]
pub struct How {
    port: Port,
    version: &'static SupportedProtocolVersion,
    mechanism: Mechanism,
    resource: Option<String>,
    is_sasl2: bool,
    is_declared: bool,
}

impl Default for How {
    fn default() -> Self {
        Self {
            port: Port::StartTls,
            version: &TLS13,
            mechanism: Mechanism::ScramPlus,
            resource: None,
            is_sasl2: false,
            is_declared: true,
        }
    }
}

impl How {
    /// With TLS from the first byte.
    #[must_use]
    pub fn direct(self) -> Self {
        Self { port: Port::Direct, ..self }
    }

    /// With TLS 1.2.
    #[must_use]
    pub fn tls12(self) -> Self {
        Self { version: &TLS12, ..self }
    }

    /// With another mechanism.
    #[must_use]
    pub fn by(self, mechanism: Mechanism) -> Self {
        Self { mechanism, ..self }
    }

    /// With a resource of its own.
    #[must_use]
    pub fn resource(self, resource: &str) -> Self {
        Self { resource: Some(resource.to_owned()), ..self }
    }

    /// With SASL2, Bind 2 and acknowledgements, all in one.
    #[must_use]
    pub fn sasl2(self) -> Self {
        Self { is_sasl2: true, ..self }
    }

    /// Without an XML declaration.
    #[must_use]
    pub fn undeclared(self) -> Self {
        Self { is_declared: false, ..self }
    }

    /// Connects and secures the connection. No stream is opened inside TLS.
    #[must_use]
    #[track_caller]
    pub fn secured(&self, server: &(impl Host + ?Sized)) -> Client {
        let alpn = (self.port == Port::Direct).then_some("xmpp-client");
        let config = server.authority().client(&[self.version], alpn);
        let connect = |address| {
            let client = Client::connect(address).of(server.domain());
            if self.is_declared { client } else { client.undeclared() }
        };
        let client = match self.port {
            Port::Direct => connect(server.c2s_tls()),
            Port::StartTls => {
                let mut client = connect(server.c2s());
                let features = client.open_stream();
                assert!(has(&features, "starttls"), "{features}");
                client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
                let said = client.element();
                assert!(has(&said, "proceed"), "{said}");
                client
            }
        };
        client.secure(config).unwrap()
    }

    /// Connects, secures the connection and opens the stream, so that a login is next.
    #[must_use]
    #[track_caller]
    pub fn open(&self, server: &(impl Host + ?Sized)) -> Client {
        let mut client = self.secured(server);
        client.open_stream();
        client
    }

    /// Logs in with the [`password`] of `name`.
    #[must_use]
    #[track_caller]
    pub fn login(&self, server: &(impl Host + ?Sized), name: &str) -> Client {
        match self.try_login(server, name, &password(name)) {
            Ok(client) => client,
            Err(said) => panic!("{name} cannot log in: {said}"),
        }
    }

    /// Logs in.
    ///
    /// # Errors
    ///
    /// What the server says to a login that it refuses.
    #[track_caller]
    pub fn try_login(
        &self,
        server: &(impl Host + ?Sized),
        name: &str,
        password: &str,
    ) -> Result<Client, String> {
        let mut client = self.open(server);
        if self.is_sasl2 {
            self.prove_and_bind(&mut client, name, password)?;
        } else {
            self.prove(&mut client, name, password)?;
            client.open_stream();
            self.bind(&mut client)?;
        }
        Ok(client)
    }

    /// Logs in and resumes a session in place of a new one. What the server did not handle
    /// ([`Client::told`]) has to be sent again.
    ///
    /// # Errors
    ///
    /// What the server says when it does not have the session.
    #[track_caller]
    pub fn resume(&self, server: &(impl Host + ?Sized), memory: &Memory) -> Result<Client, String> {
        let mut client = self.open(server);
        self.prove(&mut client, &memory.name, &password(&memory.name))?;
        client.open_stream();
        let Memory { token, received, .. } = memory;
        client.send(&format!("<resume xmlns='{SM}' previd='{token}' h='{received}'/>"));
        let said = client.element();
        if !said.starts_with("<resumed") {
            return Err(said);
        }
        let acknowledged = attr(&said, "h").unwrap().parse().unwrap();
        let token = attr(&said, "previd");
        let (sent, received) = (acknowledged, *received);
        client.counts = Some(Counts { token, sent, received, acknowledged });
        client.jid.clone_from(&memory.jid);
        Ok(client)
    }

    /// Proves the password (RFC 6120 §6). A new stream is next.
    ///
    /// # Errors
    ///
    /// The failure.
    #[track_caller]
    pub fn prove(&self, client: &mut Client, name: &str, password: &str) -> Result<(), String> {
        name.clone_into(&mut client.name);
        let ns = "urn:ietf:params:xml:ns:xmpp-sasl";
        let (mechanism, first, scram) = self.first(client, name, password);
        client.send(&format!("<auth xmlns='{ns}' mechanism='{mechanism}'>{first}</auth>"));
        let mut said = client.element();
        let mut server = String::new();
        if let (Some(scram), Some(challenge)) = (scram, content(&said, "challenge")) {
            let (last, proof) = scram.last(&decoded(&challenge));
            client.send(&format!("<response xmlns='{ns}'>{}</response>", STANDARD.encode(last)));
            (said, server) = (client.element(), proof);
        }
        if !has(&said, "success") {
            return Err(said);
        }
        assert_eq!(content(&said, "success").map_or(String::new(), |text| decoded(&text)), server);
        Ok(())
    }

    /// Asks for the resource and notes the address.
    ///
    /// # Errors
    ///
    /// The error.
    #[track_caller]
    pub fn bind(&self, client: &mut Client) -> Result<(), String> {
        let resource = self.resource.as_ref().map(|name| format!("<resource>{name}</resource>"));
        let resource = resource.unwrap_or_default();
        let ns = "urn:ietf:params:xml:ns:xmpp-bind";
        client.send(&format!("<iq type='set' id='bind'><bind xmlns='{ns}'>{resource}</bind></iq>"));
        let said = client.expect(&["<iq", "bind"]);
        client.jid = content(&said, "jid").ok_or(said)?;
        Ok(())
    }

    /// XEP-0388 with XEP-0386 and XEP-0198 inside.
    fn prove_and_bind(
        &self,
        client: &mut Client,
        name: &str,
        password: &str,
    ) -> Result<(), String> {
        name.clone_into(&mut client.name);
        let ns = "urn:xmpp:sasl:2";
        let (mechanism, first, scram) = self.first(client, name, password);
        client.send(&format!(
            "<authenticate xmlns='{ns}' mechanism='{mechanism}'>\
             <initial-response>{first}</initial-response><bind xmlns='urn:xmpp:bind:0'>\
             <tag>test</tag><enable xmlns='{SM}' resume='true'/></bind></authenticate>"
        ));
        let mut said = client.element();
        if let (Some(scram), Some(challenge)) = (scram, content(&said, "challenge")) {
            let (last, proof) = scram.last(&decoded(&challenge));
            client.send(&format!("<response xmlns='{ns}'>{}</response>", STANDARD.encode(last)));
            client.counts = Some(Counts::default());
            said = client.element();
            let shown = content(&said, "additional-data");
            assert!(
                !said.starts_with("<success") || shown.map(|text| decoded(&text)) == Some(proof)
            );
        }
        if !said.starts_with("<success") {
            return Err(said);
        }
        let enabled = said.find("<enabled").map(|at| &said[at..]).unwrap_or_default();
        let token = attr(enabled, "id");
        client.counts = Some(Counts { token, ..client.counts.take().unwrap_or_default() });
        client.jid = content(&said, "authorization-identifier").ok_or(said)?;
        client.expect(&["<stream:features"]);
        Ok(())
    }

    /// Returns the name of the mechanism, its first message in base64, and the exchange.
    fn first(
        &self,
        client: &Client,
        name: &str,
        password: &str,
    ) -> (&'static str, String, Option<Scram>) {
        let (gs2, binding) = match self.mechanism {
            Mechanism::Plain => {
                let text = format!("\0{name}\0{password}");
                return ("PLAIN", STANDARD.encode(text), None);
            }
            Mechanism::Scram => ("n,,", Vec::new()),
            Mechanism::ScramPlus if self.version == &TLS13 => {
                ("p=tls-exporter,,", client.exporter())
            }
            Mechanism::ScramPlus => ("p=tls-server-end-point,,", client.end_point()),
        };
        let scram = Scram::new(name, password, gs2, &binding);
        let mechanism = match self.mechanism {
            Mechanism::ScramPlus => "SCRAM-SHA-256-PLUS",
            _ => "SCRAM-SHA-256",
        };
        (mechanism, STANDARD.encode(scram.first()), Some(scram))
    }
}

/// Tells whether there is an element `name`, with whatever prefix.
fn has(xml: &str, name: &str) -> bool {
    let mut tags = xml.split('<').skip(1).filter_map(|tag| tag.split([' ', '/', '>']).next());
    tags.any(|tag| tag.rsplit(':').next() == Some(name))
}

/// Returns the text of the first element `name` in `xml`.
pub(crate) fn content(xml: &str, name: &str) -> Option<String> {
    let start = &xml[xml.find(&format!("<{name}"))?..];
    let text = &start[start.find('>')? + 1..];
    Some(text[..text.find(&format!("</{name}>"))?].to_owned())
}

fn decoded(text: &str) -> String {
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}
