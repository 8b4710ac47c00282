//! XMPP addresses (RFC 7622).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use precis_profiles::precis_core::profile::Profile;
use precis_profiles::{OpaqueString, UsernameCaseMapped};

/// The longest part of an address, in bytes (RFC 7622 §3.1).
const PART_BYTES_MAX: usize = 1023;

/// What a local part may not hold, beyond what PRECIS forbids (RFC 7622 §3.3.1).
const NOT_IN_LOCAL: &[u8] = b"\"&'/:<>@ ";

/// An XMPP address: `localpart@domainpart/resourcepart`, in its prepared form.
///
/// `Display` gives the address as it goes on the wire. `Debug` hides the local part, so a log line
/// that uses `?jid` tells operators where traffic goes and not who talks to whom.
#[derive(Clone)]
pub struct Jid {
    text: Arc<str>,
    marks: Marks,
}

/// A borrowed [`Jid`].
#[derive(Clone, Copy)]
pub struct JidRef<'a> {
    text: &'a str,
    marks: Marks,
}

/// Where the parts of an address meet.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Marks {
    /// The place of `@`; 0 when there is no local part.
    at: u16,
    /// The place of `/`, or the length when there is no resource.
    slash: u16,
}

/// A text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadJid;

impl fmt::Display for BadJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an XMPP address (expected name@domain or name@domain/resource)")
    }
}

impl std::error::Error for BadJid {}

impl Jid {
    /// Reads and prepares an address.
    ///
    /// # Errors
    ///
    /// [`BadJid`] when a part is empty, longer than 1023 bytes, or holds what RFC 7622 forbids.
    pub fn parse(text: &str) -> Result<Self, BadJid> {
        // §3.2. The resource is cut off first: it may hold `@` and `/`.
        let (front, resource) = match text.split_once('/') {
            Some((front, resource)) => (front, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match front.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, front),
        };
        let local = local.map(prepare_local).transpose()?;
        let domain = prepare_domain(domain)?;
        let resource = resource.map(prepare_resource).transpose()?;
        Ok(Self::keep(text, local.as_ref(), &domain, resource.as_ref())
            .unwrap_or_else(|| Self::join(local.as_deref(), &domain, resource.as_deref())))
    }

    /// Takes `text` as it is, when preparing its parts changed nothing: nearly always.
    #[expect(clippy::ptr_arg, reason = "whether a part is borrowed tells whether it changed")]
    fn keep(
        text: &str,
        local: Option<&Cow<'_, str>>,
        domain: &Cow<'_, str>,
        resource: Option<&Cow<'_, str>>,
    ) -> Option<Self> {
        let is_same = |part: &&Cow<'_, str>| matches!(part, Cow::Borrowed(_));
        let bytes = |part: &Cow<'_, str>| part.len().saturating_add(1);
        let at = local.map_or(0, |local| local.len());
        let slash = local.map_or(0, bytes).saturating_add(domain.len());
        // A domain may have lost its last dot.
        let whole = slash.saturating_add(resource.map_or(0, bytes));
        let is_kept = [local, Some(domain), resource].iter().flatten().all(is_same);
        if !is_kept || whole != text.len() {
            return None;
        }
        let marks = Marks { at: u16::try_from(at).ok()?, slash: u16::try_from(slash).ok()? };
        Some(Self { text: text.into(), marks })
    }

    fn join(local: Option<&str>, domain: &str, resource: Option<&str>) -> Self {
        let mut text = String::with_capacity(
            local.map_or(0, str::len) + domain.len() + resource.map_or(0, str::len) + 2,
        );
        if let Some(local) = local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(domain);
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        let marks = Marks::find(&text);
        Self { text: text.into(), marks }
    }

    /// Returns the address of a domain or account without its resource.
    #[must_use]
    pub fn bare(&self) -> Self {
        if self.is_bare() { self.clone() } else { self.as_ref().bare().to_jid() }
    }

    /// Returns the bare address with `resource`.
    ///
    /// # Errors
    ///
    /// [`BadJid`] when `resource` is empty, too long or holds control characters.
    pub fn with_resource(&self, resource: &str) -> Result<Self, BadJid> {
        let resource = prepare_resource(resource)?;
        Ok(Self::join(self.local(), self.domain(), Some(&resource)))
    }

    /// Returns the address of the domain part.
    #[must_use]
    pub fn to_domain(&self) -> Self {
        Self::join(None, self.domain(), None)
    }

