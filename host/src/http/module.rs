//! The paths of modules.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, web};
use calypte::wire::{Head, Question};
use tokio::sync::oneshot;
use tokio::time::timeout;
use xmpp::Condition;

use super::caller::Below;
use super::{folder, public};
use crate::actors::gate::network;
use crate::server::{Answer, Asking, Shared};

/// How long a module may take for its answer. One call takes microseconds; the disk, what it takes.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What a module answers programs of this machine, for the path that it registered.
pub(super) async fn own(
    request: HttpRequest,
    body: web::Bytes,
    shared: web::Data<Shared>,
) -> HttpResponse {
    answer(&request, &body, &shared, false).await
}

/// What a module answers the world, for a path that it registered for that; for others what stands in
/// the operator's folder.
pub(super) async fn public(
    request: HttpRequest,
    body: web::Payload,
    shared: web::Data<Shared>,
) -> HttpResponse {
    if !shared.modules.load().serves_path(request.path(), true) {
        return folder::page(&request, &shared).await;
    }
    public::within(async {
        match body.to_bytes_limited(public::BODY_BYTES_MAX).await {
            Ok(Ok(body)) => answer(&request, &body, &shared, true).await,
            Ok(Err(_)) => told(400, "the body did not come"),
            Err(_) => told(413, "the body is too long"),
        }
    })
    .await
}

async fn answer(
    request: &HttpRequest,
    body: &[u8],
    shared: &Shared,
    is_public: bool,
) -> HttpResponse {
    let path = request.path();
    if !shared.modules.load().serves_path(path, is_public) {
        return missing();
    }
    let Some(running) = shared.running() else {
        return told(503, "the server starts or stops");
    };
    let question = Question {
        method: request.method().as_str().to_owned(),
        query: request.query_string().to_owned(),
        body: body.to_vec(),
        asker: String::new(),
        headers: known(request.headers()),
        address: asker(request).map_or_else(String::new, |address| network(address).to_string()),
    };
    let owner = shared.config.load().domain.clone();
    let asking = Asking { kind: "http", name: path.to_owned(), owner, question };
    let (sender, receiver) = oneshot::channel();
    // Who waited may be gone.
    let Some(token) = running.ask(asking, Box::new(move |answer| drop(sender.send(answer)))) else {
        return told(503, "too many requests wait for an answer");
    };
    match timeout(ANSWER_WITHIN, receiver).await {
        Ok(Ok(answer)) => respond(answer),
        Ok(Err(_)) | Err(_) => {
            running.forget(token);
            told(504, "the module gave no answer in time")
        }
    }
}

/// Returns for whom is asked.
fn asker(request: &HttpRequest) -> Option<IpAddr> {
    let below = request.conn_data::<Below>().map(|below| below.asker(request.headers()));
    below.or_else(|| request.peer_addr().map(|peer| peer.ip()))
}

fn respond(answer: Answer) -> HttpResponse {
    match answer.body {
        Ok(body) => {
            let head = answer.head.unwrap_or_else(|| Head::of_type("text/plain; charset=utf-8"));
            let mut response = HttpResponse::build(code(head.status));
            for header in head.headers {
                response.append_header(header);
            }
            // What a module answers is never guessed to be something else by a browser.
            response.insert_header(("X-Content-Type-Options", "nosniff")).body(body)
        }
        Err(error) => {
            let text = error.text.as_deref().unwrap_or_else(|| error.condition.name());
            told(status(error.condition), text)
        }
    }
}

/// Returns the headers that modules may know. What is no text is left out.
fn known(headers: &HeaderMap) -> Vec<(String, String)> {
    let value = |name: &str| headers.get(name)?.to_str().ok();
    let all = ["content-type", "host", "origin", "sec-fetch-site"].into_iter();
    let all = all.filter_map(|name| Some((name.to_owned(), value(name)?.to_owned())));
    let cookies = Some(cookies(headers)).filter(|all| !all.is_empty());
    all.chain(cookies.map(|all| ("cookie".to_owned(), all))).collect()
}

/// Returns all cookies as one field: they may come in many (RFC 9113 §8.2.3). One that is no text, of
/// something else on the same host, does not hide the others.
fn cookies(headers: &HeaderMap) -> String {
    let all =
        headers.get_all("cookie").flat_map(|field| field.as_bytes().split(|one| *one == b';'));
    let texts = all.filter_map(|one| std::str::from_utf8(one.trim_ascii()).ok());
    texts.filter(|one| !one.is_empty()).collect::<Vec<_>>().join("; ")
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Returns the HTTP status that says the same as an error of XMPP.
fn status(condition: Condition) -> u16 {
    match condition {
        Condition::BadRequest | Condition::JidMalformed | Condition::UnexpectedRequest => 400,
        Condition::NotAuthorized | Condition::RegistrationRequired => 401,
        Condition::Forbidden | Condition::PolicyViolation | Condition::SubscriptionRequired => 403,
        Condition::ItemNotFound => 404,
        Condition::NotAllowed => 405,
        Condition::NotAcceptable => 406,
        Condition::Conflict => 409,
        Condition::Gone => 410,
        Condition::FeatureNotImplemented => 501,
        Condition::ResourceConstraint | Condition::ServiceUnavailable => 503,
        Condition::RemoteServerTimeout => 504,
        _ => 500,
    }
}

/// Says that a path leads nowhere.
pub(super) fn missing() -> HttpResponse {
    told(404, "there is nothing here")
}

fn told(status: u16, text: &str) -> HttpResponse {
    let kind = "text/plain; charset=utf-8";
    HttpResponse::build(code(status)).content_type(kind).body(format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{COOKIE, HOST, HeaderValue};

    use super::*;

    #[test]
    fn no_cookie_hides_another() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("capulet.example"));
        let host = ("host".to_owned(), "capulet.example".to_owned());
        assert_eq!(known(&headers), std::slice::from_ref(&host));
        for field in [&b"a=1; b=\xff;c=2"[..], b"", b"\xfe=3", b"__Host-calypte=61.x"] {
            headers.append(COOKIE, HeaderValue::from_bytes(field).unwrap());
        }
        let cookies = "a=1; c=2; __Host-calypte=61.x".to_owned();
        assert_eq!(known(&headers), [host, ("cookie".to_owned(), cookies)]);
    }
}
