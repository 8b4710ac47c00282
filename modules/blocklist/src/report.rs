//! Reports of abuse (XEP-0377): kept for the operator, who reads and clears them by a command.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;

use crate::Blocklist;

/// What was reported, by time and chance.
const REPORTS: Table<(u64, u64), Report> = Table::domain("blocklist.reports");
/// The longest text of a report, in letters.
const TEXT_MAX: usize = 500;
/// The most messages that a report names.
const NAMED_MAX: usize = 10;
/// Reports shown at a time.
const SHOWN_MAX: u32 = 100;

/// A report.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Report {
    /// Who reports.
    by: String,
    /// Who is reported.
    of: String,
    /// `spam`, `abuse`, or what else the client wrote.
    reason: String,
    /// What the user wrote.
    text: String,
    /// The names of messages in the reporter's archive (XEP-0359).
    messages: Vec<String>,
}

record!(Report, 1);

/// Keeps what is reported of an address.
pub(crate) fn keep(jid: &Jid, report: Node<'_>, max: u32, cx: &mut Context<'_, '_>) -> Done {
    cx.count("reports", 1)?;
    if max == 0 {
        return Ok(());
    }
    let reason = report.attr("reason").unwrap_or_default();
    let reason = reason.strip_prefix("urn:xmpp:reporting:").unwrap_or(&reason);
    let text = report.child_text(ns::REPORTING, "text").unwrap_or_default();
    let names = report.children().filter(|child| child.is(ns::STANZA_ID, "stanza-id"));
    let names = names.filter_map(|name| Some(line(&name.attr("id")?))).take(NAMED_MAX);
    let report = Report {
        by: cx.owner().as_str().to_owned(),
        of: jid.as_str().to_owned(),
        reason: line(reason),
        text: line(&text),
        messages: names.collect(),
    };
    let chance = cx.random(8)?.try_into().map_err(|_| StanzaError::INTERNAL)?;
    let range = Range { to: None, limit: max, reverse: false };
    let known = cx.scan(&REPORTS, &[], &range)?;
    if let Some((oldest, _)) = known.first().filter(|_| known.len() >= to_usize(max)) {
        cx.delete(&REPORTS, oldest)?;
    }
    cx.put(&REPORTS, &(cx.now_ms(), u64::from_le_bytes(chance)), &report)
}

impl Blocklist {
    /// Shows the oldest reports, or clears all that were made up to a time that was shown.
    pub(crate) fn reports(
        &self,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Vec<u8>, StanzaError> {
        let rows = cx.scan(&REPORTS, &[], &Range { to: None, limit: SHOWN_MAX, reverse: false })?;
        if let Some(until) = asked.field("clear") {
            let until = xep::delay::read_date_time(until).ok_or_else(|| {
                StanzaError::BAD_REQUEST.with_text("clear takes a time as it is shown")
            })?;
            let cleared: Vec<_> =
                rows.iter().map(|(key, _)| *key).filter(|(ms, _)| *ms <= until).collect();
            for key in &cleared {
                cx.delete(&REPORTS, key)?;
            }
            return Ok(format!("{} cleared", cleared.len()).into_bytes());
        }
        let mut out = String::new();
        for ((ms, _), Report { by, of, reason, text, messages }) in rows {
            let time = xep::delay::date_time(ms);
            out.push_str(&format!("{time} {by} reports {of}: {reason}"));
            if !text.is_empty() {
                out.push_str(&format!(", \"{text}\""));
            }
            if !messages.is_empty() {
                out.push_str(&format!(", messages {}", messages.join(" ")));
            }
            out.push('\n');
        }
        let text = if out.is_empty() { "no reports" } else { out.trim_end() };
        Ok(text.as_bytes().to_vec())
    }
}

/// Returns a text that stands in one line of the answer and is no longer than needed.
fn line(text: &str) -> String {
    let text = text.trim().chars().take(TEXT_MAX);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_bytes() {
        let report = Report {
            by: "a@b".to_owned(),
            of: "c@d".to_owned(),
            reason: "spam".to_owned(),
            text: String::new(),
            messages: vec!["1".to_owned()],
        };
        assert_eq!(REPORTS.encode(&report), b"\x01\x03a@b\x03c@d\x04spam\0\x01\x011");
        assert_eq!(REPORTS.name, "blocklist.reports");
        let blocked = tables::Blocked { since_ms: 300 };
        assert_eq!(tables::BLOCKED.encode(&blocked), b"\x01\xfb\x2c\x01");
    }
}
