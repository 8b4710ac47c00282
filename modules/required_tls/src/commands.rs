//! What the operator sees and does. Each answer is a text; `format=json` gives the same for programs.

use calypte::prelude::*;
use serde_json::{Value, json};

use crate::cache::{self, PEERS, Peer, Source};
use crate::policy::{Key, is_name};
use crate::sources::dns_text;
use crate::{RequiredTls, alarms, date, plain, report};

type Answer = Result<Vec<u8>, StanzaError>;

/// The most rows of a list.
const ROWS_MAX: u32 = 20_000;

fn wrong(text: &'static str) -> StanzaError {
    StanzaError::BAD_REQUEST.with_text(text)
}

/// Returns the domain that a command is about.
fn domain<'a>(asked: &Asked<'a>) -> Result<&'a str, StanzaError> {
    let domain = asked.field("domain").filter(|domain| is_name(domain));
    domain.ok_or_else(|| wrong("Give a domain: domain=example.org"))
}

/// Returns JSON when it was asked for, and the text otherwise.
fn answer(asked: &Asked<'_>, text: String, value: &Value) -> Answer {
    match asked.field("format") {
        None | Some("text") => Ok(text.trim_end().as_bytes().to_vec()),
        Some("json") => Ok(value.to_string().into_bytes()),
        Some(_) => Err(wrong("format is text or json.")),
    }
}

fn row(name: &str, peer: &Peer, now_ms: u64) -> Value {
    let alarm = peer
        .alarm
        .as_ref()
        .map(|(since_ms, reason)| json!({ "reason": reason, "since": date::stamp(*since_ms) }));
    let rival = peer.rival.as_ref().map(|rival| {
        let since = date::stamp(rival.since_ms);
        json!({ "dk": rival.dk.to_string(), "since": since, "seen_by": rival.seen_by })
    });
    json!({
        "domain": name,
        "state": peer.state(now_ms),
        "dk": peer.dk.to_string(),
        "serial": peer.serial,
        "since": date::stamp(peer.since_ms),
        "seen": date::stamp(peer.fresh_ms),
        "sources": peer.sources(),
        "alarm": alarm,
        "rival": rival,
    })
}

fn alarm_rows(all: &[alarms::Row]) -> (String, Vec<Value>) {
    let mut text = String::new();
    let mut values = Vec::new();
    for ((domain, reason), alarm) in all {
        let meaning = alarms::meaning(reason);
        let (first, last) = (date::stamp(alarm.first_ms), date::stamp(alarm.last_ms));
        let (count, evidence) = (alarm.count, &alarm.evidence);
        text.push_str(&format!(
            "ALARM {domain} {reason}: {meaning}\n  {count} times from {first} to {last}\n  \
             last: {evidence}\n"
        ));
        values.push(json!({
            "domain": domain, "reason": reason, "meaning": meaning, "first": first, "last": last,
            "count": count, "evidence": evidence,
        }));
    }
    (text, values)
}

