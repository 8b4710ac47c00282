//! `/metrics`, `/healthz`, `/readyz` and the paths of modules, on loopback, in a thread of their
//! own.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use calypte::wire::Question;
use tokio::sync::oneshot;
use tokio::time::timeout;
use xmpp::Condition;

use crate::server::{Answer, Asking, Shared};

/// The longest body of a request to a module.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a module may take for its answer. One call takes microseconds; the disk, what it takes.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How many may ask at the same time.
const CONNECTIONS_MAX: usize = 64;
/// Below this many days of its certificate the server says that it is not ready.
const CERTIFICATE_DAYS_MIN: i64 = 3;

/// The thread that answers HTTP. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct HttpThread {
    handle: Option<ServerHandle>,
    thread: Option<JoinHandle<()>>,
}

impl HttpThread {
    /// Answers at `listeners`.
    ///
    /// # Errors
    ///
    /// What the system says when there can be no thread.
    pub(crate) fn start(listeners: Vec<TcpListener>, shared: &Arc<Shared>) -> io::Result<Self> {
        if listeners.is_empty() {
            return Ok(Self { handle: None, thread: None });
        }
        let shared = web::Data::from(Arc::clone(shared));
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            let outcome = actix_web::rt::System::new().block_on(async move {
                let server = serve(listeners, shared)?;
                drop(sender.send(server.handle()));
                server.await
            });
            if let Err(error) = outcome {
                tracing::error!(%error, "HTTP stopped; there are no metrics and no health checks.");
            }
        })?;
        Ok(Self { handle: receiver.recv().ok(), thread: Some(thread) })
    }
}

impl Drop for HttpThread {
    fn drop(&mut self) {
        // The stop command is sent at once; the future only waits for it to be carried out, which
        // joining the thread does as well.
        let stop = self.handle.take().map(|handle| handle.stop(false));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        drop(stop);
    }
}

fn serve(
    listeners: Vec<TcpListener>,
    shared: web::Data<Shared>,
) -> io::Result<actix_web::dev::Server> {
    let app = move || {
        App::new()
            .app_data(shared.clone())
            .route("/metrics", web::get().to(metrics))
            .route("/healthz", web::get().to(health))
            .route("/readyz", web::get().to(ready))
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .default_service(web::to(module))
    };
    let mut server = HttpServer::new(app)
        .workers(1)
        .disable_signals()
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(Duration::from_secs(5))
        .keep_alive(Duration::from_secs(5))
        .shutdown_timeout(1);
    for listener in listeners {
        server = server.listen(listener)?;
    }
    Ok(server.run())
}

async fn metrics(shared: web::Data<Shared>) -> HttpResponse {
    let days = shared.tls.current().days_left();
    let health = shared.store.health();
    let mut text = shared.metrics.render();
    for (name, doc, value) in [
        ("calypte_up_seconds", "Since the start.", shared.started.elapsed().as_secs().to_string()),
        ("calypte_certificate_days", "Until the certificate expires.", days.to_string()),
        ("calypte_store_free_bytes", "Free on the disk.", health.free_bytes.to_string()),
        (
            "calypte_store_writable",
            "1 while the store takes writes.",
            u8::from(health.writable).to_string(),
        ),
    ] {
        text.push_str(&format!("# HELP {name} {doc}\n# TYPE {name} gauge\n{name} {value}\n"));
    }
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

/// What a module answers, for the path that it registered.
async fn module(request: HttpRequest, body: web::Bytes, shared: web::Data<Shared>) -> HttpResponse {
    let path = request.path();
    if !shared.modules.load().serves_path(path) {
        return told(404, "there is nothing here");
    }
    let Some(running) = shared.running() else {
        return told(503, "the server starts or stops");
    };
    let question = Question {
        method: request.method().as_str().to_owned(),
        query: request.query_string().to_owned(),
        body: body.to_vec(),
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

/// The process answers.
async fn health() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// Clients can log in and what they send can be kept.
async fn ready(shared: web::Data<Shared>) -> HttpResponse {
    let mut faults = Vec::new();
    if !shared.is_ready() {
        faults.push("clients cannot log in".to_owned());
    }
    if !shared.store.health().writable {
        faults.push("the store takes no writes".to_owned());
    }
    let days = shared.tls.current().days_left();
    if days < CERTIFICATE_DAYS_MIN {
        faults.push(format!("the certificate is valid for {days} days"));
    }
    if faults.is_empty() {
        HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ready\n")
    } else {
        let text = faults.join("\n") + "\n";
        HttpResponse::ServiceUnavailable().content_type("text/plain; charset=utf-8").body(text)
    }
}
