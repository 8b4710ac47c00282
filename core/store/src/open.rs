//! Opening a store, and what it looks like from outside.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use sled::Db;
use table::{Batch, Storage, Ticket};

use crate::mark::{Mark, MarkFile};
use crate::reader::Reader;
use crate::writer::Writer;
use crate::{StoreError, row, space};

/// The format that this program writes.
const FORMAT: u32 = 1;
/// Where the store keeps the mark of its last commit.
pub(crate) const MARK_KEY: &[u8] = &[row::OWN, b'm'];
/// Rows that are read at the start, to find damage early.
const CHECKED_ROWS: usize = 10_000;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Room that is given back when the disk is full, in bytes.
    pub ballast_bytes: u64,
    /// Writing waits while less than this is free, in bytes.
    pub reserve_bytes: u64,
    /// Memory for pages, in bytes.
    pub cache_bytes: u64,
    /// Bytes of batches that may wait for the disk before the store counts as not writable.
    pub queue_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ballast_bytes: 32 << 20,
            reserve_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            queue_bytes: 64 << 20,
        }
    }
}

/// An open store. One process has it at a time.
pub struct Store {
    path: PathBuf,
    db: Db,
    shared: Arc<Shared>,
    writer: Writer,
    /// Held as long as the store is open.
    _lock: File,
}

/// What reader, writer and owner all see.
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    /// Everything up to this ticket is on disk.
    pub(crate) durable: AtomicU64,
    /// The number of the last commit.
    pub(crate) commit: AtomicU64,
    pub(crate) is_writable: AtomicBool,
    broken: Mutex<BTreeMap<String, u64>>,
}

/// How a store is.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether what is submitted gets to the disk. False while the disk is full.
    pub writable: bool,
    /// Free bytes on the disk.
    pub free_bytes: u64,
    /// The number of the last commit.
    pub last_commit: u64,
    /// Tables in which broken records were met, and how often.
    pub broken: BTreeMap<String, u64>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn note_broken(&self, table: String) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = broken.entry(table).or_default();
        *count = count.saturating_add(1);
    }
}

impl Store {
    /// Tells whether there is a store in a folder.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        path.join("sled").exists()
    }

    /// Opens the store in a folder, or makes one.
    ///
    /// # Errors
    ///
    /// Another process has it, it is of a newer format, it lost commits, or the disk refuses.
    pub fn open(path: &Path, options: Options) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(StoreError::disk(path))?;
        let lock = lock(path)?;
        check_format(path)?;
        make_room(path, options)?;
        let (db, is_new) = open_sled(path, options)?;
        let marks = MarkFile::open(&path.join("mark")).map_err(StoreError::disk(path))?;
        let mark = read_mark(path, &db)?;
        let promised = marks.read();
        if mark.number < promised.number {
            let (found, promised) = (mark.number, promised.number);
            return Err(StoreError::Lost { path: path.to_owned(), found, promised });
        }
        if is_new {
            marks.sync().map_err(StoreError::disk(path))?;
            sync_creation(path)?;
        }
        check_rows(&db)?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            durable: AtomicU64::new(0),
            commit: AtomicU64::new(mark.number),
            is_writable: AtomicBool::new(true),
            broken: Mutex::new(BTreeMap::new()),
        });
        let writer = Writer::start(db.clone(), Arc::clone(&shared), marks, mark, options)?;
        Ok(Self { path: path.to_owned(), db, shared, writer, _lock: lock })
    }

    /// Returns who reads. It sees what the writer has applied, a moment before that is on disk.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn Storage + Send + Sync> {
        Arc::new(Reader { db: self.db.clone(), shared: Arc::clone(&self.shared) })
    }

    /// Hands a batch to the writer and returns its ticket. Does not wait.
    ///
    /// Batches become durable in the order of their tickets, each whole.
    pub fn submit(&self, batch: Batch) -> Ticket {
        self.writer.submit(batch)
    }

    /// Calls `f` from the writer's thread each time more is on disk, with the newest ticket.
    pub fn on_durable(&self, f: Box<dyn Fn(Ticket) + Send + Sync>) {
        self.writer.on_durable(f);
    }

    /// Returns the newest ticket such that it and all before it are on disk.
    #[must_use]
    pub fn durable(&self) -> Ticket {
        self.shared.durable.load(SeqCst)
    }

    /// Writes a batch and waits until it is on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Stopped`] or [`StoreError::Full`].
    pub fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let ticket = self.writer.submit(batch);
        self.writer.wait(ticket)
    }

    /// Returns how the store is.
    #[must_use]
    pub fn health(&self) -> Health {
        let broken = self.shared.broken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Health {
            writable: self.is_writable(),
            free_bytes: space::free(&self.path),
            last_commit: self.shared.commit.load(SeqCst),
            broken,
        }
    }

    /// Tells whether what is submitted gets to the disk.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.shared.is_writable.load(SeqCst)
    }

    /// Runs `job` in the writer's thread between two commits, so that what it reads is consistent.
    pub(crate) fn between_commits<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Db) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (send, receive) = std::sync::mpsc::channel();
        // The receiver waits, so the answer is taken.
        self.writer.run(Box::new(move |db| drop(send.send(job(db)))));
        receive.recv().map_err(|_| StoreError::Stopped)
    }

    /// Writes what waits and closes the store.
    pub fn close(self) {
        drop(self);
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let file = path.join("lock");
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    let lock = options.open(&file).map_err(StoreError::disk(&file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(_) => Err(StoreError::InUse { path: path.to_owned() }),
    }
}

fn check_format(path: &Path) -> Result<(), StoreError> {
    let file = path.join("format");
    match fs::read_to_string(&file) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found > FORMAT => {
                Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT })
            }
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Damaged { path: file }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if path.join("sled").exists() {
                return Err(StoreError::Damaged { path: file });
            }
            fs::write(&file, format!("{FORMAT}\n")).map_err(StoreError::disk(&file))
        }
        Err(error) => Err(StoreError::disk(&file)(error)),
    }
}

