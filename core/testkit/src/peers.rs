//! Streams with other domains as modules see them, and what modules have the host look up.

use calypte::wire::{Look, PeerFacts, PeerIdentity, PeerStage, PeerVerdict};
use engine::Event;
use toml::{Table, Value};
use xmpp::Jid;

use crate::fits::{Names, fill, fits};
use crate::server::Wanted;
use crate::world::World;

impl World<'_> {
    /// Asks the modules of `domain` about a stream, and keeps what they say.
    pub(crate) fn judge(&mut self, domain: &str, facts: PeerFacts) -> Result<(), String> {
        let owner = Jid::parse(domain).map_err(|_| format!("{domain} is no domain"))?;
        self.told(domain)?.verdict = None;
        self.tell(&owner, Event::Peer { token: 1, facts: Box::new(facts) })
    }

    /// Returns what the modules of `domain` said last.
    pub(crate) fn take_verdict(&mut self, domain: &str) -> Result<PeerVerdict, String> {
        let verdict = self.told(domain)?.verdict.take();
        verdict.ok_or_else(|| format!("{domain} was asked about no peer"))
    }

    /// Gives what was found for a look that waits.
    pub(crate) fn found(
        &mut self,
        domain: &str,
        target: &str,
        found: Result<&str, &str>,
    ) -> Result<(), String> {
        let told = self.told(domain)?;
        let at = told.looks.iter().position(|wanted| target_of(&wanted.look) == target);
        let Some(Wanted { shard, token, look }) = at.map(|at| told.looks.remove(at)) else {
            let all: Vec<_> = told.looks.iter().map(|wanted| target_of(&wanted.look)).collect();
            return Err(format!("{domain} looks up {all:?}"));
        };
        let found = found.map(|text| bytes(&look, text)).map_err(str::to_owned);
        self.tell_shard(domain, shard, Event::Looked { token, found })
    }
}

/// Returns how a scene calls it: `https://…`, `spki:a.example:5222`, `txt:_calypte.a.example`.
pub(crate) fn target_of(look: &Look) -> String {
    match look {
        Look::Https { url, .. } => url.clone(),
        Look::Spki { domain, port } => format!("spki:{domain}:{port}"),
        Look::Txt { name } => format!("txt:{name}"),
    }
}

/// Returns what the host would give: a page; the hash of a key that the text names; texts of DNS, a
/// line each, below a line `secure` or `insecure`.
fn bytes(look: &Look, text: &str) -> Vec<u8> {
    match look {
        Look::Https { .. } => text.as_bytes().to_vec(),
        Look::Spki { .. } => crypto::hash(text.as_bytes()).to_vec(),
        Look::Txt { .. } => {
            let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
            let mut out = vec![u8::from(first == "secure")];
            for line in rest.lines() {
                out.extend(u16::try_from(line.len()).unwrap_or(0).to_le_bytes());
                out.extend(line.as_bytes());
            }
            out
        }
    }
}

/// Reads what is known of a stream: a good one, but for what the scene says.
pub(crate) fn facts(domain: &str, table: &Table, names: &Names) -> Result<PeerFacts, String> {
    let mut facts = PeerFacts {
        local: domain.to_owned(),
        tls: "TLSv1.3".to_owned(),
        exporter: Some(crypto::hash(b"exporter").to_vec()),
        own_spki: crypto::hash(domain.as_bytes()).to_vec(),
        identity: PeerIdentity::Valid,
        ..PeerFacts::default()
    };
    for (name, value) in table {
        let text = fill(value.as_str().unwrap_or_default(), names, str::to_owned);
        let is_yes = value.as_bool() == Some(true);
        match name.as_str() {
            "stage" => facts.stage = stage(&text)?,
            "outgoing" => facts.is_outgoing = is_yes,
            "local" => facts.local = text,
            "remote" => facts.remote = text,
            "tls" => facts.tls = text,
            "exporter" => facts.exporter = key(value, &text),
            "own_spki" => facts.own_spki = key(value, &text).unwrap_or_default(),
            "peer_spki" => facts.peer_spki = key(value, &text).unwrap_or_default(),
            "identity" => facts.identity = identity(&text),
            "external" => facts.external = is_yes,
            "dialback" => facts.dialback = is_yes,
            "calypte" => facts.calypte = Some(text),
            "element" => facts.element = Some(text),
            "how" => facts.how = text,
            "failure" => facts.failure = text,
            _ => return Err(format!("nothing about a peer is called {name}")),
        }
    }
    Ok(facts)
}

/// Reads a key or an exporter value: what the text stands for, or nothing for `false`.
fn key(value: &Value, text: &str) -> Option<Vec<u8>> {
    (value.as_bool() != Some(false)).then(|| crypto::hash(text.as_bytes()).to_vec())
}

fn stage(text: &str) -> Result<PeerStage, String> {
    Ok(match text {
        "connecting" => PeerStage::Connecting,
        "opened" => PeerStage::Opened,
        "offered" => PeerStage::Offered,
        "extension" => PeerStage::Extension,
        "authenticated" => PeerStage::Authenticated,
        "failed" => PeerStage::Failed,
        "serving" => PeerStage::Serving,
        _ => return Err(format!("{text} is no stage")),
    })
}

pub(crate) fn identity(text: &str) -> PeerIdentity {
    match text {
        "valid" => PeerIdentity::Valid,
        "dane" => PeerIdentity::Dane,
        "none" => PeerIdentity::None,
        why => PeerIdentity::Invalid(why.to_owned()),
    }
}

/// Checks a verdict: what the scene does not say is as it would be without modules.
pub(crate) fn check(
    verdict: &PeerVerdict,
    expected: &Table,
    names: &mut Names,
) -> Result<(), String> {
    let mut left = verdict.clone();
    let nothing = PeerVerdict::default();
    let mut wrong = Vec::new();
    for (name, value) in expected {
        let text = value.as_str().unwrap_or_default();
        let is_yes = value.as_bool() == Some(true);
        let is_right = match name.as_str() {
            "external" => std::mem::replace(&mut left.external, true) == is_yes,
            "dialback" => std::mem::replace(&mut left.dialback, true) == is_yes,
            "proved" => std::mem::replace(&mut left.proved, false) == is_yes,
            "say" => left.say.take().is_some_and(|xml| fits_xml(text, &xml, names)),
            "features" => {
                let all = std::mem::take(&mut left.features).concat();
                fits_xml(&format!("<f>{text}</f>"), &format!("<f>{all}</f>"), names)
            }
            "endpoints" => std::mem::take(&mut left.endpoints).join(" ") == text,
            "refuse" => {
                left.refuse.take().is_some_and(|(why, reason)| format!("{why}: {reason}") == text)
            }
            "hold" => {
                let hold = left.hold_until_ms.take().map(|ms| ms.to_string());
                hold.is_some_and(|hold| text == "*" || hold == text)
            }
            _ => return Err(format!("nothing of a verdict is called {name}")),
        };
        if !is_right {
            wrong.push(name.as_str());
        }
    }
    if wrong.is_empty() && left == nothing {
        return Ok(());
    }
    Err(format!("{} is different, or more is said:\n    {verdict:?}", wrong.join(", ")))
}

fn fits_xml(expected: &str, got: &str, names: &mut Names) -> bool {
    let read = |text: &str| xml::Flat::parse(text, xmpp::ns::STREAMS);
    let expected = fill(expected, names, str::to_owned);
    match (read(&expected), read(got)) {
        (Ok(expected), Ok(got)) => fits(expected.root(), got.root(), None, names),
        _ => false,
    }
}
