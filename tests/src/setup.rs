//! What is decided about a server before it starts.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::program::{MODULES, library};
use crate::{Authority, DOMAIN, Form, Kind, Lab};

/// How a server is to be.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    pub(crate) form: Form,
    settings: Vec<(String, String)>,
    raw: String,
    pub(crate) accounts: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    data: Option<PathBuf>,
    pub(crate) domain: String,
    /// Where it listens on the usual ports, in a lab.
    pub(crate) address: Option<IpAddr>,
    pub(crate) authority: Option<Arc<Authority>>,
    pub(crate) kind: Kind,
}

impl Setup {
    /// Returns the usual one: two shards, accounts `ana` and `ben`, all modules.
    #[must_use]
    pub fn new() -> Self {
        let accounts = vec!["ana".to_owned(), "ben".to_owned()];
        let domain = DOMAIN.to_owned();
        let setup = Self { form: Form::wanted(), accounts, domain, ..Self::default() };
        setup
            .set("login.iterations", "4096")
            .set("server.shards", "2")
            .set("server.goodbye", "\"2 seconds\"")
            .set("limits.connections_per_address", "20000")
            .set("log.level", "\"debug\"")
    }

    /// Returns one for a domain of a lab, with its servers published on the usual ports of `address`.
    /// It trusts the authority and the names of the lab.
    #[must_use]
    pub fn within(lab: &Lab, domain: &str, address: IpAddr) -> Self {
        lab.publish(domain, address);
        Self {
            domain: domain.to_owned(),
            address: Some(address),
            authority: Some(Arc::clone(lab.authority())),
            ..Self::new()
        }
        .set("federation.trust", &format!("[{:?}]", lab.ca()))
        .set("federation.dnssec_anchor", &format!("{:?}", lab.anchor()))
    }

    /// Shows another kind of certificate.
    #[must_use]
    pub fn shows(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Chooses how the modules come into the program.
    #[must_use]
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Sets a key of the configuration, such as `limits.queue` to `"64 KiB"` (TOML, with quotes).
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.retain(|(have, _)| have != key);
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds tables to the end of the configuration as they are.
    #[must_use]
    pub fn raw(mut self, toml: &str) -> Self {
        self.raw.push_str(toml);
        self
    }

    /// Puts these tables at the end of the configuration in place of those before.
    #[must_use]
    pub fn only(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.raw);
        self
    }

    /// Adds an account. Its password is `password`.
    #[must_use]
    pub fn account(mut self, name: &str) -> Self {
        self.accounts.push(name.to_owned());
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps the data somewhere else than in the folder of the server.
    #[must_use]
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// Returns where other servers come, in a lab.
    fn for_servers(&self, port: u16) -> String {
        let at = self.address.map(|address| std::net::SocketAddr::new(address, port));
        at.map_or_else(|| "[]".to_owned(), |at| format!("[{:?}]", at.to_string()))
    }

    fn has(&self, key: &str) -> bool {
        self.settings.iter().any(|(have, _)| have == key)
    }

    /// Returns the whole configuration.
    pub(crate) fn toml(&self, ports: [u16; 3]) -> String {
        let [c2s, c2s_tls, http] = ports;
        let data = self.data.clone().unwrap_or_else(|| "data".into());
        let domain = &self.domain;
        let mut text = format!("domain = \"{domain}\"\ndata = {:?}\n", data.display().to_string());
        let listen = |local: u16, usual: u16| match self.address {
            Some(address) => {
                format!("[{:?}]", std::net::SocketAddr::new(address, usual).to_string())
            }
            None => format!("[\"127.0.0.1:{local}\"]"),
        };
        let own = [
            ("tls.certificate", "\"cert.pem\"".to_owned()),
            ("tls.key", "\"key.pem\"".to_owned()),
            ("listen.c2s", listen(c2s, 5222)),
            ("listen.c2s_tls", listen(c2s_tls, 5223)),
            ("listen.http", format!("\"127.0.0.1:{http}\"")),
            ("listen.s2s", self.for_servers(5269)),
            ("listen.s2s_tls", self.for_servers(5270)),
        ];
        // One comes from an authority instead.
        let is_kept = |key: &str| !key.starts_with("tls.") || !self.has("acme.agree");
        let own = own.iter().map(|(key, value)| (*key, value.as_str()));
        let own = own.filter(|(key, _)| is_kept(key));
        let settings = self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        // Keys with their tables in front are TOML as well, as long as no table has begun.
        for (key, value) in own.chain(settings) {
            text.push_str(&format!("{key} = {value}\n"));
        }
        if self.form == Form::Slim {
            for module in MODULES {
                text.push_str(&load(&library(module)));
            }
        }
        text + &self.raw
    }
}

/// Returns the `[[modules.load]]` of a file, with its hash and every right there is.
#[must_use]
pub fn load(file: &Path) -> String {
    let hash = blake3::hash(&std::fs::read(file).unwrap());
    format!(
        "[[modules.load]]\nfile = {file:?}\nblake3 = \"{hash}\"\ngrant = [\"messages\", \
         \"presence\", \"requests\", \"sessions\", \"logins\", \"addresses\", \"stream\", \
         \"http\", \"peers\", \"looks\", \"commands\", \"strangers\", \"accounts\", \"files\"]\n"
    )
}
