//! Files that come.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use calypte::tables::FILE_BLOBS;
use calypte::wire::{FileAnswer, FileAsked, upload_ms};
use futures_util::StreamExt as _;
use table::full_key;
use tokio::time::{Instant, timeout_at};

use super::{Coming, Found, Refused, ask, begin, disk_full, find, internal, text, told};
use crate::files::{Whole, Writing};
use crate::server::Shared;

/// How long silence is borne.
const PART_WITHIN: Duration = Duration::from_secs(30);
/// How long a file may be too slow, together and beyond what it made up for.
const SLOW_WITHIN: Duration = Duration::from_secs(60);
/// What the slowest connection has to manage, in bytes a second.
const RATE_MIN: u64 = 8 << 10;
/// How much is handed to the disk at a time, in bytes.
const BATCH_BYTES: usize = 256 << 10;

/// Takes a file into a slot. The answer is 201 when it would survive a power loss.
pub(super) async fn put(
    request: HttpRequest,
    payload: web::Payload,
    shared: web::Data<Shared>,
) -> HttpResponse {
    let shared = shared.into_inner();
    match take(&request, payload, &shared).await {
        Ok(()) => {
            begin(StatusCode::CREATED).insert_header((header::CACHE_CONTROL, "no-store")).finish()
        }
        Err(refused) => *refused,
    }
}

async fn take(
    request: &HttpRequest,
    payload: web::Payload,
    shared: &Arc<Shared>,
) -> Result<(), Refused> {
    let bytes = length(request)?;
    let found = find(request, shared)?;
    let kind = text(request.headers(), &header::CONTENT_TYPE).map(str::to_owned);
    let Found { link, name, .. } = &found;
    let (link, name) = (link.clone(), name.clone());
    let asked = FileAsked::Put { link, name, bytes, kind: kind.clone() };
    let FileAnswer::Take { key } = ask(shared, &found.account, &asked).await? else {
        return Err(internal());
    };
    let key = key.try_into().map_err(|_| internal())?;
    let coming = Coming::take(shared, &found, bytes)?;
    let (opened, files) = (Arc::clone(shared), bytes);
    let writing = blocking(move || opened.files.begin(&key)).await?;
    let writing = receive(payload, writing, files, &coming).await?;
    shared.metrics.file_bytes_in.add(bytes);
    // From here on it is brought to its end, whether or not somebody still waits for the answer.
    let shared = Arc::clone(shared);
    let end =
        actix_web::rt::spawn(async move { keep(&shared, &found, writing, kind, coming).await });
    end.await.map_err(|_| internal())?
}

/// Returns how many bytes follow. They are counted before any of them is read, so it has to be said.
fn length(request: &HttpRequest) -> Result<u64, Refused> {
    let headers = request.headers();
    if headers.contains_key(header::CONTENT_RANGE) || headers.contains_key(header::CONTENT_ENCODING)
    {
        return Err(told(StatusCode::BAD_REQUEST, "a file comes whole and as it is"));
    }
    let length = text(headers, &header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
    let is_known = !headers.contains_key(header::TRANSFER_ENCODING);
    let unknown = || told(StatusCode::LENGTH_REQUIRED, "the length of the file is needed");
    length.filter(|_| is_known).ok_or_else(unknown)
}

/// Until when a file may go on without more of it. Who was fast for a while cannot be silent for hours.
#[derive(Clone, Copy, Debug)]
struct Pace(Instant);

impl Pace {
    /// So many bytes came.
    fn came(&mut self, bytes: usize, now: Instant) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let worth = Duration::from_millis(bytes.saturating_mul(1000) / RATE_MIN);
        self.0 = self.0.checked_add(worth).unwrap_or(self.0).min(now + SLOW_WITHIN);
    }
}

