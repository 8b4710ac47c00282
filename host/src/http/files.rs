//! Files that people send each other (XEP-0363 §7): bytes in and out. Whether they may, module
//! `upload` says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Resource, web};
use calypte::tables::{FILE_LINKS, file_link};
use calypte::wire::{FILES_PATH, FileAnswer, FileAsked, Question, decode, encode};
use table::full_key;
use tokio::sync::oneshot;
use tokio::time::timeout;
use xmpp::Jid;

use crate::server::{Asking, Shared};

mod give;
mod take;

/// How long the module may take for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How many files may come or go at the same time.
const TRANSFERS_MAX: usize = 256;
/// How many files of one account may come at the same time.
const COMING_MAX: usize = 8;
/// Letters of a token.
const TOKEN_LETTERS: usize = 32;
/// The longest name in an address, in bytes as it stands there.
const NAME_BYTES_MAX: usize = 3 * 255;
/// Nothing of ours is executed by a browser, and no page of others is around it.
const POLICY: &str =
    "default-src 'none'; img-src 'self'; media-src 'self'; frame-ancestors 'none'; sandbox";

/// What stays free for the store, in bytes.
const FREE_BYTES_MIN: u64 = 192 << 20;

/// Which files come, by their links.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    coming: Mutex<BTreeMap<Vec<u8>, Arriving>>,
    going: Mutex<usize>,
}

/// A file that comes.
#[derive(Debug)]
struct Arriving {
    account: String,
    /// How many of its bytes are not written yet.
    left: u64,
}

impl Transfers {
    /// Takes a place, unless the same file comes already, there are too many, or there is no room for
    /// it and for what is left of the others.
    fn begin(
        &self,
        link: &[u8],
        account: &str,
        bytes: u64,
        free_bytes: impl FnOnce() -> u64,
    ) -> Result<(), Refused> {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        if coming.contains_key(link) {
            return Err(told(StatusCode::CONFLICT, "the file comes already"));
        }
        let own = coming.values().filter(|other| other.account == account).count();
        if coming.len() >= TRANSFERS_MAX || own >= COMING_MAX {
            return Err(too_many());
        }
        let needed = bytes.saturating_add(FREE_BYTES_MIN);
        let needed = coming.values().fold(needed, |sum, other| sum.saturating_add(other.left));
        if free_bytes() < needed {
            return Err(disk_full());
        }
        coming.insert(link.to_vec(), Arriving { account: account.to_owned(), left: bytes });
        Ok(())
    }

    /// Notes that so many bytes of a file are written.
    fn came(&self, link: &[u8], bytes: u64) {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = coming.get_mut(link) {
            one.left = one.left.saturating_sub(bytes);
        }
    }
}

/// Returns what answers below [`FILES_PATH`].
pub(super) fn resource() -> Resource {
    web::resource(format!("{FILES_PATH}/{{rest:.*}}"))
        .route(web::put().to(take::put))
        .route(web::get().to(give::get))
        .route(web::head().to(give::get))
        .route(web::method(Method::OPTIONS).to(options))
        .default_service(web::to(nothing_else))
}

/// What scripts of any page may do (XEP-0363 §8): a link is all that is needed, so it says no more
/// than that.
async fn options(shared: web::Data<Shared>) -> HttpResponse {
    if !shared.modules.load().keeps_files() {
        return *told(StatusCode::NOT_FOUND, "there is nothing here");
    }
    let mut answer = begin(StatusCode::NO_CONTENT);
    answer.insert_header(("Access-Control-Allow-Methods", "OPTIONS, HEAD, GET, PUT"));
    answer.insert_header((
        "Access-Control-Allow-Headers",
        "Authorization, Content-Type, If-None-Match, If-Range, Range",
    ));
    answer.insert_header(("Access-Control-Max-Age", "7200"));
    answer.finish()
}

async fn nothing_else() -> HttpResponse {
    let mut answer = begin(StatusCode::METHOD_NOT_ALLOWED);
    answer.insert_header((header::ALLOW, "OPTIONS, HEAD, GET, PUT")).finish()
}

/// An answer that ends a request before it is done.
type Refused = Box<HttpResponse>;

/// Begins an answer with what stands in all of them.
fn begin(status: StatusCode) -> HttpResponseBuilder {
    let mut answer = HttpResponse::build(status);
    answer
        .insert_header(("Access-Control-Allow-Origin", "*"))
        .insert_header((
            "Access-Control-Expose-Headers",
            "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag",
        ))
        .insert_header(("Content-Security-Policy", POLICY))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .insert_header(("X-Content-Type-Options", "nosniff"));
    answer
}

fn told(status: StatusCode, text: &str) -> Refused {
    let mut answer = begin(status);
    answer
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("text/plain; charset=utf-8");
    Box::new(answer.body(format!("{text}\n")))
}

