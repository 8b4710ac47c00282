//! The names that only XMPP puts into certificates.

use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};
use x509_parser::prelude::{GeneralName, X509Certificate};

/// id-on-dnsSRV (RFC 4985 §2).
const SRV_NAME: &str = "1.3.6.1.5.5.7.8.7";
/// id-on-xmppAddr (RFC 6120 §13.7.1.4).
const XMPP_ADDRESS: &str = "1.3.6.1.5.5.7.8.5";
/// The service that a certificate for another server has to name (RFC 6120 §13.7.1.2.1).
const SERVICE: &str = "_xmpp-server.";

/// Tells whether an SRVName or xmppAddr of the certificate is `domain`, given as A-labels.
pub(super) fn is_for(certificate: &X509Certificate<'_>, domain: &str) -> bool {
    let mut names = others(certificate);
    names.any(|name| match name {
        Other::Srv(name) => {
            let prefix = name.split_at_checked(SERVICE.len());
            prefix.is_some_and(|(service, name)| {
                service.eq_ignore_ascii_case(SERVICE) && is_same(name, domain)
            })
        }
        Other::Xmpp(address) => is_same(address, domain),
    })
}

/// Compares without wildcards; a name with anything that DNS does not know is nobody's.
fn is_same(name: &str, domain: &str) -> bool {
    crate::federation::names::ascii(name).is_some_and(|name| name == domain)
}

/// Returns all names of a certificate that can be domains, as an operator reads them.
pub(super) fn listed(certificate: &X509Certificate<'_>) -> Vec<String> {
    let dns = general_names(certificate).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let others = others(certificate).map(|name| match name {
        Other::Srv(name) | Other::Xmpp(name) => name.to_owned(),
    });
    dns.chain(others).collect()
}

enum Other<'a> {
    Srv(&'a str),
    Xmpp(&'a str),
}

fn others<'a>(certificate: &'a X509Certificate<'_>) -> impl Iterator<Item = Other<'a>> {
    general_names(certificate).filter_map(|name| {
        let GeneralName::OtherName(kind, value) = name else { return None };
        match kind.to_id_string().as_str() {
            SRV_NAME => string(value, Tag::Ia5String).map(Other::Srv),
            XMPP_ADDRESS => string(value, Tag::Utf8String).map(Other::Xmpp),
            _ => None,
        }
    })
}

fn general_names<'a>(
    certificate: &'a X509Certificate<'_>,
) -> impl Iterator<Item = &'a GeneralName<'a>> {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.into_iter().flat_map(|names| names.value.general_names.iter())
}

/// Reads `[0] EXPLICIT` with one string of the kind `tag`.
fn string(value: &[u8], tag: Tag) -> Option<&str> {
    let (rest, outer) = Any::from_der(value).ok()?;
    if outer.class() != Class::ContextSpecific || outer.tag() != Tag(0) || !rest.is_empty() {
        return None;
    }
    let (rest, inner) = Any::from_der(outer.data).ok()?;
    let is_wanted = inner.class() == Class::Universal && inner.tag() == tag && rest.is_empty();
    std::str::from_utf8(inner.data).ok().filter(|_| is_wanted)
}
