//! Whether `[acme]` fits what else the file says.

use toml::Spanned;
use toml::de::DeTable;

use super::problem::Problem;
use super::schema::Notes;
use super::settings::{Acme, Challenge, Listen, Tls};

/// Notes what does not fit.
pub(super) fn check(
    acme: &Acme,
    tls: &Tls,
    listen: &Listen,
    document: &DeTable<'_>,
    notes: &mut Notes,
) {
    let Some(at) = document.get("acme").map(Spanned::span) else { return };
    let mut refuse = |key: &str, what: &str, hint: &str| {
        let place = notes.place(key);
        let place = if place.is_empty() { at.clone() } else { place };
        notes.problems.push(Problem::error(place, what, hint));
    };
    if !acme.agree {
        let hint = "read the terms of the authority, then write: agree = true";
        refuse("acme.agree", "[acme] does nothing without your agreement", hint);
    }
    if tls.certificate.is_some() || tls.key.is_some() || tls.certificates.is_some() {
        let hint = "leave out one of them; the certificate of [acme] is kept in `data`";
        refuse("acme.agree", "both [tls] and [acme] give a certificate", hint);
    }
    for name in &acme.names {
        let is_name = name.contains('.') && name.split('.').all(calypte::config::is_label);
        if !is_name {
            let what = format!("{name} is no name that a certificate can be asked for");
            refuse("acme.names", &what, "write names such as \"rooms.example.org\"");
        }
    }
    match acme.challenge {
        Challenge::Http01 if listen.http_acme.is_empty() => refuse(
            "listen.http_acme",
            "the challenge http-01 needs `listen.http_acme`",
            "write http_acme = [\"0.0.0.0:80\", \"[::]:80\"] under [listen]",
        ),
        Challenge::TlsAlpn01 if listen.https.is_empty() && listen.alpn.is_empty() => refuse(
            "acme.challenge",
            "the challenge tls-alpn-01 needs `listen.https`",
            "write https = [\"0.0.0.0:443\", \"[::]:443\"] under [listen]",
        ),
        _ => {}
    }
}
