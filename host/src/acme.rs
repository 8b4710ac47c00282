//! Certificates from an authority that issues them by itself, such as Let's Encrypt (RFC 8555).
//!
//! A start without a certificate waits for the first one, with no port open but that of the
//! challenge. A running server renews in a thread of its own.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::Config;
use crate::config::settings::Challenge;
use crate::http::HttpThread;
use crate::server::Shared;
use crate::tls::{Files, Served};
use crate::{clock, ports, reload};

mod challenges;
pub(crate) mod files;
mod order;

pub(crate) use challenges::{ALPN, Challenges};
use files::folder;
use order::{Trouble, Wanted};

/// How often it is looked whether the time has come.
const EVERY: Duration = Duration::from_secs(20);
/// How long to wait after one, two, … attempts that failed; the last for all that follow. Few enough
/// for an authority that allows five failures in an hour.
const PAUSES: [u64; 5] = [60, 300, 1800, 7200, 21_600];
/// How long to leave the authority alone after it has issued, whatever it has issued.
const PAUSE_AFTER: i64 = 3600;
/// How long to wait at least when the authority says that it was asked too often.
const PAUSE_WHEN_LIMITED: u64 = 7200;

/// What the rest of the server sees of it.
#[derive(Debug, Default)]
pub(crate) struct Acme {
    /// The answers to challenges that are under way.
    pub(crate) challenges: Arc<Challenges>,
    trouble: Mutex<Option<String>>,
}

impl Acme {
    /// Returns why the last attempt failed, until one works.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Where the certificate of this configuration is kept: chain and key in one file, so that they
/// are replaced together.
pub(crate) fn certificate(config: &Config) -> Files {
    let path = folder(config).join("certificate.pem");
    Files { chain: path.clone(), key: path }
}

/// Returns the name of the account at the authority, once there is one.
pub(crate) fn account(config: &Config) -> Option<String> {
    let text = std::fs::read(folder(config).join("account.json")).ok()?;
    let account: serde_json::Value = serde_json::from_slice(&text).ok()?;
    account.get("id")?.as_str().map(str::to_owned)
}

/// Returns what the certificate is to name.
fn names(config: &Config) -> Vec<String> {
    let mut names = vec![config.domain.ascii_domain().into_owned()];
    for name in &config.acme.names {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Tells whether `served` is one to begin with.
pub(crate) fn is_usable(served: &Served, config: &Config) -> bool {
    names(config).iter().all(|name| served.covers(name)) && served.days_left() >= 0
}

/// Gets the first certificate, however long it takes, and opens no port but that of the challenge.
///
/// # Errors
///
/// A sentence when that port cannot be opened, or a thread cannot be started.
pub(crate) fn first(config: &Config) -> Result<Served, String> {
    let failed = |error: io::Error| format!("a thread cannot be started: {error}");
    let challenges = Arc::new(Challenges::default());
    let answering = match config.acme.challenge {
        Challenge::Http01 => {
            let listeners = ports::bind_all(&config.listen.http_acme)?;
            HttpThread::start_challenges(listeners, &challenges)
        }
        Challenge::TlsAlpn01 => {
            let mut listeners = ports::bind_all(&config.listen.https)?;
            listeners.extend(ports::bind_all(&config.listen.alpn)?);
            HttpThread::start_challenges_by_tls(listeners, &challenges)
        }
    };
    let answering = answering.map_err(failed)?;
    let runtime = runtime().map_err(failed)?;
    let wanted = Wanted::of(config);
    let (names, directory) = (wanted.names.join(", "), wanted.directory.as_str());
    tracing::warn!(
        names,
        directory,
        "There is no certificate yet; the server starts when the authority has issued one."
    );
    let mut attempt = 0;
    let served = loop {
        match runtime.block_on(order::issue(&wanted, &challenges)) {
            Ok(served) => break served,
            Err(trouble) => {
                let pause = pause(attempt, &trouble);
                attempt = attempt.saturating_add(1);
                tell(&trouble, pause, "There is still no certificate, and nobody can connect.");
                runtime.block_on(async { tokio::time::sleep(Duration::from_secs(pause)).await });
            }
        }
    };
    drop(answering);
    let days = served.days_left();
    tracing::info!(names, days, "The authority has issued the first certificate.");
    Ok(served)
}

/// The thread that renews. Dropping it stops it, also in the middle of an attempt.
#[derive(Debug)]
pub(crate) struct AcmeThread {
    is_over: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AcmeThread {
    /// Renews the certificate of a server with `[acme]`, and does nothing for others.
    ///
    /// # Errors
    ///
    /// What the system says when there can be no thread.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        if !shared.config.load().acme.agree {
            return Ok(Self { is_over: None, thread: None });
        }
        let runtime = runtime()?;
        let shared = Arc::clone(shared);
        let (is_over, over) = oneshot::channel();
        let thread = std::thread::Builder::new().name("acme".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    // It ends by being dropped.
                    _ = over => {}
                    () = renew(&shared) => {}
                }
            });
        })?;
        Ok(Self { is_over: Some(is_over), thread: Some(thread) })
    }
}

