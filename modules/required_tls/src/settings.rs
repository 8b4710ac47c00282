//! The operator's settings.

use calypte::config::Span;
use calypte::prelude::*;
use serde::Deserialize;

use crate::policy::{MAX_AGE_MAX, MAX_AGE_MIN, is_endpoint, is_name};

/// The operator's settings, `[modules.required_tls]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long others remember our policy after they saw it last.
    pub max_age: Span,
    /// Where others connect first.
    pub endpoints: Vec<String>,
    /// Whether a new peer's key is compared with what its DNS and its web page say.
    pub confirm: bool,
    /// After how long without a valid certificate a plain peer may begin anew.
    pub ratchet_break: Span,
    /// Whether peers with a policy are told once a day how many streams failed, and why.
    pub report: bool,
    /// Domains with which we compare what we see.
    pub witnesses: Vec<String>,
    /// The ports that witnesses look at.
    pub observe_ports: Vec<u16>,
    /// Whether a client that once proved its channel has to go on doing so.
    pub clients: bool,
    /// Whether people are told, once for each client, that it does not prove its channel.
    pub tell_unbound: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_age: Span { ms: 180 * 86_400_000 },
            endpoints: Vec::new(),
            confirm: true,
            ratchet_break: Span { ms: 30 * 86_400_000 },
            report: true,
            witnesses: Vec::new(),
            observe_ports: vec![5222, 5223, 5269, 5270],
            clients: true,
            tell_unbound: false,
        }
    }
}

pub(crate) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "max_age",
        kind: "time",
        default: "\"180 days\"",
        about: "How long others remember our policy after they saw it last, 1 hour to 365 days.",
    },
    ConfigKey {
        name: "endpoints",
        kind: "list",
        default: "[]",
        about: "Where other servers connect first, such as \"xmpps://xmpp.example.org:5270\"; at \
                most 8.",
    },
    ConfigKey {
        name: "confirm",
        kind: "yes/no",
        default: "true",
        about: "Whether a new peer's key is compared with what its own DNS and web page say.",
    },
    ConfigKey {
        name: "ratchet_break",
        kind: "time",
        default: "\"30 days\"",
        about: "After how long without a valid certificate, on at least 5 days, a server that once \
                had one, and has no signed policy, may begin anew.",
    },
    ConfigKey {
        name: "report",
        kind: "yes/no",
        default: "true",
        about: "Whether peers with a policy are told once a day how many streams with them failed \
                and why; counts only.",
    },
    ConfigKey {
        name: "witnesses",
        kind: "list",
        default: "[]",
        about: "Domains with which we compare what we see: they may ask us which key we know of a \
                domain, and look at our ports, as we do with theirs; at most 16.",
    },
    ConfigKey {
        name: "observe_ports",
        kind: "list",
        default: "[5222, 5223, 5269, 5270]",
        about: "The ports of ours that witnesses look at, once an hour; at most 8.",
    },
    ConfigKey {
        name: "clients",
        kind: "yes/no",
        default: "true",
        about: "Whether a client that once logged in with channel binding has to go on doing so.",
    },
    ConfigKey {
        name: "tell_unbound",
        kind: "yes/no",
        default: "false",
        about: "Whether people are told, once for each client, that it cannot detect interception.",
    },
];

impl Config {
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let seconds = self.max_age.ms / 1000;
        let range = u64::from(MAX_AGE_MIN)..=u64::from(MAX_AGE_MAX);
        let wrong = |name: &&String| !is_name(name);
        let problem = if !range.contains(&seconds) {
            "max_age must be from 1 hour to 365 days".to_owned()
        } else if self.ratchet_break.ms < 86_400_000 {
            "ratchet_break must be at least 1 day".to_owned()
        } else if self.endpoints.len() > 8 {
            "endpoints must be at most 8".to_owned()
        } else if let Some(one) = self.endpoints.iter().find(|one| !is_endpoint(one)) {
            format!("endpoints has {one}, which is not like xmpps://xmpp.example.org:5270")
        } else if self.witnesses.len() > 16 {
            "witnesses must be at most 16".to_owned()
        } else if let Some(one) = self.witnesses.iter().find(wrong) {
            format!("witnesses has {one}, which is no domain in lower case")
        } else if self.observe_ports.len() > 8 || self.observe_ports.contains(&0) {
            "observe_ports must be at most 8 numbers from 1 to 65535".to_owned()
        } else {
            return Ok(());
        };
        Err(SetupError(problem))
    }
}