/// Writes what comes, as long as it comes fast enough and is as long as it should be.
async fn receive(
    mut payload: web::Payload,
    mut writing: Writing,
    bytes: u64,
    coming: &Coming,
) -> Result<Writing, Refused> {
    let wrong = |text| told(StatusCode::BAD_REQUEST, text);
    let began = Instant::now();
    let latest = began + Duration::from_millis(upload_ms(bytes));
    let mut pace = Pace(began + SLOW_WITHIN);
    let (mut batch, mut got) = (Vec::with_capacity(BATCH_BYTES), 0_u64);
    loop {
        let within = latest.min(pace.0).min(Instant::now() + PART_WITHIN);
        let late = |_| told(StatusCode::REQUEST_TIMEOUT, "the file comes too slowly");
        let part = timeout_at(within, payload.next()).await.map_err(late)?;
        let is_last = part.is_none();
        if let Some(part) = part {
            let part = part.map_err(|_| wrong("the file broke off"))?;
            got = got.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
            if got > bytes {
                return Err(told(StatusCode::PAYLOAD_TOO_LARGE, "the file is longer than it said"));
            }
            pace.came(part.len(), Instant::now());
            batch.extend_from_slice(&part);
        }
        if batch.len() >= BATCH_BYTES || (is_last && !batch.is_empty()) {
            let written = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            (writing, batch) = blocking(move || {
                writing.write(&batch)?;
                batch.clear();
                Ok((writing, batch))
            })
            .await?;
            coming.came(written);
        }
        if is_last {
            break;
        }
    }
    if got < bytes { Err(wrong("the file broke off")) } else { Ok(writing) }
}

/// Puts the whole file onto the disk, then has the module write its row.
async fn keep(
    shared: &Arc<Shared>,
    found: &Found,
    writing: Writing,
    kind: Option<String>,
    _coming: Coming,
) -> Result<(), Refused> {
    let whole = blocking(move || writing.finish()).await?;
    shared.files.count(&whole);
    let asked = FileAsked::Stored {
        link: found.link.clone(),
        blob: whole.name.to_vec(),
        digest: whole.digest.to_vec(),
        bytes: whole.bytes,
        kind,
        is_lost: is_lost(shared, found, &whole),
    };
    match ask(shared, &found.account, &asked).await {
        Ok(FileAnswer::Kept { blob }) => {
            if blob != whole.name {
                // There is one with the same content.
                remove(shared, whole).await;
            }
            Ok(())
        }
        Ok(_) => Err(internal()),
        Err(refused) => {
            // Without an answer there may be a row: then it is left to the next start.
            if refused.status().is_client_error() {
                remove(shared, whole).await;
            }
            Err(refused)
        }
    }
}

/// Tells whether a row has this content already, of which the file is gone.
fn is_lost(shared: &Shared, found: &Found, whole: &Whole) -> bool {
    let key = full_key(FILE_BLOBS.name, found.account.as_str(), &whole.digest);
    let row = shared.store.reader().get(&key).ok().flatten();
    let row = row.and_then(|row| FILE_BLOBS.decode(&row).ok());
    row.is_some_and(|row| !shared.files.has(&row.name))
}

async fn remove(shared: &Arc<Shared>, whole: Whole) {
    let shared = Arc::clone(shared);
    let removed = tokio::task::spawn_blocking(move || shared.files.remove(&whole.name));
    // Only a panic is an error, and that is told.
    drop(removed.await);
}

/// Has the disk do something, on a thread that may wait for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| internal())?;
    done.map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => disk_full(),
        _ => {
            tracing::error!(%error, "A file that somebody sent cannot be written.");
            internal()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_of_slowness_is_borne_and_not_more() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        // A byte now and then moves nothing.
        let mut pace = Pace(at(60));
        for seconds in (0..60).step_by(20) {
            pace.came(1, at(seconds));
        }
        assert_eq!(pace.0, at(60));
        // What comes as fast as it has to goes on for ever.
        for seconds in 0..1000 {
            pace.came(8 << 10, at(seconds));
            assert!(pace.0 >= at(seconds + 60));
        }
        // What came fast is no credit for hours.
        pace.came(90 << 20, at(1000));
        assert_eq!(pace.0, at(1060));
        pace.came(usize::MAX, at(1000));
        assert_eq!(pace.0, at(1060));
        // A connection that stalls is back to where it was when it has made up for it.
        pace.came(80 << 10, at(1040));
        assert_eq!(pace.0, at(1070));
    }
}
