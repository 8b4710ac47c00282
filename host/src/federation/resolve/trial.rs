//! Whether the DNS server passes on signatures. Many routers and some providers drop them; then
//! every answer would look forged, and no domain could be reached.

use std::path::Path;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::sync::Mutex;

/// What became of checking signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dnssec {
    /// It is not wanted.
    Off,
    /// Answers are checked. Once seen, it stays so: who drops signatures later is an attacker.
    Works,
    /// The DNS server gives no signatures that hold, for this reason. Keys in DNS do not count.
    Fails(String),
}

/// How long one trial may take.
const WITHIN: Duration = Duration::from_secs(5);
/// When to try again.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Remembers the last trial.
#[derive(Debug)]
pub(super) struct Trial {
    /// The zone whose key we know.
    zone: Name,
    last: Mutex<Option<(Instant, Dnssec)>>,
}

impl Trial {
    pub(super) fn new(zone: Name) -> Self {
        Self { zone, last: Mutex::new(None) }
    }

    /// Returns what is known, after a trial when it is time for one.
    pub(super) async fn state(&self, checked: &TokioResolver) -> Dnssec {
        let mut last = self.last.lock().await;
        match &*last {
            Some((_, Dnssec::Works)) => return Dnssec::Works,
            Some((at, known)) if at.elapsed() < AGAIN_AFTER => return known.clone(),
            _ => {}
        }
        let found = self.run(checked).await;
        let is_news = last.as_ref().is_none_or(|(_, before)| *before != found);
        if let (Dnssec::Fails(why), true) = (&found, is_news) {
            tracing::warn!(why, "The DNS server gives no DNSSEC; keys in DNS do not count.");
        }
        *last = Some((Instant::now(), found.clone()));
        found
    }

    async fn run(&self, checked: &TokioResolver) -> Dnssec {
        let asked = checked.lookup(self.zone.clone(), RecordType::DNSKEY);
        match tokio::time::timeout(WITHIN, asked).await {
            Ok(Ok(found)) => {
                let keys = || {
                    let records = found.answers().iter();
                    records.filter(|record| record.record_type() == RecordType::DNSKEY)
                };
                let is_secure = keys().all(|key| key.proof == Proof::Secure);
                if is_secure && keys().next().is_some() {
                    Dnssec::Works
                } else {
                    Dnssec::Fails("the signature of the first key does not hold".to_owned())
                }
            }
            Ok(Err(error)) => Dnssec::Fails(super::no_way(&error).to_string()),
            Err(_) => Dnssec::Fails("the DNS server did not answer in time".to_owned()),
        }
    }
}

/// Reads a file of DNSKEY records, and the zone of the first.
///
/// # Errors
///
/// A sentence that names the file.
pub(crate) fn read_anchors(path: &Path) -> Result<(TrustAnchors, Name), String> {
    let told = path.display();
    let bytes = crate::tls::read(path, "key file")?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{told} is not text"))?;
    let anchors: TrustAnchors =
        text.parse().map_err(|error| format!("{told} has no DNSKEY records: {error}"))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(';'));
    let zone = line.and_then(|line| line.split_whitespace().next());
    let zone = zone.and_then(|zone| Name::from_ascii(zone).ok());
    let zone = zone.ok_or_else(|| format!("{told} has no DNSKEY records"))?;
    Ok((anchors, zone))
}
