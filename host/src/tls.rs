//! The server's certificate, what clients may negotiate, and changing it while serving.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::acme;
use crate::certs::Leaf;
use crate::config::{Config, settings};
use crate::federation::tls::PeerTls;

/// The name of client connections in ALPN (XEP-0368).
pub(crate) const ALPN_CLIENT: &[u8] = b"xmpp-client";

/// What one TLS connection may hold of our output. To be set on each connection.
pub(crate) const BUFFER_BYTES: usize = 16 << 10;

/// The certificate in force.
pub(crate) struct Tls(ArcSwap<Served>);

/// A certificate ready to serve. A connection keeps the one it began with, so that its end-point
/// hash is that of the certificate which the client saw.
pub(crate) struct Served {
    /// For ports with STARTTLS.
    pub(crate) starttls: Arc<ServerConfig>,
    /// For ports with TLS from the first byte.
    pub(crate) direct: Arc<ServerConfig>,
    /// The chain and its key.
    pub(crate) certified: Arc<CertifiedKey>,
    /// For other servers, in both directions.
    pub(crate) peers: PeerTls,
    /// The value of `tls-server-end-point` (RFC 5929 §4), where it is defined.
    pub(crate) end_point: Option<Vec<u8>>,
    /// When it starts being valid, in seconds since 1970.
    pub(crate) not_before: i64,
    /// When it stops being valid, in seconds since 1970.
    pub(crate) not_after: i64,
    /// The names it is for.
    pub(crate) names: Vec<String>,
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// The chain, the server's own certificate first.
    pub(crate) chain: PathBuf,
    /// The private key.
    pub(crate) key: PathBuf,
}

impl Tls {
    /// Serves `served`.
    pub(crate) fn new(served: Served) -> Self {
        Self(ArcSwap::from_pointee(served))
    }

    /// Returns what new connections get.
    pub(crate) fn current(&self) -> Arc<Served> {
        self.0.load_full()
    }

    /// Serves `served` to new connections from now on.
    pub(crate) fn replace(&self, served: Served) {
        self.restore(Arc::new(served));
    }

    /// Serves what was served before, after a change that did not work.
    pub(crate) fn restore(&self, served: Arc<Served>) {
        self.0.store(served);
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Files {
    /// Returns where the certificate of a server with this configuration is.
    ///
    /// # Errors
    ///
    /// As [`Files::find`].
    pub(crate) fn of(config: &Config) -> Result<Self, String> {
        if config.acme.agree {
            return Ok(acme::certificate(config));
        }
        // Certificates and their folders have names of DNS.
        Self::find(&config.tls, &config.domain.ascii_domain())
    }

    /// Returns where the certificate for `domain` is, by the settings.
    ///
    /// # Errors
    ///
    /// A sentence when the settings name none, or the folder has none for the domain.
    pub(crate) fn find(tls: &settings::Tls, domain: &str) -> Result<Self, String> {
        if let (Some(chain), Some(key)) = (&tls.certificate, &tls.key) {
            return Ok(Self { chain: chain.clone(), key: key.clone() });
        }
        let Some(folder) = &tls.certificates else {
            return Err("no certificate is configured; clients need one to know that they talk \
                        to the right server"
                .to_owned());
        };
        // One folder for each certificate, named after its domain, or the files themselves.
        let candidates = [folder.join(domain), folder.clone()];
        let whole = |folder: &PathBuf| folder.join("fullchain.pem").exists();
        let found = candidates.into_iter().find(whole).ok_or_else(|| {
            let told = folder.display();
            format!("{told} has no folder {domain} with fullchain.pem and privkey.pem in it")
        })?;
        Ok(Self { chain: found.join("fullchain.pem"), key: found.join("privkey.pem") })
    }
}

impl Served {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    ///
    /// A sentence that names the file and says what is wrong with it.
    pub(crate) fn open(files: &Files) -> Result<Self, String> {
        let chain = read_chain(&files.chain)?;
        let key = read_key(&files.key)?;
        let (chain_path, key_path) = (files.chain.display(), files.key.display());
        let first = chain.first().ok_or_else(|| format!("{chain_path} holds no certificate"))?;
        let leaf = Leaf::read(first).map_err(|why| format!("{chain_path}: {why}"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified =
            CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!(
                        "the key in {key_path} does not belong to the certificate in {chain_path}"
                    )
                }
                error => format!("{key_path} cannot be used: {error}"),
            })?;
        let certified = Arc::new(certified);
        let resolver = || Arc::new(SingleCertAndKey::from(Arc::clone(&certified)));
        Ok(Self {
            starttls: Arc::new(configure(resolver(), &[])?),
            direct: Arc::new(configure(resolver(), &[ALPN_CLIENT])?),
            peers: PeerTls::new(&certified)?,
            certified,
            end_point: leaf.end_point,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            names: leaf.names,
        })
    }

    /// Tells whether clients will accept it for `domain`.
    pub(crate) fn covers(&self, domain: &str) -> bool {
        self.names.iter().any(|name| matches(name, domain))
    }

    /// Returns how many whole days it stays valid; negative when it expired.
    pub(crate) fn days_left(&self) -> i64 {
        self.not_after.saturating_sub(crate::clock::now_seconds()).div_euclid(86_400)
    }
}

/// RFC 9525 §6.3: a wildcard stands for exactly one label, the leftmost.
fn matches(name: &str, domain: &str) -> bool {
    let same = |a: &str, b: &str| a.trim_end_matches('.').eq_ignore_ascii_case(b);
    match (name.strip_prefix("*."), domain.split_once('.')) {
        (Some(name), Some((_, parent))) => same(name, parent),
        _ => same(name, domain),
    }
}

/// Returns what the server does in TLS, with certificates of `resolver`.
///
/// # Errors
///
/// A sentence.
pub(crate) fn configure(
    resolver: Arc<dyn ResolvesServerCert>,
    alpn: &[&[u8]],
) -> Result<ServerConfig, String> {
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&versions)
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    // No resumption of TLS sessions: nothing to keep for a client that is gone, and each login
    // has a key exchange of its own.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(path, "certificate")?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| broken(path, &error))?;
    if chain.is_empty() {
        let is_key = PrivateKeyDer::from_pem_slice(&bytes).is_ok();
        let also = if is_key { ", but a private key; are the two files swapped?" } else { "" };
        return Err(format!("{} holds no certificate in PEM form{also}", path.display()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read(path, "private key")?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            let text = String::from_utf8_lossy(&bytes);
            let why = if text.contains("ENCRYPTED PRIVATE KEY") {
                "holds a key that needs a passphrase; write it without: openssl pkey -in … -out …"
            } else if text.contains("BEGIN CERTIFICATE") {
                "holds a certificate and no private key; are the two files swapped?"
            } else {
                "holds no private key in PEM form"
            };
            format!("{} {why}", path.display())
        }
        error => broken(path, &error),
    })
}

