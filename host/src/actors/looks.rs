//! What modules have looked up: pages, keys that ports show, texts in DNS. A few at a time, and each
//! for a bounded time, for the other side of it may be anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use calypte::wire::Look;
use engine::Event;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::hall::Hall;
use super::inbox::Parcel;
use crate::federation::look;
use crate::federation::resolve::Txt;

/// How many are under way at the same time.
const AT_ONCE: usize = 16;
/// How many are under way or wait.
const WAITING_MAX: usize = 512;
/// How long one may take, the waiting not counted. The engine gives up after a minute.
const WITHIN: Duration = Duration::from_secs(20);

/// See the file.
#[derive(Debug)]
pub(crate) struct Looks {
    places: Semaphore,
    waiting: AtomicUsize,
}

impl Default for Looks {
    fn default() -> Self {
        Self { places: Semaphore::new(AT_ONCE), waiting: AtomicUsize::new(0) }
    }
}

/// Looks, on this arbiter, and hands what it found to `shard`.
pub(super) fn start(hall: &Arc<Hall>, shard: u16, token: u64, wanted: Look) {
    let answer = move |hall: &Hall, found| {
        if let Some(inbox) = hall.inbox(shard) {
            inbox.push(Parcel::Event(Box::new(Event::Looked { token, found })));
        }
    };
    if hall.looks.waiting.fetch_add(1, Relaxed) >= WAITING_MAX {
        hall.looks.waiting.fetch_sub(1, Relaxed);
        return answer(hall, Err("too much is looked up already".to_owned()));
    }
    let hall = Arc::clone(hall);
    drop(actix::spawn(async move {
        let found = match hall.looks.places.acquire().await {
            Ok(_place) => match timeout(WITHIN, run(&hall, wanted)).await {
                Ok(found) => found,
                Err(_) => Err("it took too long".to_owned()),
            },
            Err(_) => Err("the server stops".to_owned()),
        };
        hall.looks.waiting.fetch_sub(1, Relaxed);
        answer(&hall, found);
    }));
}

async fn run(hall: &Hall, wanted: Look) -> Result<Vec<u8>, String> {
    let federation = &hall.federation;
    match wanted {
        Look::Https { url, limit } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            look::https::get(&federation.resolver, &federation.roots(), &url, limit, WITHIN).await
        }
        Look::Spki { domain, port } => {
            let served = hall.shared.tls.current();
            let seen = look::spki(&federation.resolver, &domain, port, &served.peers, WITHIN);
            seen.await.map(|hash| hash.to_vec())
        }
        Look::Txt { name } => {
            let found = federation.resolver.txt(&name).await;
            found.map(|found| pack(&found)).map_err(|why| why.to_string())
        }
    }
}

/// One byte, 1 when DNSSEC secures it, then each text behind its length.
fn pack(found: &Txt) -> Vec<u8> {
    let mut bytes = vec![u8::from(found.is_secure)];
    for record in &found.records {
        let Ok(length) = u16::try_from(record.len()) else { continue };
        bytes.extend(length.to_le_bytes());
        bytes.extend(record);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_behind_their_lengths() {
        let found = Txt { records: vec![b"ab".to_vec(), Vec::new()], is_secure: true };
        assert_eq!(pack(&found), [1, 2, 0, b'a', b'b', 0, 0]);
    }
}
