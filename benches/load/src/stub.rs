//! A server that does only what no server can avoid (TLS, ends of stanzas, the recipient, writing):
//! the practical ceiling of this runtime and TLS library. It takes any password.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::conn::{Conn, Res, Step, is_stanza};
use crate::xml::{attr, text_of};

#[derive(Debug, Default)]
struct Mailbox {
    queue: Mutex<Vec<u8>>,
    news: Notify,
}

type Users = Arc<RwLock<BTreeMap<Vec<u8>, Arc<Mailbox>>>>;

/// Reads a certificate chain and its key.
pub(crate) fn server_config(chain: &str, key: &str) -> Res<Arc<ServerConfig>> {
    let wrong = |file: &str, error: rustls_pki_types::pem::Error| format!("{file}: {error}");
    let chain_read = CertificateDer::pem_file_iter(chain).map_err(|error| wrong(chain, error))?;
    let certificates: Vec<_> =
        chain_read.collect::<Result<_, _>>().map_err(|error| wrong(chain, error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let config = config.with_no_client_auth().with_single_cert(certificates, key);
    Ok(Arc::new(config.map_err(|error| error.to_string())?))
}

pub(crate) async fn serve(listen: SocketAddr, domain: &str, chain: &str, key: &str) -> Res<()> {
    let acceptor = TlsAcceptor::from(server_config(chain, key)?);
    let listener = TcpListener::bind(listen).await.map_err(|error| error.to_string())?;
    let users = Users::default();
    loop {
        let (socket, _) = listener.accept().await.map_err(|error| error.to_string())?;
        let (acceptor, users, domain) = (acceptor.clone(), Arc::clone(&users), domain.to_owned());
        tokio::spawn(async move {
            let _nagle = socket.set_nodelay(true);
            if let Ok(tls) = acceptor.accept(socket).await {
                let mut client = Client::new(Conn::new(Box::new(tls)), users, domain);
                // That a client leaves is no error.
                drop(client.serve().await);
            }
        });
    }
}

struct Client {
    conn: Conn,
    users: Users,
    domain: String,
    bare: Vec<u8>,
    full: String,
    handled: Option<u32>,
    mailbox: Arc<Mailbox>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.users.write().unwrap_or_else(PoisonError::into_inner).remove(&self.bare);
    }
}

impl Client {
    fn new(conn: Conn, users: Users, domain: String) -> Self {
        let (bare, full, mailbox) = (Vec::new(), String::new(), Arc::default());
        Self { conn, users, domain, bare, full, handled: None, mailbox }
    }

    async fn serve(&mut self) -> Res<()> {
        let header = format!(
            "<?xml version='1.0'?><stream:stream from='{}' id='x' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams' version='1.0'><stream:features>",
            self.domain
        );
        self.conn.await_header().await?;
        self.conn.raw(header.as_bytes());
        self.conn.raw(
            b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>\
              </mechanisms></stream:features>",
        );
        let auth = self.conn.next().await?;
        let words = BASE64.decode(text_of(&auth, "auth").unwrap_or(b"")).unwrap_or_default();
        self.bare = words.split(|byte| *byte == 0).nth(1).unwrap_or(b"x").to_vec();
        self.bare.extend_from_slice(format!("@{}", self.domain).as_bytes());
        self.conn.raw(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        self.conn.flush().await?;
        self.conn.restart();
        self.conn.await_header().await?;
        self.conn.raw(header.as_bytes());
        self.conn.raw(
            b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>\
              </stream:features>",
        );
        while !self.conn.is_closed {
            tokio::select! {
                step = self.conn.step() => if step? == Step::Eof { return Ok(()) },
                () = self.mailbox.news.notified() => {
                    let mut queue = self.mailbox.queue.lock().unwrap_or_else(PoisonError::into_inner);
                    self.conn.raw(&queue);
                    queue.clear();
                }
            }
            while let Some(place) = self.conn.pop() {
                let text = self.conn.get(place).to_vec();
                self.take(&text);
            }
        }
        self.conn.raw(b"</stream:stream>");
        self.conn.flush().await
    }

    fn take(&mut self, text: &[u8]) {
        if let Some(handled) = self.handled.as_mut().filter(|_| is_stanza(text)) {
            *handled = handled.wrapping_add(1);
        }
        if text.starts_with(b"<message") {
            self.pass_on(text);
        } else if text.starts_with(b"<presence") {
            let full = &self.full;
            let presence = format!("<presence from='{full}' to='{full}'/>");
            self.conn.raw(presence.as_bytes());
        } else if text.starts_with(b"<iq") {
            self.answer(text);
        } else if text.starts_with(b"<enable") {
            self.handled = Some(0);
            self.conn.raw(b"<enabled xmlns='urn:xmpp:sm:3'/>");
        } else if text.starts_with(b"<r") {
            let ack = format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.handled.unwrap_or(0));
            self.conn.raw(ack.as_bytes());
        }
    }

    fn pass_on(&self, text: &[u8]) {
        let to = attr(text, "to").unwrap_or(b"");
        let bare = to.split(|byte| *byte == b'/').next().unwrap_or(to);
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        let Some(mailbox) = users.get(bare).map(Arc::clone) else { return };
        drop(users);
        let mut queue = mailbox.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.extend_from_slice(b"<message from='");
        queue.extend_from_slice(self.full.as_bytes());
        queue.extend_from_slice(b"'");
        queue.extend_from_slice(&text[b"<message".len()..]);
        drop(queue);
        mailbox.news.notify_one();
    }

    fn answer(&mut self, text: &[u8]) {
        let id = String::from_utf8_lossy(attr(text, "id").unwrap_or(b"")).into_owned();
        let content = text_of(text, "resource").map(String::from_utf8_lossy).map(|resource| {
            self.full = format!("{}/{resource}", String::from_utf8_lossy(&self.bare));
            let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
            users.insert(self.bare.clone(), Arc::clone(&self.mailbox));
            let full = &self.full;
            format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{full}</jid></bind>")
        });
        let content = content.unwrap_or_default();
        self.conn.raw(format!("<iq type='result' id='{id}'>{content}</iq>").as_bytes());
    }
}