fn internal() -> Refused {
    told(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here")
}

/// A link and whose it is.
struct Found {
    account: Jid,
    link: Vec<u8>,
    name: String,
}

/// Finds the account behind an address, before anybody is asked.
fn find(request: &HttpRequest, shared: &Shared) -> Result<Found, Refused> {
    let nothing = || told(StatusCode::NOT_FOUND, "there is no such file, or not any more");
    if !shared.modules.load().keeps_files() {
        return Err(nothing());
    }
    let (link, name) = read_path(request.uri().path()).ok_or_else(nothing)?;
    let row = shared.store.reader().get(&full_key(FILE_LINKS.name, "", &link));
    let row = row.map_err(|_| internal())?.ok_or_else(nothing)?;
    let account = FILE_LINKS.decode(&row).map_err(|_| internal())?.account;
    let account = account.parse().map_err(|_| internal())?;
    Ok(Found { account, link, name })
}

/// Reads a path: `/upload/TOKEN/NAME`, and nothing else.
fn read_path(path: &str) -> Option<(Vec<u8>, String)> {
    let rest = path.strip_prefix(FILES_PATH)?.strip_prefix('/')?;
    let (token, name) = rest.split_once('/')?;
    let is_token = token.len() == TOKEN_LETTERS
        && token.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !is_token || name.is_empty() || name.contains('/') || name.len() > NAME_BYTES_MAX {
        return None;
    }
    Some((file_link(token), xmpp::uri::unescaped(name)?))
}

/// Asks the module.
async fn ask(shared: &Shared, account: &Jid, asked: &FileAsked) -> Result<FileAnswer, Refused> {
    let busy = || told(StatusCode::SERVICE_UNAVAILABLE, "the server is busy, or stops");
    let running = shared.running().ok_or_else(busy)?;
    let question = Question { body: encode(asked), ..Question::default() };
    let asking = Asking { kind: "files", name: "-".to_owned(), owner: account.clone(), question };
    let (sender, receiver) = oneshot::channel();
    let taker = Box::new(move |answer| drop(sender.send(answer)));
    let token = running.ask(asking, taker).ok_or_else(busy)?;
    let Ok(Ok(answer)) = timeout(ANSWER_WITHIN, receiver).await else {
        running.forget(token);
        return Err(told(StatusCode::GATEWAY_TIMEOUT, "it took too long"));
    };
    let body = answer.body.map_err(|_| internal())?;
    match decode(&body).ok_or_else(internal)? {
        FileAnswer::Refuse { status, text } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
            Err(told(status, &text))
        }
        answer => Ok(answer),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Holds a place among the files that come; it is free again when this is dropped.
#[derive(Debug)]
struct Coming(Arc<Shared>, Vec<u8>);

impl Coming {
    /// Takes a place for a file of so many bytes.
    fn take(shared: &Arc<Shared>, found: &Found, bytes: u64) -> Result<Self, Refused> {
        let free_bytes = || shared.store.health().free_bytes;
        shared.transfers.begin(&found.link, found.account.as_str(), bytes, free_bytes)?;
        Ok(Self(Arc::clone(shared), found.link.clone()))
    }

    /// So many bytes of it are written.
    fn came(&self, bytes: u64) {
        self.0.transfers.came(&self.1, bytes);
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let coming = &self.0.transfers.coming;
        coming.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Holds a place among the files that go.
#[derive(Debug)]
struct Going(Arc<Shared>);

impl Going {
    fn take(shared: &Arc<Shared>) -> Result<Self, Refused> {
        let mut going = shared.transfers.going.lock().unwrap_or_else(PoisonError::into_inner);
        if *going >= TRANSFERS_MAX {
            return Err(too_many());
        }
        *going = going.saturating_add(1);
        Ok(Self(Arc::clone(shared)))
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let mut going = self.0.transfers.going.lock().unwrap_or_else(PoisonError::into_inner);
        *going = going.saturating_sub(1);
    }
}

fn disk_full() -> Refused {
    tracing::error!("The disk is full: files that people send are refused.");
    told(StatusCode::INSUFFICIENT_STORAGE, "there is no room on this server now")
}

fn too_many() -> Refused {
    let mut answer = told(StatusCode::SERVICE_UNAVAILABLE, "too many files come or go; try again");
    answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("30"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_come_together_do_not_share_the_same_room() {
        let transfers = Transfers::default();
        let free = || FREE_BYTES_MIN + 100;
        let begin = |link: &[u8], bytes| {
            let begun = transfers.begin(link, "ana@a.example", bytes, free);
            begun.map_err(|refused| refused.status().as_u16())
        };
        assert_eq!(begin(b"a", 101), Err(507));
        assert_eq!(begin(b"a", 60), Ok(()));
        assert_eq!(begin(b"a", 1), Err(409));
        assert_eq!(begin(b"b", 41), Err(507));
        // What is written is not free any more, and not outstanding either.
        transfers.came(b"a", 1);
        assert_eq!(begin(b"b", 41), Ok(()));
        transfers.came(b"a", u64::MAX);
        assert_eq!(begin(b"c", 60), Err(507));
        assert_eq!(begin(b"c", 59), Ok(()));
    }

    #[test]
    fn only_addresses_of_files_are_read() {
        let token = "a".repeat(TOKEN_LETTERS);
        let name = |path: &str| read_path(&path.replace("TOKEN", &token)).map(|(_, name)| name);
        assert_eq!(name("/upload/TOKEN/tr%C3%A8s%20cool.jpg").as_deref(), Some("très cool.jpg"));
        // It is a name to look up in a row, and none on disk.
        assert_eq!(name("/upload/TOKEN/%2e%2e").as_deref(), Some(".."));
        assert_eq!(name("/upload/TOKEN/%00").as_deref(), Some("\0"));
        for path in [
            "/upload",
            "/upload/",
            "/upload/TOKEN",
            "/upload/TOKEN/",
            "/upload/TOKEN/a/b",
            "/upload/TOKEN/../../etc/passwd",
            "/upload//TOKEN/a",
            "/upload/TOKENa/a",
            "/upload/%2e%2e/a",
            "/upload/TOKEN/%",
            "/upload/TOKEN/%f",
            "/upload/TOKEN/%ff",
            "/upload/TOKEN/%+1",
            "/uploads/TOKEN/a",
        ] {
            assert_eq!(name(path), None, "{path}");
        }
        assert_eq!(name(&format!("/upload/TOKEN/{}", "a".repeat(NAME_BYTES_MAX + 1))), None);
    }
}
