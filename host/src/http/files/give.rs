//! Files that go, whole or in part.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use calypte::wire::{FileAnswer, FileAsked};
use tokio::task::JoinHandle;

use super::{Found, Going, Refused, ask, begin, find, internal, text, told};
use crate::files::Reading;
use crate::server::Shared;

/// How long one may take before it has to be fast enough.
const SLOW_AFTER: Duration = Duration::from_secs(60);
/// What the slowest connection has to manage, in bytes a second.
const RATE_MIN: u64 = 8 << 10;

/// Gives a file to whoever has its address.
pub(super) async fn get(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let shared = shared.into_inner();
    match give(&request, &shared).await {
        Ok(given) => given,
        Err(refused) => *refused,
    }
}

async fn give(request: &HttpRequest, shared: &Arc<Shared>) -> Result<HttpResponse, Refused> {
    let Found { account, link, name } = find(request, shared)?;
    let answer = ask(shared, &account, &FileAsked::Get { link, name }).await?;
    let FileAnswer::Give { blob, bytes, kind, is_inline, name, tag, max_age } = answer else {
        return Err(internal());
    };
    let tag = format!("\"{tag}\"");
    let headers = request.headers();
    let is_known = text(headers, &header::IF_NONE_MATCH).is_some_and(|known| {
        known.split(',').any(|one| {
            matches!(one.trim().trim_start_matches("W/"), "*")
                || one.trim().trim_start_matches("W/") == tag
        })
    });
    let is_head = request.method() == Method::HEAD;
    let part = if is_head { Part::All } else { part(headers, &tag, bytes) };
    let (status, from, to) = match part {
        _ if is_known => (StatusCode::NOT_MODIFIED, 0, 0),
        Part::All => (StatusCode::OK, 0, bytes),
        Part::Of(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
        Part::Outside => {
            let mut refused = told(StatusCode::RANGE_NOT_SATISFIABLE, "the file ends before that");
            set(&mut refused, header::CONTENT_RANGE, &format!("bytes */{bytes}"));
            return Err(refused);
        }
    };
    let mut given = begin(status);
    given
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, format!("private, max-age={max_age}, immutable")));
    if is_known {
        return Ok(given.finish());
    }
    given
        .insert_header((header::CONTENT_TYPE, kind))
        .insert_header((header::CONTENT_DISPOSITION, disposition(is_inline, &name)))
        .insert_header((header::ACCEPT_RANGES, "bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        let last = to.saturating_sub(1);
        given.insert_header((header::CONTENT_RANGE, format!("bytes {from}-{last}/{bytes}")));
    }
    let name = blob.try_into().map_err(|_| internal())?;
    let going = Going::take(shared)?;
    let opening = Arc::clone(shared);
    let opened = tokio::task::spawn_blocking(move || opening.files.read(&name, bytes)).await;
    let reading = opened.map_err(|_| internal())?.map_err(|error| broken(&error))?;
    let to = if is_head { from } else { to };
    let length = if is_head { bytes } else { to.saturating_sub(from) };
    Ok(given.body(Body {
        reading: Some(Arc::new(reading)),
        next: None,
        at: from,
        to,
        from,
        length,
        since: Instant::now(),
        going,
    }))
}

fn set(answer: &mut HttpResponse, name: header::HeaderName, value: &str) {
    if let Ok(value) = header::HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// The file stands in a row and cannot be read.
fn broken(error: &io::Error) -> Refused {
    tracing::warn!(%error, "A file that somebody sent cannot be read; `calypte verify` tells which.");
    told(StatusCode::NOT_FOUND, "there is no such file any more")
}

/// What is asked for of a file.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    All,
    /// From a byte to before another one.
    Of(u64, u64),
    Outside,
}

/// Reads which part is meant (RFC 9110 §14.2). Several parts at once are given as the whole, which is
/// allowed; and so is what cannot be read.
fn part(headers: &HeaderMap, tag: &str, bytes: u64) -> Part {
    let Some(range) = text(headers, &header::RANGE) else { return Part::All };
    if headers.contains_key(header::IF_RANGE) && text(headers, &header::IF_RANGE) != Some(tag) {
        return Part::All;
    }
    let Some((unit, range)) = range.split_once('=') else { return Part::All };
    let Some((first, last)) = range.trim().split_once('-') else { return Part::All };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Part::All;
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What is too large to be a number is behind the end.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    match (first.trim(), last.trim()) {
        ("", last) if is_number(last) => match number(last) {
            0 => Part::Outside,
            last => Part::Of(bytes.saturating_sub(last), bytes),
        },
        (first, "") if is_number(first) => match number(first) {
            first if first >= bytes => Part::Outside,
            first => Part::Of(first, bytes),
        },
        (first, last) if is_number(first) && is_number(last) => {
            let (first, last) = (number(first), number(last));
            match (first, last) {
                _ if first > last => Part::All,
                _ if first >= bytes => Part::Outside,
                _ => Part::Of(first, last.saturating_add(1).min(bytes)),
            }
        }
        _ => Part::All,
    }
}