    /// Borrows it.
    #[must_use]
    pub fn as_ref(&self) -> JidRef<'_> {
        JidRef { text: &self.text, marks: self.marks }
    }

    /// Returns the part before `@`.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        self.as_ref().local()
    }

    /// Returns the domain part.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.as_ref().domain()
    }

    /// Returns the domain part as it stands in certificates and in DNS: `xn--…` for labels that are
    /// not ASCII.
    #[must_use]
    pub fn ascii_domain(&self) -> Cow<'_, str> {
        idna::domain_to_ascii(self.domain())
            .map_or_else(|_| Cow::Borrowed(self.domain()), Cow::Owned)
    }

    /// Returns the part after `/`.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.as_ref().resource()
    }

    /// Tells whether there is no resource.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.as_ref().is_bare()
    }

    /// Returns the address as it goes on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether both are the same account or domain, whatever their resources.
    #[must_use]
    pub fn same_bare(&self, other: &Self) -> bool {
        self.as_ref().bare_str() == other.as_ref().bare_str()
    }
}

impl<'a> JidRef<'a> {
    /// Borrows a text that is a prepared address already, as [`Jid`] writes it.
    ///
    /// Other text does no harm: the parts are then whatever stands between the marks.
    #[must_use]
    pub fn trusted(text: &'a str) -> Self {
        Self { text, marks: Marks::find(text) }
    }

    /// Returns the part before `@`.
    #[must_use]
    pub fn local(self) -> Option<&'a str> {
        if self.marks.at == 0 { None } else { self.text.get(..usize::from(self.marks.at)) }
    }

    /// Returns the domain part.
    #[must_use]
    pub fn domain(self) -> &'a str {
        let start = if self.marks.at == 0 { 0 } else { usize::from(self.marks.at) + 1 };
        self.text.get(start..usize::from(self.marks.slash)).unwrap_or("")
    }

    /// Returns the part after `/`.
    #[must_use]
    pub fn resource(self) -> Option<&'a str> {
        self.text.get(usize::from(self.marks.slash) + 1..)
    }

    /// Tells whether there is no resource.
    #[must_use]
    pub fn is_bare(self) -> bool {
        usize::from(self.marks.slash) == self.text.len()
    }

    /// Returns the bare address as text.
    #[must_use]
    pub fn bare_str(self) -> &'a str {
        self.text.get(..usize::from(self.marks.slash)).unwrap_or("")
    }

    /// Returns the bare address.
    #[must_use]
    pub fn bare(self) -> Self {
        Self { text: self.bare_str(), marks: self.marks }
    }

    /// Returns the whole address as text.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.text
    }

    /// Returns an owned copy.
    #[must_use]
    pub fn to_jid(self) -> Jid {
        Jid { text: self.text.into(), marks: self.marks }
    }
}

impl Marks {
    fn find(text: &str) -> Self {
        let slash = text.find('/').unwrap_or(text.len());
        let at = text.get(..slash).and_then(|front| front.find('@')).unwrap_or(0);
        // Addresses are at most 3071 bytes; longer text is cut rather than wrapped.
        let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Self { at: short(at), slash: short(slash) }
    }
}

fn prepare_local(text: &str) -> Result<Cow<'_, str>, BadJid> {
    let is_plain = |b: u8| b.is_ascii_graphic() && !NOT_IN_LOCAL.contains(&b);
    let prepared = if text.is_ascii() {
        if !text.bytes().all(is_plain) {
            return Err(BadJid);
        }
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        }
    } else {
        let prepared = UsernameCaseMapped::new().enforce(text.to_owned()).map_err(|_| BadJid)?;
        if prepared.bytes().any(|b| NOT_IN_LOCAL.contains(&b)) {
            return Err(BadJid);
        }
        Cow::Owned(prepared.into_owned())
    };
    within_bounds(prepared)
}

fn prepare_domain(text: &str) -> Result<Cow<'_, str>, BadJid> {
    // §3.2. A trailing dot is not part of the name.
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    // §3.2.1. A name has one form, that of people; in the other its labels begin with `xn--`.
    let is_encoded = text.as_bytes().windows(4).any(|four| four.eq_ignore_ascii_case(b"xn--"));
    let prepared = if text.is_ascii() && !is_encoded {
        let is_ipv6 = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .is_some_and(|t| t.parse::<std::net::Ipv6Addr>().is_ok());
        let empty_label = text.split('.').any(str::is_empty);
        if !is_ipv6 && (!text.bytes().all(is_name) || empty_label) {
            return Err(BadJid);
        }
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        }
    } else {
        let (unicode, outcome) = idna::domain_to_unicode(text);
        outcome.map_err(|_| BadJid)?;
        let empty_label = unicode.split('.').any(str::is_empty);
        if empty_label || unicode.bytes().any(|b| b.is_ascii() && !is_name(b)) {
            return Err(BadJid);
        }
        Cow::Owned(unicode)
    };
    within_bounds(prepared)
}