impl RequiredTls {
    pub(crate) fn list(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Answer {
        let now_ms = cx.now_ms();
        let all = cx.all(&PEERS, ROWS_MAX)?;
        let alarms = alarms::of(None, cx)?;
        let mut text = String::new();
        for (name, peer) in &all {
            let (state, serial) = (peer.state(now_ms), peer.serial);
            text.push_str(&format!("{name} {state} {serial} {}\n", peer.sources()));
        }
        if all.is_empty() {
            text.push_str("No domain with a policy is known yet.\n");
        }
        let (said, values) = alarm_rows(&alarms);
        text.push_str(&said);
        let rows: Vec<_> = all.iter().map(|(name, peer)| row(name, peer, now_ms)).collect();
        answer(asked, text, &json!({ "domains": rows, "alarms": values }))
    }

    pub(crate) fn show(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Answer {
        let name = domain(asked)?;
        let now_ms = cx.now_ms();
        let held = cx.get(&PEERS, name)?;
        let (said, values) = alarm_rows(&alarms::of(Some(name), cx)?);
        let Some(peer) = held else {
            let needs = self.had_certificate(name, cx)?;
            let text = if needs {
                format!("{name} has no policy; it had a valid certificate and needs one.\n{said}")
            } else {
                format!("Nothing is known of {name}.\n{said}")
            };
            let value = json!({ "domain": name, "needs_certificate": needs, "alarms": values });
            return answer(asked, text, &value);
        };
        let value = row(name, &peer, now_ms);
        let mut text = format!(
            "{name} is {}\n  key {}\n  serial {}, known since {}, last seen {}\n  vouched for by: \
             {}\n",
            peer.state(now_ms),
            peer.dk,
            peer.serial,
            date::stamp(peer.since_ms),
            date::stamp(peer.fresh_ms),
            peer.sources(),
        );
        if let Some(rival) = &peer.rival {
            text.push_str(&format!(
                "  another key is shown since {}: {}\n  If the people of {name} say that it is \
                 theirs: tls-accept domain={name} dk={}\n",
                date::stamp(rival.since_ms),
                rival.dk,
                rival.dk
            ));
        }
        text.push_str(&said);
        let policy = peer.signed().and_then(|policy| serde_json::to_value(policy).ok());
        answer(asked, text, &json!({ "held": value, "policy": policy, "alarms": values }))
    }

    pub(crate) fn accept(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Answer {
        let name = domain(asked)?;
        let dk = asked.field("dk").and_then(Key::read);
        let dk =
            dk.ok_or_else(|| wrong("Give the key that the people of the domain told you: dk=…"))?;
        let now_ms = cx.now_ms();
        let peer = match cx.get(&PEERS, name)? {
            Some(mut peer) if peer.dk == dk => {
                peer.alarm = None;
                peer.rival = None;
                peer.vouch(Source::Operator);
                peer
            }
            _ => Peer::pinned(dk, Source::Operator, now_ms),
        };
        cache::keep(name, &peer, cx)?;
        alarms::clear(name, cx)?;
        Ok(format!("{name} is known by {dk} from now on.").into_bytes())
    }

    pub(crate) fn forget(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Answer {
        let name = domain(asked)?;
        let was_held = cache::forget(name, cx)?;
        let was_seen = plain::forget(name, cx)?;
        alarms::clear(name, cx)?;
        report::forget(name, cx)?;
        Ok(if was_held || was_seen {
            format!("{name} is forgotten and begins anew.").into_bytes()
        } else {
            format!("Nothing was known of {name}.").into_bytes()
        })
    }

    pub(crate) fn show_own(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Answer {
        let own = self.own(cx)?;
        let (policy, domain) = (&own.signed.policy, cx.domain().to_owned());
        let dns = dns_text(&own.signed);
        let spki: Vec<_> = own.own.spki.iter().map(Key::to_string).collect();
        let text = format!(
            "key {}\nserial {}, issued {}\n_calypte.{domain}. TXT \"{dns}\"\ncertificate keys: {}\n",
            policy.dk,
            policy.serial,
            policy.issued,
            spki.join(" "),
        );
        let value = json!({
            "dk": policy.dk.to_string(), "serial": policy.serial, "dns": dns, "spki": spki,
            "policy": own.signed.text(), "text": policy,
        });
        answer(asked, text, &value)
    }

    pub(crate) fn change_key(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Answer {
        let rotated_ms = self.own(cx)?.own.rotated_ms;
        let is_early = rotated_ms > 0 && cx.now_ms() < rotated_ms.saturating_add(self.0.max_age.ms);
        if is_early && asked.field("force") != Some("yes") {
            let why = "The key was changed lately. Servers that have not seen that change would \
                       refuse the next one: wait as long as max_age says, or give force=yes.";
            return Err(StanzaError::NOT_ALLOWED.with_text(why));
        }
        let own = self.rotate(cx)?;
        let text = format!(
            "The key is {} now. Keep the new keys (tls-backup), and publish in DNS:\n\
             _calypte.{}. TXT \"{}\"\n",
            own.signed.policy.dk,
            cx.domain(),
            dns_text(&own.signed)
        );
        Ok(text.into_bytes())
    }

    pub(crate) fn retire_own(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Answer {
        let is_undone = asked.field("undo") == Some("yes");
        let own = self.retire(!is_undone, cx)?;
        let text = if is_undone {
            "The policy is in force again."
        } else {
            "The policy is taken back. Leave this server running until your peers have seen that; \
             undo=yes puts it in force again."
        };
        Ok(format!("{text} Serial {}.", own.signed.policy.serial).into_bytes())
    }

    pub(crate) fn back_up(&self, _: &Asked<'_>, cx: &mut Context<'_, '_>) -> Answer {
        let domain = cx.domain().to_owned();
        let keys = self.own(cx)?.own.backup(&domain);
        let text = format!(
            "Keep this line where the server is not. Who has it can be {domain}; without it, and \
             without the server's data, other servers refuse {domain} until their operators accept \
             a new key.\nkeys: {keys}"
        );
        Ok(text.into_bytes())
    }

    pub(crate) fn take_back(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Answer {
        let keys = asked.field("keys").ok_or_else(|| wrong("Give the line: keys=…"))?;
        let own = self.restore(keys, cx)?;
        Ok(format!("The key is {} now.", own.signed.policy.dk).into_bytes())
    }

    pub(crate) fn show_report(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Answer {
        let all = self.counted(cx)?;
        let mut text = String::new();
        let mut values = Vec::new();
        for (domain, whose, word, count) in &all {
            text.push_str(&format!("{domain} {whose} {word} {count}\n"));
            values.push(json!({ "domain": domain, "whose": whose, "of": word, "count": count }));
        }
        if all.is_empty() {
            text.push_str("Nothing was counted since the last report.\n");
        }
        answer(asked, text, &json!(values))
    }
}