/// Says what a file is called (RFC 6266): plainly for old programs, then in full.
fn disposition(is_inline: bool, name: &str) -> String {
    let how = if is_inline { "inline" } else { "attachment" };
    let is_plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\' | '%');
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut full = String::new();
    for byte in name.bytes() {
        // RFC 8187 §3.2.1.
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            full.push(char::from(byte));
        } else {
            full.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{how}; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

/// The content, a chunk at a time: no more is read than the connection takes.
struct Body {
    reading: Option<Arc<Reading>>,
    next: Option<JoinHandle<io::Result<Vec<u8>>>>,
    at: u64,
    to: u64,
    from: u64,
    /// What the header says.
    length: u64,
    since: Instant,
    going: Going,
}

impl MessageBody for Body {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<web::Bytes, io::Error>>> {
        let this = &mut *self;
        if this.at >= this.to {
            return Poll::Ready(None);
        }
        if this.is_too_slow() {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        if this.next.is_none() {
            let (Some(reading), at) = (this.reading.clone(), this.at) else {
                return Poll::Ready(None);
            };
            this.next = Some(tokio::task::spawn_blocking(move || reading.from(at)));
        }
        let Some(next) = &mut this.next else { return Poll::Ready(None) };
        let Poll::Ready(read) = Pin::new(next).poll(cx) else { return Poll::Pending };
        this.next = None;
        let mut read = match read.map_err(io::Error::other).flatten() {
            Ok(read) if !read.is_empty() => read,
            // The connection breaks off, as the rest cannot be given.
            Ok(_) => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            Err(error) => {
                drop(broken(&error));
                return Poll::Ready(Some(Err(error)));
            }
        };
        let left = usize::try_from(this.to.saturating_sub(this.at)).unwrap_or(usize::MAX);
        read.truncate(left);
        let bytes = u64::try_from(read.len()).unwrap_or(u64::MAX);
        this.at = this.at.saturating_add(bytes);
        this.going.0.metrics.file_bytes_out.add(bytes);
        Poll::Ready(Some(Ok(read.into())))
    }
}

impl Body {
    fn is_too_slow(&self) -> bool {
        let seconds = self.since.elapsed().saturating_sub(SLOW_AFTER).as_secs();
        self.at.saturating_sub(self.from) < seconds.saturating_mul(RATE_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &str, if_range: Option<&str>) -> Part {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        if let Some(tag) = if_range {
            headers.insert(header::IF_RANGE, tag.parse().unwrap());
        }
        part(&headers, "\"t\"", 100)
    }

    #[test]
    fn parts_are_read_as_they_are_meant() {
        for (range, expected) in [
            ("bytes=0-9", Part::Of(0, 10)),
            ("bytes=90-", Part::Of(90, 100)),
            ("bytes=90-1000", Part::Of(90, 100)),
            ("bytes=-10", Part::Of(90, 100)),
            ("bytes=-1000", Part::Of(0, 100)),
            ("Bytes = 5-5", Part::Of(5, 6)),
            ("bytes=100-", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=99999999999999999999999-", Part::Outside),
            ("bytes=5-4", Part::All),
            ("bytes=0-1,3-4", Part::All),
            ("bytes=a-b", Part::All),
            ("bytes=-", Part::All),
            ("bytes=+1-2", Part::All),
            ("lines=0-1", Part::All),
            ("bytes", Part::All),
        ] {
            assert_eq!(of(range, None), expected, "{range}");
        }
        assert_eq!(of("bytes=0-9", Some("\"t\"")), Part::Of(0, 10));
        assert_eq!(of("bytes=0-9", Some("\"u\"")), Part::All);
        assert_eq!(of("bytes=0-9", Some("W/\"t\"")), Part::All);
    }

    #[test]
    fn names_stay_inside_their_header() {
        assert_eq!(
            disposition(true, "très \"cool\".jpg"),
            "inline; filename=\"tr_s _cool_.jpg\"; filename*=UTF-8''tr%C3%A8s%20%22cool%22.jpg"
        );
        let odd = disposition(false, "a\r\nb; c=\"d\\");
        assert!(odd.starts_with("attachment; filename=\"a__b; c=_d_\"; "), "{odd}");
        assert!(odd.chars().all(|c| c.is_ascii_graphic() || c == ' '));
    }
}
