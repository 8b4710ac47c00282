//! What the operator has to look at: one row for each domain and reason.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::crowd::{Counts, Rows};

/// By domain and reason.
pub(crate) const ALARMS: Table<(String, String), Alarm> = Table::domain("required_tls.alarms");

/// How many there are, under [`ALL`].
const COUNT: Counts = Table::domain("required_tls.alarms-count");
const ALL: &str = "alarms";

/// The most rows.
const ALARMS_MAX: u64 = 10_000;
/// How many go at once when there are more: those longest unseen.
const EVICTED: usize = 100;

/// Something that only an attack or a mistake explains.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Alarm {
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
    pub(crate) count: u64,
    /// What was seen the last time.
    pub(crate) evidence: String,
}

record!(Alarm, 1);

/// Domain and reason, and what was seen.
pub(crate) type Row = ((String, String), Alarm);

/// Says what a reason means and what to do.
pub(crate) const fn meaning(reason: &str) -> &'static str {
    match reason.as_bytes() {
        b"stripped" => "the other side offered no TLS: somebody took the offer away",
        b"feature" => "the feature that belongs to its policy is gone: somebody took it away",
        b"tls" => "the connection has too old a version of TLS, or none came about",
        b"serial" => "an old policy was shown, without a proof",
        b"dk" => {
            "another key than the one we hold: the domain lost its key, or it is not the domain"
        }
        b"proof" => "no proof with the domain's key: somebody sits in between",
        b"spki" => {
            "the other side saw another certificate than ours, or we another than the listed"
        }
        b"certificate" => "it had a valid certificate before and has none now",
        b"web" => "its web page shows another key than its streams",
        b"dns" => "its DNS, secured by DNSSEC, shows another key than its streams",
        b"witness" => "a witness holds another key",
        b"observed" => {
            "a witness got another certificate on our ports than ours: somebody sits there"
        }
        b"binding" => "a client was offered no channel binding, though we offer it",
        _ => "",
    }
}

/// Writes an alarm down.
pub(crate) fn raise(domain: &str, reason: &str, evidence: &str, cx: &mut Context<'_, '_>) -> Done {
    let key = (domain.to_owned(), reason.to_owned());
    let now_ms = cx.now_ms();
    let mut alarm = match cx.get(&ALARMS, &key)? {
        Some(alarm) => alarm,
        None => {
            make_room(cx)?;
            Alarm { first_ms: now_ms, last_ms: 0, count: 0, evidence: String::new() }
        }
    };
    // Each is said once a day at most: the row has the count.
    if now_ms.saturating_sub(alarm.last_ms) > 86_400_000 {
        cx.warn(&format!("ALARM, {domain}, {reason}: {}", meaning(reason)));
    }
    alarm.last_ms = now_ms;
    alarm.count = alarm.count.saturating_add(1);
    evidence.clone_into(&mut alarm.evidence);
    cx.count("alarms", 1)?;
    cx.put(&ALARMS, &key, &alarm)
}

/// Counts one more row, and drops old ones when there are too many.
fn make_room(cx: &mut Context<'_, '_>) -> Done {
    let Rows(mut count) = cx.get(&COUNT, ALL)?.unwrap_or_default();
    if count >= ALARMS_MAX {
        let all = oldest(of(None, cx)?, EVICTED);
        for (key, _) in &all {
            cx.delete(&ALARMS, key)?;
        }
        count = count.saturating_sub(u64::try_from(all.len()).unwrap_or(0));
    }
    cx.put(&COUNT, ALL, &Rows(count.saturating_add(1)))
}

fn oldest(mut all: Vec<Row>, most: usize) -> Vec<Row> {
    all.sort_by_key(|(_, alarm)| alarm.last_ms);
    all.truncate(most);
    all
}

/// Tells whether an alarm was written down within the last minute: for those that strangers cause.
pub(crate) fn is_fresh(
    domain: &str,
    reason: &str,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let alarm = cx.get(&ALARMS, &(domain.to_owned(), reason.to_owned()))?;
    Ok(alarm.is_some_and(|alarm| cx.now_ms().saturating_sub(alarm.last_ms) < 60_000))
}

/// Returns the alarms of a domain, or all, by domain and reason.
pub(crate) fn of(domain: Option<&str>, cx: &mut Context<'_, '_>) -> Result<Vec<Row>, StanzaError> {
    let mut all = cx.all(&ALARMS, 100_000)?;
    all.retain(|((its, _), _)| domain.is_none_or(|domain| domain == its));
    Ok(all)
}

/// The operator dealt with them.
pub(crate) fn clear(domain: &str, cx: &mut Context<'_, '_>) -> Done {
    let all = of(Some(domain), cx)?;
    for (key, _) in &all {
        cx.delete(&ALARMS, key)?;
    }
    let Rows(count) = cx.get(&COUNT, ALL)?.unwrap_or_default();
    let gone = u64::try_from(all.len()).unwrap_or(0);
    cx.put(&COUNT, ALL, &Rows(count.saturating_sub(gone)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let alarm = Alarm { first_ms: 1, last_ms: 2, count: 3, evidence: "x".into() };
        assert_eq!(ALARMS.encode(&alarm), b"\x01\x01\x02\x03\x01x");
        assert_eq!(COUNT.encode(&Rows(3)), b"\x01\x03");
    }

    #[test]
    fn the_oldest_go_first() {
        let row = |name: &str, last_ms| {
            let alarm = Alarm { first_ms: 0, last_ms, count: 1, evidence: String::new() };
            ((name.to_owned(), "dk".to_owned()), alarm)
        };
        let all = oldest(vec![row("a", 5), row("b", 3), row("c", 9), row("d", 4)], 2);
        let names: Vec<_> = all.iter().map(|((name, _), _)| name.as_str()).collect();
        assert_eq!(names, ["b", "d"]);
    }
}
