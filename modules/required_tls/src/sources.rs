//! What a domain's own DNS and web page say of its key.

use calypte::prelude::*;

use crate::cache::{self, Fit, Peer, Source};
use crate::policy::{Key, Signed};
use crate::{RequiredTls, alarms};

/// The most bytes of a page: a signed policy in base64url.
const PAGE_BYTES_MAX: u32 = 12_000;

impl RequiredTls {
    /// Asks a domain's DNS and web page which key it has.
    pub(crate) fn ask_sources(&self, domain: &str, cx: &mut Context<'_, '_>) -> Done {
        if !self.0.confirm {
            return Ok(());
        }
        let name = format!("_calypte.{domain}");
        try_look(&Look::Txt { name }, &format!("txt {domain}"), cx)?;
        self.ask_page(domain, cx)
    }

    fn ask_page(&self, domain: &str, cx: &mut Context<'_, '_>) -> Done {
        let url = format!("https://{domain}/.well-known/calypte-policy");
        let look = Look::Https { url, limit: PAGE_BYTES_MAX };
        try_look(&look, &format!("web {domain}"), cx)
    }

    /// Half of the time for which a policy may be remembered is over: fetches it, in case that there
    /// was no stream.
    pub(crate) fn refresh(&self, domain: &str, cx: &mut Context<'_, '_>) -> Done {
        let Some(peer) = cx.get(&cache::PEERS, domain)? else { return Ok(()) };
        let half = peer.max_age_ms / 2;
        let due_ms = peer.fresh_ms.saturating_add(half);
        if !peer.is_enforced(cx.now_ms()) {
            // It is seen again with the next stream, if at all.
            return cx.wake_at(cx.now_ms().saturating_add(peer.max_age_ms), &refresh_of(domain));
        }
        if cx.now_ms() < due_ms {
            return cx.wake_at(due_ms, &refresh_of(domain));
        }
        if peer.state(cx.now_ms()) == "STALE" {
            cx.warn(&format!("the policy of {domain} was not seen for long; it is still demanded"));
        }
        cx.wake_at(cx.now_ms().saturating_add(half.max(3_600_000)), &refresh_of(domain))?;
        if self.0.confirm { self.ask_page(domain, cx) } else { Ok(()) }
    }

    /// The host found something.
    pub(crate) fn looked(
        &self,
        cookie: &[u8],
        found: Result<&[u8], &str>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let cookie = std::str::from_utf8(cookie).map_err(|_| StanzaError::INTERNAL)?;
        let (kind, rest) = cookie.split_once(' ').ok_or(StanzaError::INTERNAL)?;
        match (kind, found) {
            ("spki", found) => self.observed(rest, found, cx),
            // Most domains have neither; that says nothing.
            (_, Err(_)) => Ok(()),
            ("txt", Ok(bytes)) => self.take_dns(rest, bytes, cx),
            (_, Ok(bytes)) => self.take_page(rest, bytes, cx),
        }
    }

    fn take_dns(&self, domain: &str, bytes: &[u8], cx: &mut Context<'_, '_>) -> Done {
        let Some(dk) = key_in(bytes) else { return Ok(()) };
        let now_ms = cx.now_ms();
        match cx.get(&cache::PEERS, domain)? {
            None => cache::keep(domain, &Peer::pinned(dk, Source::Dns, now_ms), cx),
            Some(mut peer) if peer.dk == dk => {
                peer.vouch(Source::Dns);
                cache::keep(domain, &peer, cx)
            }
            // A rotation that DNS does not show yet is none: both are right for a while.
            Some(peer) if peer.next == Some(dk.hash()) => Ok(()),
            Some(_) => alarms::raise(domain, "dns", &format!("DNS says {dk}"), cx),
        }
    }

    fn take_page(&self, domain: &str, bytes: &[u8], cx: &mut Context<'_, '_>) -> Done {
        let text = std::str::from_utf8(bytes).ok();
        let signed = text.and_then(|text| Signed::read_text(text).ok());
        let signed = signed.filter(|signed| signed.policy.covers(domain));
        let Some(signed) = signed else { return cx.count("unread_pages", 1) };
        let (held, now_ms) = (cx.get(&cache::PEERS, domain)?, cx.now_ms());
        let Some(mut peer) = held else {
            return cache::keep(domain, &Peer::new(&signed, Source::Web, now_ms), cx);
        };
        match cache::weigh(Some(&peer), &signed) {
            Ok(Fit::Behind | Fit::First) => return Ok(()),
            Ok(Fit::Same) => peer.fresh_ms = now_ms,
            Ok(Fit::Newer | Fit::Rotated) => peer.take(&signed, now_ms),
            Err(_) => {
                let evidence = format!("the page says {}", signed.policy.dk);
                return alarms::raise(domain, "web", &evidence, cx);
            }
        }
        peer.vouch(Source::Web);
        cache::keep(domain, &peer, cx)
    }
}

/// Has something looked up, if the host does not look up too much already: what is found is welcome,
/// and nothing fails without it.
pub(crate) fn try_look(look: &Look, cookie: &str, cx: &mut Context<'_, '_>) -> Done {
    match cx.look(look, cookie.as_bytes()) {
        Err(error) if error == StanzaError::RESOURCE_CONSTRAINT => cx.count("looks_dropped", 1),
        other => other,
    }
}

/// Returns the name of the time at which a policy is fetched anew.
pub(crate) fn refresh_of(domain: &str) -> String {
    format!("refresh {domain}")
}

/// Returns the key in texts of DNS, when DNSSEC says that they are right and there is one only.
fn key_in(bytes: &[u8]) -> Option<Key> {
    let (is_secure, mut rest) = bytes.split_first()?;
    let mut keys = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let (text, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        keys.extend(std::str::from_utf8(text).ok().and_then(read_text));
        rest = behind;
    }
    match (is_secure, keys.as_slice()) {
        (1, [key]) => Some(*key),
        _ => None,
    }
}

/// Reads `v=0; s=2026112501; dk=…`.
fn read_text(text: &str) -> Option<Key> {
    let mut fields = text.split(';').filter_map(|field| field.trim().split_once('='));
    (fields.next() == Some(("v", "0"))).then_some(())?;
    Key::read(fields.find(|(name, _)| *name == "dk")?.1)
}

/// Returns the text of DNS for a policy.
pub(crate) fn dns_text(signed: &Signed) -> String {
    format!("v=0; s={}; dk={}", signed.policy.serial, signed.policy.dk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(is_secure: u8, all: &[&str]) -> Vec<u8> {
        let mut out = vec![is_secure];
        for text in all {
            out.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
            out.extend(text.as_bytes());
        }
        out
    }

    #[test]
    fn dns_counts_when_it_is_secure_and_clear() {
        let key = Key([7; 32]);
        let text = format!("v=0; s=1; dk={key}");
        assert_eq!(key_in(&texts(1, &["other", &text])), Some(key));
        assert_eq!(key_in(&texts(0, &[&text])), None);
        assert_eq!(key_in(&texts(1, &[&text, &text.replace('B', "C")])), None);
        assert_eq!(key_in(&texts(1, &[&text.replace("v=0", "v=1")])), None);
        assert_eq!(key_in(&texts(1, &["v=0; dk=short"])), None);
        assert_eq!(key_in(&texts(1, &[&text])[..20]), None);
        assert_eq!(key_in(b""), None);
    }
}
