//! The operator's settings.

use std::fmt;

use calypte::config::Span;
use calypte::prelude::*;
use serde::de::{Deserialize, Deserializer, Error};

/// The operator's settings, `[modules.extdisco]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The services.
    pub services: Vec<Service>,
    /// How long credentials are good for that are made from a secret.
    pub ttl: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self { services: Vec::new(), ttl: Span { ms: 86_400_000 } }
    }
}

/// A service outside of XMPP.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// What it is: `turn`, `turns`, `stun`, `stuns` or another word.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name or address.
    pub host: String,
    /// Its port; that of the protocol when it is left out.
    pub port: Option<u16>,
    /// `udp` or `tcp`; that of the protocol when it is left out.
    pub transport: Option<String>,
    /// What people are shown.
    pub name: Option<String>,
    /// A name that is the same for everybody.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Hidden>,
    /// What the service shares with this server, to make credentials of.
    pub secret: Option<Hidden>,
}

/// A text that nobody is shown.
#[derive(Clone)]
pub struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What serde says of a wrong value would show it.
        let text = String::deserialize(deserializer);
        text.map(Self).map_err(|_| D::Error::custom("a secret or password must be a text"))
    }
}

pub(crate) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "services",
        kind: "list",
        default: "[]",
        about: "The services: tables with type, host, and where needed port, transport, name, \
                username and password, or the secret that is shared with a TURN server.",
    },
    ConfigKey {
        name: "ttl",
        kind: "time",
        default: "\"1 day\"",
        about: "How long credentials made from a secret are good for, 5 minutes to 30 days.",
    },
];

/// The most services.
const SERVICES_MAX: usize = 64;
/// How long credentials may be good for, in milliseconds.
const TTL_MS: std::ops::RangeInclusive<u64> = 300_000..=30 * 86_400_000;

impl Config {
    /// Puts in what is known of the protocols, and checks the rest.
    pub(crate) fn complete(mut self) -> Result<Self, SetupError> {
        if self.services.len() > SERVICES_MAX {
            return Err(SetupError(format!("services has more than {SERVICES_MAX} entries")));
        }
        if !TTL_MS.contains(&self.ttl.ms) {
            return Err(SetupError("ttl must be from 5 minutes to 30 days".to_owned()));
        }
        for (index, service) in self.services.iter_mut().enumerate() {
            service.complete().map_err(|why| {
                SetupError(format!("entry {} of services {why}", index.saturating_add(1)))
            })?;
        }
        Ok(self)
    }
}

impl Service {
    fn complete(&mut self) -> Result<(), &'static str> {
        let (port, transport) = match self.kind.as_str() {
            "stun" | "turn" => (Some(3478), Some("udp")),
            "stuns" | "turns" => (Some(5349), Some("tcp")),
            _ => (None, None),
        };
        self.port = self.port.or(port);
        self.transport = self.transport.take().or_else(|| transport.map(str::to_owned));
        if !is_word(&self.kind) {
            return Err("has a type that is no word of letters, digits and -");
        }
        if self.host.is_empty() || self.host.len() > 255 || !self.host.bytes().all(is_of_host) {
            return Err("has a host that is neither a domain name nor an IP address");
        }
        if self.port == Some(0) {
            return Err("has port 0");
        }
        if self.transport.as_deref().is_some_and(|transport| !matches!(transport, "udp" | "tcp")) {
            return Err("has a transport that is neither \"udp\" nor \"tcp\"");
        }
        if self.secret.as_ref().is_some_and(|secret| secret.0.is_empty()) {
            return Err("has an empty secret, with which anybody could make credentials");
        }
        if self.secret.is_some() && self.password.is_some() {
            return Err("has both a password and a secret to make passwords of");
        }
        if self.password.is_some() != self.username.is_some() && self.secret.is_none() {
            return Err("has one of username and password, and not the other");
        }
        let texts = [self.name.as_deref(), self.username.as_deref()];
        let is_fine = |text: &str| text.len() <= 255 && !text.chars().any(char::is_control);
        if texts.into_iter().flatten().any(|text| !is_fine(text)) {
            return Err("has a name of more than 255 bytes, or one that cannot be written");
        }
        Ok(())
    }

    /// Tells whether one needs credentials for it.
    pub(crate) fn is_restricted(&self) -> bool {
        self.secret.is_some() || self.password.is_some()
    }
}

fn is_word(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 32
        && text.chars().all(is_letter)
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Config, String> {
        let config: Config = serde_json::from_str(json).map_err(|error| error.to_string())?;
        config.complete().map_err(|error| error.0)
    }

    #[test]
    fn knows_ports_and_transports() {
        let config = read(
            r#"{"services": [{"type": "turn", "host": "a"}, {"type": "turns", "host": "::1"},
                {"type": "ftp", "host": "a", "port": 20}]}"#,
        );
        let config = config.unwrap();
        let shown: Vec<_> =
            config.services.iter().map(|one| (one.port, one.transport.as_deref())).collect();
        let expected = [(Some(3478), Some("udp")), (Some(5349), Some("tcp")), (Some(20), None)];
        assert_eq!(shown, expected);
    }

    #[test]
    fn says_what_is_wrong_and_shows_no_secret() {
        for (service, words) in [
            (r#"{"type": "turn", "host": "a", "secret": 12345}"#, "must be a text"),
            (r#"{"type": "turn", "host": "a", "password": ["hush"]}"#, "must be a text"),
            (r#"{"type": "turn", "host": "a", "secret": ""}"#, "an empty secret"),
            (r#"{"type": "turn", "host": "a", "secret": "hush", "port": 0}"#, "port 0"),
            (r#"{"type": "turn", "host": "a", "password": "hush"}"#, "one of username"),
            (r#"{"type": "turn", "host": "a", "username": "a"}"#, "one of username"),
            (r#"{"type": "turn", "host": "a b", "secret": "hush"}"#, "neither a domain name"),
            (r#"{"type": "", "host": "a", "secret": "hush"}"#, "no word"),
            (r#"{"type": "turn", "host": "a", "transport": "sctp"}"#, "neither \"udp\""),
            (r#"{"type": "turn", "host": "a", "secret": "hush", "password": "hush"}"#, "both"),
        ] {
            let why = read(&format!(r#"{{"services": [{service}]}}"#)).unwrap_err();
            assert!(why.contains(words), "{service}: {why}");
            assert!(!why.contains("hush") && !why.contains("12345"), "{why}");
        }
        assert!(read(r#"{"ttl": "1 minute"}"#).unwrap_err().contains("5 minutes"));
        let hidden = format!("{:?}", Hidden("hush".to_owned()));
        assert!(!hidden.contains("hush"));
    }
}
