//! The one writer: batches of everybody, one sync for many.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sled::Db;
use table::{Batch, Ticket};

use crate::mark::{Mark, MarkFile};
use crate::open::{MARK_KEY, Options, Shared};
use crate::row::{self, Row};
use crate::{StoreError, space};

/// Rows of one commit, unless one batch has more.
const GROUP_ROWS: usize = 1024;
/// How long the writer waits before it looks for room again.
const FULL_WAIT: Duration = Duration::from_millis(250);
/// Commits between two looks at the room on the disk.
const ROOM_EVERY: u64 = 64;

type Job = Box<dyn FnOnce(&Db) + Send>;
type Listener = Box<dyn Fn(Ticket) + Send + Sync>;

/// The handle to the writer's thread.
pub(crate) struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

struct Queue {
    waiting: Mutex<Waiting>,
    news: Condvar,
    done: Condvar,
    shared: Arc<Shared>,
    queue_bytes: usize,
}

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    jobs: Vec<Job>,
    bytes: usize,
    last: Ticket,
    is_closing: bool,
    /// Set when the disk refused; nothing is written any more.
    is_stopped: bool,
    listeners: Vec<Listener>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    pub(crate) fn start(
        db: Db,
        shared: Arc<Shared>,
        marks: MarkFile,
        mark: Mark,
        options: Options,
    ) -> Result<Self, StoreError> {
        let path = shared.path.join("sled").join("db");
        let file = File::open(&path).map_err(StoreError::disk(&path))?;
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            news: Condvar::new(),
            done: Condvar::new(),
            shared: Arc::clone(&shared),
            queue_bytes: options.queue_bytes,
        });
        let blobs = shared.path.join("sled").join("blobs");
        let cut = cut_rows(&db);
        let reserve = options.reserve_bytes;
        let mine = Arc::clone(&queue);
        let mut work = Work { db, shared, file, blobs, marks, mark, cut, reserve };
        let thread = std::thread::Builder::new().name("store".to_owned());
        let thread = thread.spawn(move || {
            // sled panics over some faults of the disk. Who waits must not wait for ever.
            if catch_unwind(AssertUnwindSafe(|| work.run(&mine))).is_err() {
                stop(&mine);
            }
        });
        let thread = thread.map_err(StoreError::disk(&path))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    pub(crate) fn submit(&self, batch: Batch) -> Ticket {
        let mut waiting = self.queue.lock();
        waiting.last = waiting.last.wrapping_add(1);
        let ticket = waiting.last;
        if waiting.is_stopped {
            // It never becomes durable, and nobody is told that it did.
            return ticket;
        }
        waiting.bytes = waiting.bytes.saturating_add(batch.bytes());
        if waiting.bytes > self.queue.queue_bytes {
            self.queue.shared.is_writable.store(false, SeqCst);
        }
        waiting.batches.push_back(batch);
        drop(waiting);
        self.queue.news.notify_one();
        ticket
    }

    pub(crate) fn on_durable(&self, listener: Listener) {
        self.queue.lock().listeners.push(listener);
    }

    pub(crate) fn run(&self, job: Job) {
        let mut waiting = self.queue.lock();
        if waiting.is_stopped {
            // Dropped, so that who waits for it sees that it is gone.
            return;
        }
        waiting.jobs.push(job);
        drop(waiting);
        self.queue.news.notify_one();
    }

    pub(crate) fn wait(&self, ticket: Ticket) -> Result<(), StoreError> {
        let mut waiting = self.queue.lock();
        while self.queue.shared.durable.load(SeqCst) < ticket {
            if waiting.is_stopped {
                return Err(StoreError::Stopped);
            }
            waiting = self.queue.done.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.lock().is_closing = true;
        self.queue.news.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the writer was reported when it happened.
            drop(thread.join());
        }
    }
}

/// What the writer's thread has.
struct Work {
    db: Db,
    shared: Arc<Shared>,
    /// sled's file: its own flush does not reach the disk.
    file: File,
    blobs: PathBuf,
    marks: MarkFile,
    mark: Mark,
    /// Long values, and how many pieces they have.
    cut: BTreeMap<Vec<u8>, u32>,
    reserve: u64,
}

impl Work {
    fn run(&mut self, queue: &Queue) {
        loop {
            let Some((batches, jobs)) = next(queue) else { return };
            let count = u64::try_from(batches.len()).unwrap_or(0);
            if count > 0 {
                self.wait_for_room(queue);
                if self.commit(batches).is_err() {
                    return stop(queue);
                }
                let durable = self.shared.durable.fetch_add(count, SeqCst).saturating_add(count);
                let waiting = queue.lock();
                for listener in &waiting.listeners {
                    listener(durable);
                }
                drop(waiting);
                queue.done.notify_all();
                // sled frees pages only when its collector is nudged.
                for _ in 0..4 {
                    crossbeam_epoch::pin().flush();
                }
            }
            for job in jobs {
                job(&self.db);
            }
        }
    }