fn broken(path: &Path, error: &pem::Error) -> String {
    format!("{} is damaged: {error}", path.display())
}

/// Reads a file of PEM or the like.
///
/// # Errors
///
/// A sentence that calls it `what`.
pub(crate) fn read(path: &Path, what: &str) -> Result<Vec<u8>, String> {
    // A chain with its key is some kilobytes.
    const BYTES_MAX: u64 = 1 << 20;
    let told = path.display();
    let refused = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no {what} at {told}"),
        std::io::ErrorKind::PermissionDenied => {
            format!("the {what} at {told} may not be read by the user that runs calypte")
        }
        _ => format!("the {what} at {told} cannot be read: {error}"),
    };
    let size = std::fs::metadata(path).map_err(refused)?.len();
    if size > BYTES_MAX {
        return Err(format!("{told} is larger than 1 MiB and surely no {what}"));
    }
    std::fs::read(path).map_err(refused)
}

/// Returns what an operator should look at, though the server can start.
pub(crate) fn warnings(
    served: &Served,
    files: &Files,
    domain: Option<&str>,
) -> Vec<(String, String)> {
    use std::os::unix::fs::PermissionsExt;

    let mut warnings = Vec::new();
    let chain = files.chain.display();
    if let Some(domain) = domain.filter(|domain| !served.covers(domain)) {
        let names = served.names.join(", ");
        let names = if names.is_empty() { "nothing".to_owned() } else { names };
        let what = format!("the certificate in {chain} is for {names} and not for {domain}");
        warnings.push((what, "clients will refuse to connect".to_owned()));
    }
    let date = crate::clock::date(served.not_after);
    match served.days_left() {
        ..0 => {
            let what = format!("the certificate in {chain} expired on {date}");
            warnings.push((what, "clients refuse it; renew it now".to_owned()));
        }
        days @ 0..14 => {
            let what = format!("the certificate in {chain} expires on {date}, in {days} days");
            warnings.push((what, "renew it; the server picks it up by itself".to_owned()));
        }
        _ => {}
    }
    let mode = std::fs::metadata(&files.key).map_or(0, |facts| facts.permissions().mode());
    if mode & 0o007 != 0 {
        let what = format!("everybody on this machine can read the key in {}", files.key.display());
        warnings.push((what, format!("chmod 0640 {}", files.key.display())));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_label() {
        assert!(matches("chat.example", "chat.example"));
        assert!(matches("Chat.Example.", "chat.example"));
        assert!(matches("*.example", "chat.example"));
        assert!(!matches("*.example", "a.chat.example"));
        assert!(!matches("*.example", "example"));
        assert!(!matches("c*.example", "chat.example"));
    }
}