fn prepare_resource(text: &str) -> Result<Cow<'_, str>, BadJid> {
    let prepared = if text.is_ascii() {
        if text.bytes().any(|b| b.is_ascii_control()) {
            return Err(BadJid);
        }
        Cow::Borrowed(text)
    } else {
        let prepared = OpaqueString::new().enforce(text.to_owned()).map_err(|_| BadJid)?;
        Cow::Owned(prepared.into_owned())
    };
    within_bounds(prepared)
}

fn within_bounds(part: Cow<'_, str>) -> Result<Cow<'_, str>, BadJid> {
    if part.is_empty() || part.len() > PART_BYTES_MAX { Err(BadJid) } else { Ok(part) }
}

impl FromStr for Jid {
    type Err = BadJid;

    fn from_str(text: &str) -> Result<Self, BadJid> {
        Self::parse(text)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref(), f)
    }
}

impl fmt::Display for JidRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Debug for JidRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.local().is_some() {
            f.write_str("…@")?;
        }
        f.write_str(self.domain())?;
        if self.resource().is_some() { f.write_str("/…") } else { Ok(()) }
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Jid {}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for Jid {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialEq for JidRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for JidRef<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Jid::parse(text).ok().as_ref().map(Jid::as_str), expected, "{text}");
    }

    #[test]
    fn prepares() {
        check("Romeo@Montague.EXAMPLE/Orchard", Some("romeo@montague.example/Orchard"));
        check("montague.example.", Some("montague.example"));
        check("romeo@montague.example/a@b/c", Some("romeo@montague.example/a@b/c"));
        check("ΠΑΝ@example.org", Some("παν@example.org"));
        check("bücher.example", Some("bücher.example"));
        check("a@xn--bcher-kva.Example/x", Some("a@bücher.example/x"));
        check("a@XN--BCHER-KVA.example", Some("a@bücher.example"));
        check("a@[::1]/x", Some("a@[::1]/x"));
    }

    #[test]
    fn parts_are_found_whether_the_text_was_kept_or_not() {
        for (text, local, domain, resource) in [
            ("a@b/c@d/e", Some("a"), "b", Some("c@d/e")),
            ("A@b/c", Some("a"), "b", Some("c")),
            ("a@b./c", Some("a"), "b", Some("c")),
            ("b/c", None, "b", Some("c")),
            ("B/c", None, "b", Some("c")),
            ("a@b", Some("a"), "b", None),
            ("b", None, "b", None),
        ] {
            let jid = Jid::parse(text).unwrap();
            assert_eq!((jid.local(), jid.domain(), jid.resource()), (local, domain, resource));
        }
    }

    #[test]
    fn refuses() {
        for text in [
            "a@ü..x",
            "a@xn--a.example",
            "",
            "@a",
            "a@",
            "a@b/",
            "a b@c",
            "a@b c",
            "a@b..c",
            "<a>@b",
            "a&b@c",
            "a@b/\u{7}",
        ] {
            check(text, None);
        }
        check(&format!("{}@a", "x".repeat(1024)), None);
        check(&format!("{}@a", "x".repeat(1023)), Some(format!("{}@a", "x".repeat(1023)).as_str()));
    }

    #[test]
    fn preparing_twice_changes_nothing() {
        for text in ["Romeo@Montague.example/Orchard", "ΠΑΝ@Bücher.example/ü"] {
            let once = Jid::parse(text).unwrap();
            assert_eq!(Jid::parse(once.as_str()).unwrap(), once);
        }
    }

    #[test]
    fn has_parts() {
        let jid = Jid::parse("romeo@montague.example/orchard").unwrap();
        assert_eq!(jid.local(), Some("romeo"));
        assert_eq!(jid.domain(), "montague.example");
        assert_eq!(jid.ascii_domain(), "montague.example");
        assert_eq!(Jid::parse("a@bücher.example").unwrap().ascii_domain(), "xn--bcher-kva.example");
        assert_eq!(jid.resource(), Some("orchard"));
        assert_eq!(jid.bare().as_str(), "romeo@montague.example");
        assert!(jid.bare().is_bare() && !jid.is_bare());
        assert_eq!(jid.bare().resource(), None);
        assert_eq!(jid.to_domain().as_str(), "montague.example");
    }

    #[test]
    fn debug_hides_who() {
        let jid = Jid::parse("romeo@montague.example/orchard").unwrap();
        assert_eq!(format!("{jid:?}"), "…@montague.example/…");
    }
}
