//! Who the server federates with: the values of `[federation]`, what they permit, and what cannot be
//! meant.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;
use xmpp::Jid;

use super::problem::Problem;
use super::schema::Notes;
use super::settings::Federation;
use super::value::{Domain, Value, Wrong, choice};

/// Which other domains there are for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    /// All that are not blocked.
    Everyone,
    /// Those that are listed.
    Listed,
    /// None.
    Nobody,
}

impl Value for With {
    const KIND: &'static str = "\"everyone\", \"listed\" or \"nobody\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let words =
            [("everyone", Self::Everyone), ("listed", Self::Listed), ("nobody", Self::Nobody)];
        choice(value, &words)
    }
}

/// Who may prove a name by dialback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prover {
    /// Every domain.
    All,
    /// This domain and those below it.
    Domain(Jid),
}

impl Value for Prover {
    const KIND: &'static str = "a domain, or \"*\" for every domain";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        if value.get_ref().as_str() == Some("*") {
            return Ok(Self::All);
        }
        Domain::read(value).map(|domain| Self::Domain(domain.0))
    }
}

/// The address of a DNS server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameServer(pub(crate) SocketAddr);

impl fmt::Debug for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Value for NameServer {
    const KIND: &'static str = "the address of a DNS server, such as \"127.0.0.1\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let text = String::read(value)?;
        let parsed = match text.parse::<IpAddr>() {
            Ok(ip) => Ok(SocketAddr::new(ip, 53)),
            Err(_) => text.parse(),
        };
        parsed.map(Self).map_err(|_| Wrong {
            at: None,
            is: format!("{text:?}"),
            hint: "names are not looked up; write the number of the address".to_owned(),
        })
    }
}

impl Federation {
    /// Tells whether the operator lets us talk with `domain`, in the form of addresses.
    pub(crate) fn permits(&self, domain: &str) -> bool {
        let among = |list: &[Domain]| list.iter().any(|entry| covers(entry.0.domain(), domain));
        match self.with {
            With::Everyone => !among(&self.block),
            With::Listed => among(&self.allow) && !among(&self.block),
            With::Nobody => false,
        }
    }

    /// Tells whether `domain`, in the form of addresses, may prove itself by dialback.
    pub(crate) fn permits_dialback(&self, domain: &str) -> bool {
        self.dialback.iter().any(|entry| match entry {
            Prover::All => true,
            Prover::Domain(entry) => covers(entry.domain(), domain),
        })
    }
}

/// Tells whether `domain` is `entry` or below it.
fn covers(entry: &str, domain: &str) -> bool {
    let above = domain.strip_suffix(entry);
    above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Returns it with paths as they are meant from `base`.
pub(crate) fn based(federation: Federation, base: &Path) -> Federation {
    Federation {
        trust: federation.trust.iter().map(|path| base.join(path)).collect(),
        dnssec_anchor: federation.dnssec_anchor.map(|path| base.join(path)),
        ..federation
    }
}

/// Notes what cannot be meant in `federation` for the server of `own`.
pub(crate) fn check(federation: &Federation, own: Option<&Jid>, notes: &mut Notes) {
    let Federation { with, allow, block, dialback, .. } = federation;
    let mut found = Vec::new();
    let mut error = |at: Range<usize>, what: String, hint: &str| {
        found.push(Problem::error(at, what, hint));
    };
    let place = |key: &str| notes.place(&format!("federation.{key}"));
    match with {
        With::Everyone if !allow.is_empty() => {
            let what = "`federation.allow` restricts nothing while `with` is \"everyone\"";
            error(place("allow"), what.to_owned(), "write with = \"listed\", or leave it out");
        }
        With::Nobody if !allow.is_empty() => {
            let what = "`federation.allow` has no effect while `with` is \"nobody\"";
            error(place("allow"), what.to_owned(), "write with = \"listed\", or leave it out");
        }
        _ => {}
    }
    for Domain(domain) in allow.iter().filter(|domain| block.contains(domain)) {
        let what = format!("{domain} is both allowed and blocked");
        error(place("block"), what, "take it out of one of the two lists");
    }
    let provers = dialback.iter().filter_map(|entry| match entry {
        Prover::All => None,
        Prover::Domain(domain) => Some(domain),
    });
    let listed = allow.iter().map(|Domain(domain)| ("allow", domain));
    let listed = listed.chain(block.iter().map(|Domain(domain)| ("block", domain)));
    let listed = listed.chain(provers.map(|domain| ("dialback", domain)));
    for (key, domain) in listed {
        if own.is_some_and(|own| own.domain() == domain.domain()) {
            let what = format!("`federation.{key}` names {domain}, the domain of this server");
            error(place(key), what, "these lists are for other domains");
        }
    }
    if *with == With::Listed && allow.is_empty() {
        let what = "`federation.allow` is empty, so no other server is talked to";
        let hint = "name domains, or write with = \"nobody\"";
        found.push(Problem::warning(place("with"), what, hint));
    }
    if dialback.contains(&Prover::All) {
        let what = "every domain may prove itself by dialback";
        let hint = "whoever controls the DNS or the network of a domain can then speak for it; \
                    better name the domains that have no valid certificate";
        found.push(Problem::warning(place("dialback"), what, hint));
    }
    notes.problems.extend(found);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, Draft};

    fn read(federation: &str) -> Config {
        let text = format!("domain = \"chat.example\"\n[federation]\n{federation}");
        Draft::read(Path::new("calypte.toml"), text).finish().unwrap().0
    }

    #[track_caller]
    fn permits(federation: &str, expected: &[(&str, bool)]) {
        let config = read(federation);
        for (domain, is_permitted) in expected {
            assert_eq!(config.federation.permits(domain), *is_permitted, "{domain}");
        }
    }

    #[test]
    fn lists_hold_for_what_is_below() {
        permits("", &[("a.example", true)]);
        permits("with = \"nobody\"", &[("a.example", false)]);
        permits(
            "block = [\"bad.example\"]",
            &[("bad.example", false), ("rooms.bad.example", false), ("notbad.example", true)],
        );
        permits(
            "with = \"listed\"\nallow = [\"b\u{FC}cher.example\"]\nblock = [\"x.b\u{FC}cher.example\"]",
            &[
                ("b\u{FC}cher.example", true),
                ("rooms.b\u{FC}cher.example", true),
                ("x.b\u{FC}cher.example", false),
                ("a.example", false),
            ],
        );
    }

    #[test]
    fn dialback_is_for_those_who_are_named() {
        let config = read("dialback = [\"old.example\"]");
        assert!(config.federation.permits_dialback("rooms.old.example"));
        assert!(!config.federation.permits_dialback("a.example"));
        assert!(read("dialback = [\"*\"]").federation.permits_dialback("a.example"));
    }

    #[test]
    fn dns_servers_need_no_port() {
        let config = read("resolver = [\"127.0.0.1\", \"[::1]:5300\"]");
        let told = format!("{:?}", config.federation.resolver);
        assert_eq!(told, "[127.0.0.1:53, [::1]:5300]");
    }
}
