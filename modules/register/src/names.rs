//! Which names strangers can take.

use calypte::prelude::*;

use crate::Config;

/// Names that people take for the operator's, and those that others expect mail under (RFC 2142).
pub(crate) const RESERVED: &[&str] = &[
    "abuse",
    "admin",
    "administrator",
    "calypte",
    "help",
    "hostmaster",
    "info",
    "mailerdaemon",
    "moderator",
    "noc",
    "nobody",
    "noreply",
    "operator",
    "postmaster",
    "root",
    "security",
    "server",
    "staff",
    "support",
    "sysadmin",
    "system",
    "webmaster",
    "xmpp",
];

/// Returns the address that a stranger's name stands for, prepared as every address is: so what looks
/// the same after that is the same.
///
/// # Errors
///
/// `jid-malformed` for what can be no name, `not-acceptable` and `conflict` for what may not be one.
pub(crate) fn address(name: &str, domain: &str, config: &Config) -> Result<Jid, StanzaError> {
    if name.contains(['@', '/']) {
        return Err(StanzaError::JID_MALFORMED);
    }
    let jid = Jid::parse(&format!("{name}@{domain}")).map_err(|_| StanzaError::JID_MALFORMED)?;
    let (Some(local), true) = (jid.local(), jid.is_bare() && jid.domain() == domain) else {
        return Err(StanzaError::JID_MALFORMED);
    };
    let bound = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let is_long = local.len() > bound(config.name_max);
    if is_long || local.chars().count() < bound(config.name_min) {
        let (least, most) = (config.name_min, config.name_max);
        let text = format!("a name has at least {least} characters and at most {most} bytes");
        return Err(StanzaError::NOT_ACCEPTABLE.with_text(text));
    }
    // `.Admin-` must not pass for `admin`.
    let bones = |text: &str| -> String {
        text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect()
    };
    let wanted = bones(local);
    let own = config.reserved.iter().any(|name| bones(name) == wanted);
    if own || wanted.is_empty() || RESERVED.contains(&wanted.as_str()) {
        return Err(StanzaError::CONFLICT.with_text("this name is not to be had"));
    }
    Ok(jid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Result<&str, StanzaError>) {
        let config = Config { reserved: vec!["Capulet".to_owned()], ..Config::default() };
        let got = address(name, "capulet.example", &config);
        let got = got.as_ref().map(|jid| jid.as_str()).map_err(|error| error.condition);
        assert_eq!(got, expected.map_err(|error| error.condition), "{name}");
    }

    #[test]
    fn names_are_what_addresses_make_of_them() {
        check("Juliet", Ok("juliet@capulet.example"));
        // Full-width letters are the same name.
        check("\u{ff4a}uliet", Ok("juliet@capulet.example"));
        check("juliet.2", Ok("juliet.2@capulet.example"));
    }

    #[test]
    fn tricks_are_refused() {
        let malformed = || Err(StanzaError::JID_MALFORMED);
        for name in ["", "a b", "a@b", "juliet@capulet.example", "a/b", "a\u{200d}b", "\u{202e}a"] {
            check(name, malformed());
        }
        check("j", Err(StanzaError::NOT_ACCEPTABLE));
        check(&"j".repeat(65), Err(StanzaError::NOT_ACCEPTABLE));
        for name in ["admin", "Admin", "ad.min", "-root-", "ROOT", "\u{ff52}oot", "capulet", ".."] {
            check(name, Err(StanzaError::CONFLICT));
        }
    }
}
