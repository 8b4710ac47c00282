//! Reports of abuse (XEP-0377): kept for the operator, who reads and clears them by a command.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;

use crate::Blocklist;

/// What was reported, by time and chance.
const REPORTS: Table<(u64, u64), Report> = Table::domain("blocklist.reports");
/// How much an account reported lately; one row.
const REPORTED: Table<str, Reported> = Table::account("blocklist.reported");
/// The key of the row.
const REPORTED_KEY: &str = "reported";
/// The most reports of a request.
pub(crate) const REQUEST_MAX: usize = 10;
/// The most reports of an account that are kept of one day.
const DAY_MAX: u32 = 20;
const DAY_MS: u64 = 24 * 3_600_000;
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

/// How many reports of an account were kept on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Reported {
    /// The day, counted from 1970.
    day: u64,
    count: u32,
}

record!(Reported, 1);

/// Keeps what is reported of addresses, as far as the account has not reported enough for the day.
pub(crate) fn keep(reports: &[(&Jid, Node<'_>)], max: u32, cx: &mut Context<'_, '_>) -> Done {
    if reports.is_empty() {
        return Ok(());
    }
    cx.count("reports", u64::try_from(reports.len()).unwrap_or(0))?;
    let day = cx.now_ms() / DAY_MS;
    let reported = cx.get(&REPORTED, REPORTED_KEY)?.filter(|reported| reported.day == day);
    let mut reported = reported.unwrap_or(Reported { day, count: 0 });
    let left = to_usize(DAY_MAX.saturating_sub(reported.count).min(max));
    let kept = reports.get(..left.min(reports.len())).unwrap_or_default();
    if kept.is_empty() {
        return Ok(());
    }
    make_room(kept.len(), max, cx)?;
    for (jid, report) in kept {
        let report = read(jid, *report, cx);
        let chance = cx.random(8)?.try_into().map_err(|_| StanzaError::INTERNAL)?;
        cx.put(&REPORTS, &(cx.now_ms(), u64::from_le_bytes(chance)), &report)?;
        reported.count = reported.count.saturating_add(1);
    }
    cx.put(&REPORTED, REPORTED_KEY, &reported)
}

/// Deletes what is too much when so many more come: what the account itself reported goes before what
/// others did.
fn make_room(coming: usize, max: u32, cx: &mut Context<'_, '_>) -> Done {
    let known = cx.scan(&REPORTS, &[], &Range { to: None, limit: max, reverse: false })?;
    let too_many = known.len().saturating_add(coming).saturating_sub(to_usize(max));
    let (own, others): (Vec<_>, Vec<_>) =
        known.iter().partition(|(_, report)| report.by == cx.owner().as_str());
    for (oldest, _) in own.into_iter().chain(others).take(too_many) {
        cx.delete(&REPORTS, oldest)?;
    }
    Ok(())
}

fn read(jid: &Jid, report: Node<'_>, cx: &Context<'_, '_>) -> Report {
    let reason = report.attr("reason").unwrap_or_default();
    let reason = reason.strip_prefix("urn:xmpp:reporting:").unwrap_or(&reason);
    let text = report.child_text(ns::REPORTING, "text").unwrap_or_default();
    let names = report.children().filter(|child| child.is(ns::STANZA_ID, "stanza-id"));
    let names = names.filter_map(|name| Some(line(&name.attr("id")?))).take(NAMED_MAX);
    Report {
        by: cx.owner().as_str().to_owned(),
        of: jid.as_str().to_owned(),
        reason: line(reason),
        text: line(&text),
        messages: names.collect(),
    }
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
        let reported = Reported { day: 300, count: 2 };
        assert_eq!(REPORTED.encode(&reported), b"\x01\xfb\x2c\x01\x02");
        assert_eq!((REPORTS.name, REPORTED.name), ("blocklist.reports", "blocklist.reported"));
        let blocked = tables::Blocked { since_ms: 300 };
        assert_eq!(tables::BLOCKED.encode(&blocked), b"\x01\xfb\x2c\x01");
    }
}