impl Drop for AcmeThread {
    fn drop(&mut self) {
        drop(self.is_over.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn renew(shared: &Shared) {
    let mut attempt = 0;
    // Many servers that started together need not renew together.
    let spread = u64::from(chance());
    let mut not_before = 0;
    loop {
        tokio::time::sleep(EVERY).await;
        let config = shared.config.load_full();
        let now = clock::now_seconds();
        let is_usable = is_usable(&shared.tls.current(), &config);
        if now < not_before || (is_usable && now < due(&shared.tls.current(), spread)) {
            continue;
        }
        let outcome = order::issue(&Wanted::of(&config), &shared.acme.challenges).await;
        let put = |served: Served| {
            let files = certificate(&config);
            let days = served.days_left();
            let put = reload::certificate(shared, &files, |_| Ok(()));
            put.map(|_| days).map_err(Trouble::other)
        };
        match outcome.and_then(put) {
            Ok(days) => {
                (attempt, not_before) = (0, now.saturating_add(PAUSE_AFTER));
                shared.acme.set_trouble(None);
                tracing::info!(days, "The certificate is renewed; new connections get it.");
            }
            Err(trouble) => {
                let pause = pause(attempt, &trouble);
                attempt = attempt.saturating_add(1);
                not_before = now.saturating_add_unsigned(pause);
                tell(&trouble, pause, "The certificate is not renewed; the old one stays.");
                shared.acme.set_trouble(Some(trouble.why));
            }
        }
    }
}

/// Returns when to renew: after two thirds of its life, and up to a fiftieth of it later.
fn due(served: &Served, spread: u64) -> i64 {
    let life = served.not_after.saturating_sub(served.not_before).max(0);
    let later = i64::try_from(spread).unwrap_or(0).saturating_mul(life) / 50 / 255;
    served.not_before.saturating_add(life / 3 * 2).saturating_add(later)
}

/// Returns how many seconds to wait after an attempt that failed.
fn pause(attempt: usize, trouble: &Trouble) -> u64 {
    let usual = PAUSES.get(attempt).or(PAUSES.last()).copied().unwrap_or(PAUSE_WHEN_LIMITED);
    if trouble.is_limited { usual.max(PAUSE_WHEN_LIMITED) } else { usual }
}

fn tell(trouble: &Trouble, pause: u64, what: &'static str) {
    let again_in = crate::text::duration(pause);
    tracing::error!(why = trouble.why, again_in, "{what}");
}

fn chance() -> u8 {
    let mut byte = [0; 1];
    crypto::random(&mut byte);
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_and_a_limit_is_respected() {
        let trouble = |is_limited| Trouble { why: String::new(), is_limited };
        assert_eq!(pause(0, &trouble(false)), 60);
        assert_eq!(pause(4, &trouble(false)), 21_600);
        assert_eq!(pause(400, &trouble(false)), 21_600);
        assert_eq!(pause(0, &trouble(true)), 7200);
    }

    #[test]
    fn it_is_renewed_after_two_thirds_of_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let files = crate::certs::make_dev(folder.path(), "chat.example").unwrap().server;
        let mut served = Served::open(&files).unwrap();
        (served.not_before, served.not_after) = (0, 90 * 86_400);
        assert_eq!(due(&served, 0), 60 * 86_400);
        assert_eq!(due(&served, 255), 60 * 86_400 + 90 * 86_400 / 50);
    }
}