    /// Waits while the disk is nearly full: sled must not meet its end.
    fn wait_for_room(&self, queue: &Queue) {
        let is_due = self.mark.number.is_multiple_of(ROOM_EVERY);
        let was_writable = self.shared.is_writable.load(SeqCst);
        if was_writable && !is_due {
            return;
        }
        while space::free(&self.shared.path) < self.reserve {
            self.shared.is_writable.store(false, SeqCst);
            let waiting = queue.lock();
            if waiting.is_closing {
                // What waits was never acknowledged.
                return;
            }
            drop(queue.news.wait_timeout(waiting, FULL_WAIT));
        }
        if queue.lock().bytes <= queue.queue_bytes {
            self.shared.is_writable.store(true, SeqCst);
        }
    }

    fn commit(&mut self, batches: Vec<Batch>) -> Result<(), sled::Error> {
        let mut all = sled::Batch::default();
        let mut seen = Vec::new();
        for (key, value) in batches.into_iter().flat_map(|batch| batch.ops) {
            seen.extend_from_slice(&crypto::hash(&key));
            let before = self.cut.remove(&key).unwrap_or(0);
            for index in 0..before {
                all.remove(row::piece_key(&key, index));
            }
            match value {
                None => all.remove(key),
                Some(value) => {
                    seen.extend_from_slice(&crypto::hash(&value));
                    let rows = row::encode(&key, &value);
                    if let Ok(pieces @ 1..) = u32::try_from(rows.len().saturating_sub(1)) {
                        self.cut.insert(key, pieces);
                    }
                    for (key, value) in rows {
                        all.insert(key, value);
                    }
                }
            }
        }
        let mark = self.mark.next(crypto::hash(&seen));
        all.insert(MARK_KEY, &mark.encode()[..]);
        self.db.apply_batch(all)?;
        self.db.flush()?;
        self.file.sync_data()?;
        self.sync_blobs()?;
        self.mark = mark;
        self.shared.commit.store(mark.number, SeqCst);
        // The mark may be late, never early; it is not worth a sync of its own.
        self.marks.write(mark)?;
        Ok(())
    }

    /// sled never syncs what it puts there. With our segments and pieces nothing ever is.
    fn sync_blobs(&self) -> Result<(), sled::Error> {
        let Ok(files) = std::fs::read_dir(&self.blobs) else { return Ok(()) };
        for file in files.flatten() {
            File::open(file.path())?.sync_all()?;
        }
        Ok(())
    }
}

/// Waits for work; `None` when the store is closed and nothing is left.
fn next(queue: &Queue) -> Option<(Vec<Batch>, Vec<Job>)> {
    let mut waiting = queue.lock();
    while waiting.batches.is_empty() && waiting.jobs.is_empty() {
        if waiting.is_closing {
            return None;
        }
        waiting = queue.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
    }
    let (mut batches, mut rows) = (Vec::new(), 0_usize);
    while let Some(batch) = waiting.batches.pop_front() {
        rows = rows.saturating_add(batch.ops.len());
        waiting.bytes = waiting.bytes.saturating_sub(batch.bytes());
        batches.push(batch);
        if rows >= GROUP_ROWS {
            break;
        }
    }
    Some((batches, std::mem::take(&mut waiting.jobs)))
}

/// The disk refused. Nothing is written any more, and nobody is told otherwise.
fn stop(queue: &Queue) {
    queue.shared.is_writable.store(false, SeqCst);
    let mut waiting = queue.lock();
    waiting.is_stopped = true;
    waiting.batches.clear();
    // Who waits for a job sees that it is gone.
    waiting.jobs.clear();
    drop(waiting);
    queue.done.notify_all();
}

/// Finds the values that are kept in pieces.
fn cut_rows(db: &Db) -> BTreeMap<Vec<u8>, u32> {
    let pieces = db.range([row::PIECES]..).keys().flatten();
    // A piece's key is the mark of pieces, the key, a zero byte and four bytes of its number.
    let keys = pieces.filter_map(|piece| {
        let end = piece.len().checked_sub(5)?;
        piece.get(1..end).map(<[u8]>::to_vec)
    });
    let mut cut = BTreeMap::new();
    for key in keys {
        if cut.contains_key(&key) {
            continue;
        }
        let bytes = db.get(&key).ok().flatten();
        if let Some(Row::Cut(pieces, _)) = bytes.and_then(|bytes| row::decode(&key, &bytes)) {
            cut.insert(key, pieces);
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use table::Batch;

    use crate::{Options, Store, StoreError};

    #[test]
    fn nobody_waits_for_a_writer_that_panicked() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { ballast_bytes: 0, reserve_bytes: 0, ..Options::default() };
        let store = Store::open(folder.path(), options).unwrap();
        let job = store.between_commits(|_| -> () { panic!("as sled does") });
        assert!(matches!(job, Err(StoreError::Stopped)));
        let mut batch = Batch::default();
        batch.put(b"test\0\0a".to_vec(), vec![1]);
        assert!(matches!(store.commit(batch), Err(StoreError::Stopped)));
        assert!(!store.is_writable());
    }
}
