//! Picks up a certificate whose files changed, without a reload and without touching a connection.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::reload;
use crate::server::Shared;
use crate::tls::{Files, Served};

/// How often the files are looked at. A change is read when it is still the same one look later.
const EVERY: Duration = Duration::from_secs(5);
/// How long a pair of files may not fit together before somebody is told.
const WARN_AFTER: Duration = Duration::from_secs(60);

/// The thread that looks. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct WatchThread {
    is_over: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WatchThread {
    /// Watches the certificate that the configuration names, also after it changes.
    ///
    /// # Errors
    ///
    /// What the system says when there can be no thread.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let shared = Arc::clone(shared);
        let (is_over, over) = mpsc::channel();
        let thread =
            std::thread::Builder::new().name("certificate".to_owned()).spawn(move || {
                let mut watch = Watch::default();
                while over.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                    look(&mut watch, &shared);
                }
            })?;
        Ok(Self { is_over: Some(is_over), thread: Some(thread) })
    }
}

impl Drop for WatchThread {
    fn drop(&mut self) {
        drop(self.is_over.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn look(watch: &mut Watch, shared: &Shared) {
    let config = shared.config.load_full();
    // `calypte dev` has no files in its configuration, and they do not change.
    let Ok(files) = Files::of(&config) else { return };
    let marks = Marks::of(&files);
    if !watch.is_due(&marks) {
        return;
    }
    let outcome = reload::certificate(shared, &files, |served| {
        // Written while it was read: the next look reads it again.
        if Marks::of(&files) != marks {
            return Err("the files are being written".to_owned());
        }
        is_better(served, &config.domain.ascii_domain())
    });
    match outcome {
        Ok(None) => watch.succeeded(marks),
        Ok(Some(served)) => {
            watch.succeeded(marks);
            let (names, days) = (served.names.join(", "), served.days_left());
            tracing::info!(names, days, "New connections get the new certificate.");
        }
        Err(why) => {
            if watch.failed(Instant::now()) {
                tracing::warn!(why, "The changed certificate is not used; the old one stays.");
            }
        }
    }
}

/// A certificate that nobody can use is taken over by a reload, where somebody is looking, and
/// not by itself.
fn is_better(served: &Served, domain: &str) -> Result<(), String> {
    if !served.covers(domain) {
        return Err(format!("it is not for {domain}"));
    }
    if served.days_left() < 0 {
        return Err("it has expired".to_owned());
    }
    Ok(())
}

/// What tells that a file is another one, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

/// What the chain and its key were at one look; nothing for a file that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Marks([Option<Mark>; 2]);

impl Marks {
    fn of(files: &Files) -> Self {
        Self([&files.chain, &files.key].map(|path| Mark::of(path)))
    }
}

impl Mark {
    fn of(path: &Path) -> Option<Self> {
        let facts = std::fs::metadata(path).ok()?;
        Some(Self {
            device: facts.dev(),
            inode: facts.ino(),
            bytes: facts.size(),
            modified: (facts.mtime(), facts.mtime_nsec()),
        })
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Watch {
    in_force: Option<Marks>,
    last: Option<Marks>,
    failing_since: Option<Instant>,
    is_told: bool,
}

impl Watch {
    /// Notes a look. Tells whether the files are to be read: they are not those in force, and
    /// nobody has written to them since the last look.
    fn is_due(&mut self, marks: &Marks) -> bool {
        if self.in_force.as_ref() == Some(marks) {
            self.last = None;
            self.failing_since = None;
            return false;
        }
        if self.last.as_ref() == Some(marks) {
            return true;
        }
        self.last = Some(marks.clone());
        false
    }

    fn succeeded(&mut self, marks: Marks) {
        *self = Self { in_force: Some(marks), ..Self::default() };
    }

    /// Notes that the files could not be used. Tells whether it is time to say so, which it is once.
    fn failed(&mut self, now: Instant) -> bool {
        let since = *self.failing_since.get_or_insert(now);
        let is_time = !self.is_told && now.duration_since(since) >= WARN_AFTER;
        self.is_told |= is_time;
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(inode: u64) -> Marks {
        let mark = |inode| Some(Mark { device: 1, inode, bytes: 1, modified: (1, 1) });
        Marks([mark(inode), mark(inode + 100)])
    }

    #[test]
    fn files_are_read_once_they_are_at_rest() {
        let mut watch = Watch::default();
        assert!(!watch.is_due(&marks(1)));
        assert!(watch.is_due(&marks(1)));
        watch.succeeded(marks(1));
        assert!(!watch.is_due(&marks(1)));
        assert!(!watch.is_due(&marks(2)));
        assert!(!watch.is_due(&marks(3)));
        assert!(watch.is_due(&marks(3)));
        // The old ones came back: nothing to do.
        assert!(!watch.is_due(&marks(1)));
        assert!(!watch.is_due(&marks(3)));
    }

    #[test]
    fn it_is_tried_again_and_said_once() {
        let mut watch = Watch::default();
        let start = Instant::now();
        watch.is_due(&marks(2));
        let mut told = 0;
        for minute in 0..5 {
            assert!(watch.is_due(&marks(2)));
            told += u32::from(watch.failed(start + Duration::from_secs(60 * minute)));
        }
        assert_eq!(told, 1);
        watch.succeeded(marks(2));
        assert!(!watch.failed(start));
    }

    #[test]
    fn a_link_that_is_turned_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["cert1.pem", "cert2.pem", "key.pem"] {
            std::fs::write(path(name), name).unwrap();
        }
        let files = Files { chain: path("cert.pem"), key: path("key.pem") };
        assert_eq!(Marks::of(&files).0[0], None);
        std::os::unix::fs::symlink("cert1.pem", &files.chain).unwrap();
        let before = Marks::of(&files);
        assert_eq!(Marks::of(&files), before);
        std::os::unix::fs::symlink("cert2.pem", path("next")).unwrap();
        std::fs::rename(path("next"), &files.chain).unwrap();
        assert_ne!(Marks::of(&files), before);
    }
}
