//! The paths of modules.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use calypte::wire::Question;
use tokio::sync::oneshot;
use tokio::time::timeout;
use xmpp::Condition;

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

/// What a module answers the world, for a path that it registered for that.
pub(super) async fn public(
    request: HttpRequest,
    body: web::Bytes,
    shared: web::Data<Shared>,
) -> HttpResponse {
    answer(&request, &body, &shared, true).await
}

async fn answer(
    request: &HttpRequest,
    body: &[u8],
    shared: &Shared,
    is_public: bool,
) -> HttpResponse {
    let path = request.path();
    if !shared.modules.load().serves_path(path, is_public) {
        return told(404, "there is nothing here");
    }
    let Some(running) = shared.running() else {
        return told(503, "the server starts or stops");
    };
    let question = Question {
        method: request.method().as_str().to_owned(),
        query: request.query_string().to_owned(),
        body: body.to_vec(),
        asker: String::new(),
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

fn respond(answer: Answer) -> HttpResponse {
    match answer.body {
        Ok(body) => {
            let kind = answer.content_type.as_deref().unwrap_or("text/plain; charset=utf-8");
            // What a module answers is never guessed to be something else by a browser.
            let nosniff = ("X-Content-Type-Options", "nosniff");
            HttpResponse::Ok().content_type(kind).insert_header(nosniff).body(body)
        }
        Err(error) => {
            let text = error.text.as_deref().unwrap_or_else(|| error.condition.name());
            told(status(error.condition), text)
        }
    }
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

fn told(status: u16, text: &str) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = "text/plain; charset=utf-8";
    HttpResponse::build(status).content_type(kind).body(format!("{text}\n"))
}
