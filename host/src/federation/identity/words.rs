//! What is wrong with a certificate, as an operator reads it. Names in certificates come from
//! strangers: they are cut short and shown without control characters.

use webpki::Error;
use x509_parser::prelude::{GeneralName, ParsedExtension, X509Certificate};

use super::alternative;
use crate::clock::date;

/// How many names of a certificate are told, and how many characters of each.
const NAMES_MAX: usize = 5;
const NAME_CHARS_MAX: usize = 80;

/// Says why no way leads from the certificate to an authority that we trust.
pub(super) fn chain(
    error: &Error,
    leaf: &X509Certificate<'_>,
    above: usize,
    now_seconds: i64,
) -> String {
    if let Err(why) = validity(leaf, now_seconds) {
        return why;
    }
    if leaf.issuer().as_raw() == leaf.subject().as_raw() {
        return "the certificate is signed by itself and by no authority".to_owned();
    }
    match error {
        Error::UnknownIssuer if above == 0 && names_issuer_file(leaf) => {
            let issuer = clean(&leaf.issuer().to_string());
            format!("the server does not send its intermediate certificate (that of {issuer})")
        }
        Error::UnknownIssuer => {
            let issuer = clean(&leaf.issuer().to_string());
            format!("the certificate is from {issuer}, which leads to no authority that we trust")
        }
        Error::CertExpired { not_after, .. } => {
            format!("the certificate of its authority expired on {}", day(not_after.as_secs()))
        }
        Error::CertNotValidYet { not_before, .. } => {
            let day = day(not_before.as_secs());
            format!("the certificate of its authority is not valid before {day}")
        }
        Error::CaUsedAsEndEntity => {
            "the certificate is that of an authority and not of a server".to_owned()
        }
        Error::RequiredEkuNotFoundContext(_) => {
            "the certificate may be used neither by servers nor by clients".to_owned()
        }
        Error::NameConstraintViolation => {
            "the certificate's authority may not vouch for its names".to_owned()
        }
        error => format!("the certificate is not acceptable: {error:?}"),
    }
}

/// Checks the dates of the certificate itself.
pub(super) fn validity(leaf: &X509Certificate<'_>, now_seconds: i64) -> Result<(), String> {
    let (from, to) =
        (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    if now_seconds > to {
        Err(format!("the certificate expired on {}", date(to)))
    } else if now_seconds < from {
        Err(format!("the certificate is not valid before {}", date(from)))
    } else {
        Ok(())
    }
}

/// Says for whom the certificate is instead of `wanted`.
pub(super) fn names(leaf: &X509Certificate<'_>, wanted: &str, is_constrained: bool) -> String {
    let names = alternative::listed(leaf);
    let told: Vec<_> = names.iter().take(NAMES_MAX).map(|name| clean(name)).collect();
    let more = if names.len() > NAMES_MAX { " and others" } else { "" };
    if told.is_empty() {
        return match leaf.subject().iter_common_name().next() {
            Some(_) => format!(
                "the certificate names no domain, so not {wanted} either (a common name is none)"
            ),
            None => format!("the certificate names no domain, so not {wanted} either"),
        };
    }
    let told = told.join(", ");
    let why = if is_constrained {
        " (its authority may only vouch for some names, and so only by dNSName)"
    } else {
        ""
    };
    format!("the certificate is for {told}{more} and not for {wanted}{why}")
}

/// Tells whether the certificate says where that of its authority can be had, as those of public
/// authorities do: then the one between is missing rather than the authority unknown.
fn names_issuer_file(leaf: &X509Certificate<'_>) -> bool {
    leaf.extensions().iter().any(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => access.accessdescs.iter().any(|place| {
            // id-ad-caIssuers
            place.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2"
                && matches!(place.access_location, GeneralName::URI(_))
        }),
        _ => false,
    })
}

fn day(seconds: u64) -> String {
    date(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn clean(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c });
    let mut shown: String = shown.take(NAME_CHARS_MAX).collect();
    if text.chars().count() > NAME_CHARS_MAX {
        shown.push('…');
    }
    shown
}
