//! Mechanisms of SASL.

use crypto::Hash;

use crate::scram::Verifiers;
use crate::{Channel, Settings};

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Scram {
        hash: Hash,
        is_bound: bool,
    },
    Plain,
    /// A hashed token, with the type of channel binding.
    Token {
        binding: Option<&'static str>,
    },
}

/// All of them, best first.
const ALL: [(Mechanism, &str); 7] = [
    (Mechanism::Scram { hash: Hash::Sha512, is_bound: true }, "SCRAM-SHA-512-PLUS"),
    (Mechanism::Scram { hash: Hash::Sha256, is_bound: true }, "SCRAM-SHA-256-PLUS"),
    (Mechanism::Scram { hash: Hash::Sha1, is_bound: true }, "SCRAM-SHA-1-PLUS"),
    (Mechanism::Scram { hash: Hash::Sha512, is_bound: false }, "SCRAM-SHA-512"),
    (Mechanism::Scram { hash: Hash::Sha256, is_bound: false }, "SCRAM-SHA-256"),
    (Mechanism::Scram { hash: Hash::Sha1, is_bound: false }, "SCRAM-SHA-1"),
    (Mechanism::Plain, "PLAIN"),
];

/// Those for tokens, best first.
const TOKENS: [(Mechanism, &str); 3] = [
    (Mechanism::Token { binding: Some("tls-exporter") }, "HT-SHA-256-EXPR"),
    (Mechanism::Token { binding: Some("tls-server-end-point") }, "HT-SHA-256-ENDP"),
    (Mechanism::Token { binding: None }, "HT-SHA-256-NONE"),
];

/// In which forms a password is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forms {
    sha1: bool,
    sha256: bool,
    sha512: bool,
}

impl Forms {
    pub(crate) const ALL: Self = Self { sha1: true, sha256: true, sha512: true };

    pub(crate) fn of(known: &Verifiers) -> Self {
        let Verifiers { sha1, sha256, sha512 } = known;
        let own = Self { sha1: sha1.is_some(), sha256: sha256.is_some(), sha512: sha512.is_some() };
        if own == (Self { sha1: false, sha256: false, sha512: false }) { Self::ALL } else { own }
    }

    fn has(self, hash: Hash) -> bool {
        match hash {
            Hash::Sha1 => self.sha1,
            Hash::Sha256 => self.sha256,
            Hash::Sha512 => self.sha512,
        }
    }
}

impl Mechanism {
    /// Tells whether its proof includes the channel.
    pub(crate) fn is_bound(self) -> bool {
        match self {
            Self::Scram { is_bound, .. } => is_bound,
            Self::Plain => false,
            Self::Token { binding } => binding.is_some(),
        }
    }
}

/// Returns what is offered on a channel for tokens, best first (XEP-0484 §3.1).
pub(crate) fn for_tokens<'a>(
    settings: &'a Settings,
    channel: &'a Channel,
) -> impl Iterator<Item = (Mechanism, &'static str)> + 'a {
    TOKENS.into_iter().filter(move |(mechanism, _)| {
        settings.takes_tokens
            && match (mechanism, channel) {
                (_, Channel::Plain) => false,
                (Mechanism::Token { binding: Some(name) }, Channel::Tls(facts)) => {
                    facts.binding(name).is_some()
                }
                (_, Channel::Tls(_)) => true,
            }
    })
}

/// Returns what is offered on a channel, best first. Nothing without TLS.
pub(crate) fn offered(
    settings: &Settings,
    channel: &Channel,
    forms: Forms,
) -> impl Iterator<Item = (Mechanism, &'static str)> {
    let (is_tls, can_bind) = match channel {
        Channel::Plain => (false, false),
        Channel::Tls(facts) => (true, !facts.bindings().is_empty()),
    };
    let plain = settings.plain_allowed;
    ALL.into_iter().filter(move |(mechanism, _)| {
        is_tls
            && match mechanism {
                Mechanism::Scram { is_bound, hash } => forms.has(*hash) && (!is_bound || can_bind),
                Mechanism::Plain => plain,
                Mechanism::Token { .. } => false,
            }
    })
}

/// Returns what the downgrade protection hashes (XEP-0474 §5.1).
pub(crate) fn protected_list(settings: &Settings, channel: &Channel, forms: Forms) -> String {
    let mut names: Vec<_> = offered(settings, channel, forms).map(|(_, name)| name).collect();
    names.sort_unstable();
    let mut list = names.join("\x1e");
    let mut bindings = match channel {
        Channel::Plain => Vec::new(),
        Channel::Tls(facts) => facts.bindings(),
    };
    if !bindings.is_empty() {
        bindings.sort_unstable();
        list.push('\x1f');
        list.push_str(&bindings.join("\x1e"));
    }
    list
}