/// Keeps room in good times, and gives it back when the disk is full: sled needs some to open.
fn make_room(path: &Path, options: Options) -> Result<(), StoreError> {
    let ballast = path.join("ballast");
    let free = space::free(path);
    if free < options.ballast_bytes / 2 {
        return match fs::remove_file(&ballast) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::disk(&ballast)(error))
            }
            _ => Ok(()),
        };
    }
    if free > options.ballast_bytes.saturating_mul(2).saturating_add(options.reserve_bytes) {
        space::keep_ballast(&ballast, options.ballast_bytes).map_err(StoreError::disk(&ballast))?;
    }
    Ok(())
}

/// Opens sled, which panics over some kinds of damage.
fn open_sled(path: &Path, options: Options) -> Result<(Db, bool), StoreError> {
    let folder = path.join("sled");
    let is_new = !folder.exists();
    let config = sled::Config::new()
        .path(&folder)
        .segment_size(8 << 20)
        .cache_capacity(options.cache_bytes)
        .flush_every_ms(None);
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
    match opened {
        Ok(Ok(db)) => Ok((db, is_new)),
        Ok(Err(sled::Error::Io(error))) => Err(StoreError::disk(&folder)(error)),
        Ok(Err(_)) | Err(_) => Err(StoreError::Damaged { path: folder }),
    }
}

fn read_mark(path: &Path, db: &Db) -> Result<Mark, StoreError> {
    let damaged = || StoreError::Damaged { path: path.to_owned() };
    match db.get(MARK_KEY).map_err(|_| damaged())? {
        Some(bytes) => Mark::decode(&bytes).ok_or_else(damaged),
        None => Ok(Mark::default()),
    }
}

/// Makes sure that the files of a new store are there after a power loss.
fn sync_creation(path: &Path) -> Result<(), StoreError> {
    let folder = path.join("sled");
    for file in [folder.join("conf"), folder.join("db"), path.join("format")] {
        if file.exists() {
            File::open(&file).and_then(|file| file.sync_all()).map_err(StoreError::disk(&file))?;
        }
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    for folder in [Some(folder.as_path()), Some(path), parent].into_iter().flatten() {
        File::open(folder).and_then(|f| f.sync_all()).map_err(StoreError::disk(folder))?;
    }
    Ok(())
}

fn check_rows(db: &Db) -> Result<(), StoreError> {
    for row in db.iter().take(CHECKED_ROWS) {
        let (key, bytes) = row.map_err(|_| StoreError::Damaged { path: PathBuf::from("sled") })?;
        if key.first() != Some(&row::OWN) && row::decode(&key, &bytes).is_none() {
            return Err(StoreError::Broken { table: row::table_of(&key) });
        }
    }
    Ok(())
}
