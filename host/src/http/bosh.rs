//! Requests of clients that come by HTTP alone (XEP-0124 §5). What they mean is the actors' matter;
//! here is what HTTP has to say of them.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use futures_util::StreamExt as _;
use stream::bosh::{Request, refusal};
use tokio::sync::oneshot;
use tokio::time::timeout;
use xml::Limits;

use super::caller::{Below, is_welcome};
use crate::actors::requests::Posted;
use crate::server::Shared;

/// The path, as everywhere.
pub(super) const PATH: &str = "/http-bind";
/// How long a request may take to come.
const READ_WITHIN: Duration = Duration::from_secs(15);
/// How long an answer may take: what a session holds, and what a busy server adds.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
/// What is read of a request before it says that it belongs to somebody who has logged in.
const STRANGER_BYTES: usize = 16 << 10;
/// Where a request has to have said so.
const TAG_BYTES: usize = 4096;

/// Answers a request.
pub(super) async fn post(
    request: HttpRequest,
    body: web::Payload,
    shared: web::Data<Shared>,
) -> HttpResponse {
    let mut answer = match begin(request.headers(), &shared) {
        Ok(answer) => answer,
        Err(refused) => return HttpResponse::build(refused).finish(),
    };
    answer.content_type("text/xml; charset=utf-8");
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    let Ok(Some(text)) = timeout(READ_WITHIN, read(body, &shared)).await else {
        return answer.body(refusal("bad-request"));
    };
    let stanza_bytes = if is_known(text.as_bytes(), &shared) {
        shared.config.load().limits.stanza.bytes()
    } else {
        Limits::before_login().stanza_bytes
    };
    let Some(asked) = Request::read(&text, stanza_bytes) else {
        return answer.body(refusal("bad-request"));
    };
    let (sender, receiver) = oneshot::channel();
    let sid = asked.sid.clone();
    let posted = Posted { request: asked, bytes: text.len(), answer: sender };
    drop(text);
    let Some(running) = shared.running().filter(|_| shared.is_ready()) else {
        return answer.body(refusal("system-shutdown"));
    };
    let is_taken = match sid {
        Some(sid) => match running.mailbox(&sid) {
            Some(mailbox) if mailbox.put(posted) => Ok(()),
            Some(_) => Err("policy-violation"),
            None => Err("item-not-found"),
        },
        None => match request.conn_data::<Below>() {
            Some(below) => {
                let (facts, asker) =
                    (below.bindable(request.headers()), below.asker(request.headers()));
                // What is bound would be the TLS of this one request.
                let facts = stream::Facts { exporter: None, end_point: None, ..facts };
                running.begin_session(posted, facts, asker);
                Ok(())
            }
            None => Err("internal-server-error"),
        },
    };
    if let Err(condition) = is_taken {
        return answer.body(refusal(condition));
    }
    match timeout(ANSWER_WITHIN, receiver).await {
        Ok(Ok(body)) => answer.body(body),
        // There was no place, or the session ended.
        Ok(Err(_)) => answer.body(refusal("policy-violation")),
        Err(_) => answer.body(refusal("remote-connection-failed")),
    }
}

/// Tells a browser what a page may ask (CORS).
pub(super) async fn options(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let mut answer = match begin(request.headers(), &shared) {
        Ok(answer) => answer,
        Err(refused) => return HttpResponse::build(refused).finish(),
    };
    answer
        .status(StatusCode::NO_CONTENT)
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, Method::POST.as_str()))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "7200"))
        .finish()
}

/// Begins an answer for a page that may ask.
///
/// # Errors
///
/// What one that may not is told, and all when this is switched off.
fn begin(headers: &HeaderMap, shared: &Shared) -> Result<HttpResponseBuilder, StatusCode> {
    let config = shared.config.load();
    if !config.web.bosh {
        return Err(StatusCode::NOT_FOUND);
    }
    if !is_welcome(headers, &config) {
        return Err(StatusCode::FORBIDDEN);
    }
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::VARY, "Origin"));
    if let Some(origin) = headers.get(header::ORIGIN) {
        answer.insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
    }
    Ok(answer)
}

/// Reads a request, as long as it may be; `None` when it is not one.
async fn read(mut body: web::Payload, shared: &Shared) -> Option<String> {
    let most = Request::bytes_max(shared.config.load().limits.stanza.bytes());
    let mut bytes = Vec::new();
    let mut may = STRANGER_BYTES;
    while let Some(piece) = body.next().await {
        // HTTP reads some 32 KiB at a time.
        bytes.extend_from_slice(&piece.ok()?);
        // A long one has to be somebody's who is known.
        if bytes.len() > may && may < most && is_known(&bytes, shared) {
            may = most;
        }
        if bytes.len() > may {
            return None;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether a request that is not all there says that it belongs to a session whose client has logged in.
fn is_known(bytes: &[u8], shared: &Shared) -> bool {
    let start = bytes.get(..TAG_BYTES.min(bytes.len())).unwrap_or_default();
    let start = String::from_utf8_lossy(start);
    let sid = start.split_once(" sid=").and_then(|(_, rest)| {
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        rest.get(1..)?.split_once(quote).map(|(sid, _)| sid)
    });
    let running = shared.running();
    let mailbox = sid.zip(running).and_then(|(sid, running)| running.mailbox(sid));
    mailbox.is_some_and(|mailbox| mailbox.is_known())
}
