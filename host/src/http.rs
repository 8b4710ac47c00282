//! What is answered by HTTP: figures, health and the paths of modules on loopback; what the world may
//! fetch, by HTTPS. Each has a thread of its own.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::sync::oneshot;

use crate::acme::Challenges;
use crate::server::Shared;

mod arrivals;
mod bosh;
mod caller;
mod challenge;
mod files;
mod folder;
mod host_meta;
mod module;
pub(crate) mod places;
mod public;
mod websocket;
mod wire;

pub(crate) use arrivals::{Arrivals, Arrived};
pub(crate) use public::Doors;

/// The longest body of a request to a module.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How many may ask at the same time.
const CONNECTIONS_MAX: usize = 64;
/// Below this many days of its certificate the server says that it is not ready.
const CERTIFICATE_DAYS_MIN: i64 = 3;

pub(crate) use files::Transfers;

/// A thread that answers HTTP. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct HttpThread {
    handle: Option<ServerHandle>,
    /// Dropping it stops the thread of the world.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpThread {
    /// Answers programs of this machine at `listeners`.
    ///
    /// # Errors
    ///
    /// What the system says when there can be no thread.
    pub(crate) fn start(listeners: Vec<TcpListener>, shared: &Arc<Shared>) -> io::Result<Self> {
        if listeners.is_empty() {
            return Ok(Self::none());
        }
        let shared = web::Data::from(Arc::clone(shared));
        Self::spawn("http", || serve(listeners, shared))
    }

    /// Answers the world at `doors`.
    ///
    /// # Errors
    ///
    /// As [`HttpThread::start`], and when TLS cannot be set up.
    pub(crate) fn start_public(doors: Doors, shared: &Arc<Shared>) -> io::Result<Self> {
        if doors.is_empty() {
            return Ok(Self::none());
        }
        let (tls, shared) = (public::tls(shared)?, Arc::clone(shared));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("https".to_owned()).spawn(move || {
            let serve = public::serve(doors, tls, shared, stopped);
            if let Err(error) = actix_web::rt::System::new().block_on(serve) {
                tracing::error!(%error, "The thread stopped; nothing is answered by HTTPS.");
            }
        })?;
        Ok(Self { handle: None, stop: Some(stop), thread: Some(thread) })
    }

    const fn none() -> Self {
        Self { handle: None, stop: None, thread: None }
    }

    /// Answers the challenges of an authority at `listeners`, by HTTP.
    ///
    /// # Errors
    ///
    /// As [`HttpThread::start`].
    pub(crate) fn start_challenges(
        listeners: Vec<TcpListener>,
        challenges: &Arc<Challenges>,
    ) -> io::Result<Self> {
        if listeners.is_empty() {
            return Ok(Self::none());
        }
        let challenges = Arc::clone(challenges);
        Self::spawn("challenges", || challenge::serve(listeners, challenges))
    }

    /// Answers the challenges of an authority at `listeners`, in TLS, and nobody else.
    ///
    /// # Errors
    ///
    /// As [`HttpThread::start_public`].
    pub(crate) fn start_challenges_by_tls(
        listeners: Vec<TcpListener>,
        challenges: &Arc<Challenges>,
    ) -> io::Result<Self> {
        let tls = challenge::tls(challenges)?;
        Self::spawn("challenges", || challenge::serve_by_tls(listeners, tls))
    }

    fn spawn(
        name: &'static str,
        serve: impl FnOnce() -> io::Result<Server> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let outcome = actix_web::rt::System::new().block_on(async move {
                let server = serve()?;
                drop(sender.send(server.handle()));
                server.await
            });
            if let Err(error) = outcome {
                tracing::error!(%error, name, "The thread stopped; nothing is answered there.");
            }
        })?;
        Ok(Self { handle: receiver.recv().ok(), stop: None, thread: Some(thread) })
    }
}

impl Drop for HttpThread {
    fn drop(&mut self) {
        // The stop command is sent at once; the future only waits for it to be carried out, which
        // joining the thread does as well.
        let stop = self.handle.take().map(|handle| handle.stop(false));
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        drop(stop);
    }
}

fn serve(listeners: Vec<TcpListener>, shared: web::Data<Shared>) -> io::Result<Server> {
    let app = move || {
        App::new()
            .app_data(shared.clone())
            .route("/metrics", web::get().to(metrics))
            .route("/healthz", web::get().to(health))
            .route("/readyz", web::get().to(ready))
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .default_service(web::to(module::own))
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
        ("calypte_files", "Files that people sent.", shared.files.count.get().to_string()),
        (
            "calypte_files_bytes",
            "What they take on the disk.",
            shared.files.bytes.get().to_string(),
        ),
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
