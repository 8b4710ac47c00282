//! What an operator sees of other domains, and may say about them.

use std::time::{Duration, Instant};

use serde_json::json;
use xmpp::Jid;

use crate::actors::Step;
use crate::admin::AdminReply;
use crate::clock;
use crate::federation::rules::PeerRule;
use crate::federation::view::PeerState;
use crate::server::{Running, Shared};
use crate::text;

/// How long an attempt that is followed may take.
const TRACE_WITHIN: Duration = Duration::from_secs(90);

/// Lists the domains with which there is or should be a connection, and the rules.
pub(super) fn list(shared: &Shared) -> Result<AdminReply, String> {
    let running = running(shared)?;
    let (peers, rules) = (running.peers(), running.peer_rules());
    let domain = shared.config.load().domain.clone();
    let rows: Vec<[String; 6]> = peers.iter().map(|peer| row(peer, domain.as_str())).collect();
    let mut out = table(&rows);
    for (domain, rule) in &rules {
        out.push(format!("{} {domain} by `calypte peer`", word(*rule)));
    }
    if out.is_empty() {
        out.push("no other domain has been heard of, and none is waited for".to_owned());
    }
    let peers: Vec<_> = peers.iter().map(value).collect();
    let rules: Vec<_> =
        rules.iter().map(|(domain, rule)| json!({"domain": domain, "rule": word(*rule)})).collect();
    Ok(AdminReply::Done { text: out.join("\n"), data: json!({"peers": peers, "rules": rules}) })
}

/// Sets what is done about a domain, whatever the configuration says of it.
pub(super) fn set_rule(
    shared: &Shared,
    domain: &str,
    rule: Option<PeerRule>,
) -> Result<AdminReply, String> {
    let domain = name(shared, domain)?;
    running(shared)?.set_peer_rule(&domain, rule)?;
    Ok(AdminReply::done(match rule {
        Some(PeerRule::Allow) => format!("{domain} is allowed, whatever the configuration says"),
        Some(PeerRule::Block) => format!("{domain} is blocked; streams with it are ended"),
        None => format!("the configuration decides about {domain} again"),
    }))
}

/// Tries at once to reach a domain for which something waits.
pub(super) fn retry(shared: &Shared, domain: &str) -> Result<AdminReply, String> {
    let domain = name(shared, domain)?;
    match running(shared)?.retry_peer(&domain) {
        true => {
            Ok(AdminReply::done(format!("{domain} is tried now; `calypte peer list` shows how")))
        }
        false => Ok(AdminReply::done(format!("nothing waits for {domain}"))),
    }
}

/// Makes an attempt and tells each stage. The answer's data says whether all went well.
pub(super) fn trace(shared: &Shared, domain: &str) -> Result<AdminReply, String> {
    let domain = name(shared, domain)?;
    let steps = running(shared)?.trace_peer(&domain);
    let until = Instant::now() + TRACE_WITHIN;
    let mut seen: Vec<Step> = Vec::new();
    let mut is_late = false;
    loop {
        match steps.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(step) => seen.push(step),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                is_late = true;
                break;
            }
        }
    }
    if is_late {
        let words = format!("it is not over after {} seconds", TRACE_WITHIN.as_secs());
        seen.push(Step { stage: "time", is_fine: Some(false), words });
    }
    let is_fine = seen.last().is_some_and(|last| last.is_fine != Some(false));
    let rows: Vec<_> = seen
        .iter()
        .map(|step| json!({"stage": step.stage, "fine": step.is_fine, "words": step.words}))
        .collect();
    let text = seen.iter().map(line).collect::<Vec<_>>().join("\n");
    Ok(AdminReply::Done { text, data: json!({"domain": domain, "fine": is_fine, "steps": rows}) })
}

/// Says in one line how it stands with other servers, for `calypte status`.
pub(super) fn summary(peers: &[PeerState]) -> String {
    let connected = peers.iter().filter(|peer| peer.state == "connected").count();
    let waiting: Vec<_> = peers.iter().filter(|peer| peer.waiting > 0).collect();
    let stanzas: usize = waiting.iter().map(|peer| peer.waiting).sum();
    match waiting.len() {
        0 => format!("{connected} connected, nothing waits"),
        domains => format!(
            "{connected} connected; {} waiting for {} (`calypte peer list`)",
            text::count(stanzas, "stanza"),
            text::count(domains, "domain"),
        ),
    }
}

