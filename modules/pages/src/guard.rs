//! Which requests are answered at all.

use calypte::prelude::*;

/// Tells whether a form came from a page of ours.
///
/// Browsers of today say it with `Sec-Fetch-Site`. With `Referrer-Policy: no-referrer` older ones say
/// `Origin: null`, which tells nothing; there the key of the form counts alone.
pub(crate) fn is_from_us(asked: &Asked<'_>, url: Option<&str>) -> bool {
    if let Some(site) = asked.header("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = asked.header("origin").filter(|origin| *origin != "null") else {
        return true;
    };
    let host = asked.header("host").map(|host| format!("https://{host}"));
    host.as_deref() == Some(origin) || url == Some(origin)
}

/// Tells whether a form came in the only way in which ours come.
pub(crate) fn is_form(asked: &Asked<'_>) -> bool {
    let kind = asked.header("content-type").unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim() == "application/x-www-form-urlencoded"
}
