//! Counts of what became of streams: for the operator, and once a day for the peer (as TLSRPT,
//! RFC 8460). No addresses, no times of single streams.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::cache::PEERS;
use crate::{NS, RequiredTls};

/// By domain and word: `ok`, or why not.
const COUNTS: Table<(String, String), Number> = Table::domain("required_tls.counts");
/// What peers told us of streams with us, by their domain.
const REPORTS: Table<str, Told> = Table::domain("required_tls.reports");

/// Reasons in one report.
const REASONS_MAX: usize = 32;
/// The longest word.
const WORD_BYTES_MAX: usize = 32;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Number(u64);

record!(Number, 1);

/// A peer's last report.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Told {
    at_ms: u64,
    counts: Vec<(String, u64)>,
}

record!(Told, 1);

impl RequiredTls {
    /// Counts what became of a stream with a domain of which we hold a policy.
    pub(crate) fn note_outcome(&self, domain: &str, word: &str, cx: &mut Context<'_, '_>) -> Done {
        let key = (domain.to_owned(), word.to_owned());
        let Number(count) = cx.get(&COUNTS, &key)?.unwrap_or_default();
        cx.put(&COUNTS, &key, &Number(count.saturating_add(1)))
    }

    /// Tells each peer what became of streams with it, and begins to count anew.
    pub(crate) fn send_reports(&self, cx: &mut Context<'_, '_>) -> Done {
        let all = cx.all(&COUNTS, 100_000)?;
        let mut reports: Vec<(String, Element)> = Vec::new();
        for (key, Number(count)) in &all {
            let (domain, word) = key;
            let counted = Element::new(NS, "n").with_attr("of", word).with_text(&count.to_string());
            match reports.last_mut().filter(|(last, _)| last == domain) {
                Some((_, report)) => report.push_child(counted),
                None => {
                    let report = Element::new(NS, "report").with_child(counted);
                    reports.push((domain.clone(), report));
                }
            }
            cx.delete(&COUNTS, key)?;
        }
        for (domain, report) in reports.into_iter().filter(|_| self.0.report) {
            let peer = cx.get(&PEERS, domain.as_str())?;
            let policy = peer.filter(|peer| peer.is_enforced(cx.now_ms())).and_then(|p| p.signed());
            let Some(to) = policy.map(|policy| policy.report).filter(|to| !to.is_empty()) else {
                continue;
            };
            let iq = Element::new(ns::CLIENT, "iq").with_attr("type", "set").with_attr("to", &to);
            cx.request(&iq.with_child(report), b"report")?;
        }
        Ok(())
    }

    /// Takes a peer's report.
    pub(crate) fn take_report(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let from = request.from.ok_or(StanzaError::NOT_AUTHORIZED)?;
        let domain = from.domain();
        let is_known = from.local().is_none() && cx.get(&PEERS, domain)?.is_some();
        if !is_known {
            return Err(StanzaError::SERVICE_UNAVAILABLE);
        }
        let mut counts = Vec::new();
        for counted in request.query()?.children().filter(|node| node.is(NS, "n")) {
            let of = counted.attr("of").ok_or(StanzaError::BAD_REQUEST)?;
            let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let number = counted.text().parse().map_err(|_| StanzaError::BAD_REQUEST)?;
            if of.len() > WORD_BYTES_MAX || !of.chars().all(is_word) || counts.len() >= REASONS_MAX
            {
                return Err(StanzaError::BAD_REQUEST);
            }
            counts.push((of.into_owned(), number));
        }
        cx.put(&REPORTS, domain, &Told { at_ms: cx.now_ms(), counts })?;
        cx.count("reports", 1)?;
        Ok(Reply::Empty)
    }

    /// Lists what we counted since the last report, and what peers told us: domain, whose count,
    /// word, number.
    pub(crate) fn counted(
        &self,
        cx: &mut Context<'_, '_>,
    ) -> Result<Vec<(String, &'static str, String, u64)>, StanzaError> {
        let own = cx.all(&COUNTS, 100_000)?.into_iter();
        let mut all: Vec<_> =
            own.map(|((domain, word), Number(count))| (domain, "ours", word, count)).collect();
        for (domain, told) in cx.all(&REPORTS, 100_000)? {
            for (word, count) in told.counts {
                all.push((domain.clone(), "theirs", word, count));
            }
        }
        Ok(all)
    }
}

/// Forgets what was counted and told of a domain.
pub(crate) fn forget(domain: &str, cx: &mut Context<'_, '_>) -> Done {
    for (key, _) in cx.all(&COUNTS, 100_000)? {
        if key.0 == domain {
            cx.delete(&COUNTS, &key)?;
        }
    }
    cx.delete(&REPORTS, domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        assert_eq!(COUNTS.encode(&Number(9)), b"\x01\x09");
        let told = Told { at_ms: 5, counts: vec![("ok".into(), 6)] };
        assert_eq!(REPORTS.encode(&told), b"\x01\x05\x01\x02ok\x06");
    }
}