fn running(shared: &Shared) -> Result<&dyn Running, String> {
    let running = shared.running().ok_or("the server starts or stops")?;
    Ok(running.as_ref())
}

/// Returns a domain as others are known by.
fn name(shared: &Shared, text: &str) -> Result<String, String> {
    let jid = Jid::parse(text).ok().filter(|jid| jid.local().is_none() && jid.is_bare());
    let jid = jid.ok_or_else(|| format!("{text:?} is not a domain"))?;
    if jid == shared.config.load().domain {
        return Err(format!("{jid} is this server"));
    }
    Ok(jid.domain().to_owned())
}

fn word(rule: PeerRule) -> &'static str {
    match rule {
        PeerRule::Allow => "allowed",
        PeerRule::Block => "blocked",
    }
}

fn line(step: &Step) -> String {
    let mark = match step.is_fine {
        Some(true) => "ok",
        Some(false) => "FAILED",
        None => "note",
    };
    format!("{mark:6}  {:11}  {}", step.stage, step.words)
}

fn row(peer: &PeerState, domain: &str) -> [String; 6] {
    let since = clock::now_ms().saturating_sub(peer.since_ms) / 1000;
    let name = match peer.local == domain {
        true => peer.remote.clone(),
        false => format!("{} (for {})", peer.remote, peer.local),
    };
    // Whose key is known needs no authority and no dialback.
    let how = peer.how.map(|how| if how == "extension" { "domain key" } else { how });
    let how = [how, peer.tls].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let mut rest = Vec::new();
    if peer.waiting > 0 {
        let bytes = text::bytes(u64::try_from(peer.bytes).unwrap_or(u64::MAX));
        rest.push(format!("{} waiting ({bytes})", peer.waiting));
    }
    if let Some(next) = peer.next_ms {
        let seconds = next.saturating_sub(clock::now_ms()) / 1000;
        rest.push(format!("again in {}", text::duration(seconds)));
    }
    if !peer.error.is_empty() {
        rest.push(peer.error.clone());
    }
    let state = peer.state.to_owned();
    [name, peer.direction.to_owned(), state, text::duration(since), how, rest.join("; ")]
}

/// Lines up columns.
fn table(rows: &[[String; 6]]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let cells = cells.map(|(cell, width)| format!("{cell:width$}", width = *width));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn value(peer: &PeerState) -> serde_json::Value {
    json!({
        "local": peer.local,
        "remote": peer.remote,
        "direction": peer.direction,
        "state": peer.state,
        "since_ms": peer.since_ms,
        "how": peer.how,
        "tls": peer.tls,
        "waiting": peer.waiting,
        "bytes": peer.bytes,
        "next_ms": peer.next_ms,
        "error": peer.error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(remote: &str, state: &'static str, waiting: usize) -> PeerState {
        PeerState {
            local: "chat.example".to_owned(),
            remote: remote.to_owned(),
            direction: "out",
            state,
            since_ms: clock::now_ms().saturating_sub(125_000),
            how: (waiting == 0).then_some("external"),
            tls: (waiting == 0).then_some("TLSv1.3"),
            waiting,
            bytes: waiting * 100,
            next_ms: None,
            error: if waiting == 0 { String::new() } else { "it does not answer".to_owned() },
        }
    }

    #[test]
    fn one_line_for_each_domain() {
        let peers = [peer("a.example", "connected", 0), peer("far.example", "resting", 3)];
        let rows: Vec<_> = peers.iter().map(|peer| row(peer, "chat.example")).collect();
        let expected = [
            "a.example    out  connected  2 minutes  external TLSv1.3",
            "far.example  out  resting    2 minutes                    3 waiting (300 bytes); it \
             does not answer",
        ];
        assert_eq!(table(&rows), expected);
        let expected = "1 connected; 3 stanzas waiting for 1 domain (`calypte peer list`)";
        assert_eq!(summary(&peers), expected);
        assert_eq!(summary(&[]), "0 connected, nothing waits");
        assert!(row(&peers[0], "other.example")[0].ends_with("(for chat.example)"));
    }

    #[test]
    fn a_stage_is_one_line() {
        let step = Step { stage: "dns", is_fine: Some(false), words: "no such domain".to_owned() };
        assert_eq!(line(&step), "FAILED  dns          no such domain");
    }
}
