//! The two ways in which an authority sees that a name is ours (see [`crate::acme`]).

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::acme::{ALPN, Challenges};
use crate::tls;

/// How many may ask at the same time.
const CONNECTIONS_MAX: usize = 64;

/// Serves HTTP-01 at `listeners`, and nothing else (RFC 8555 §8.3).
///
/// # Errors
///
/// What the system says.
pub(super) fn serve(
    listeners: Vec<TcpListener>,
    challenges: Arc<Challenges>,
) -> io::Result<Server> {
    let challenges = web::Data::from(challenges);
    let app = move || {
        App::new()
            .app_data(challenges.clone())
            .route("/.well-known/acme-challenge/{token}", web::get().to(answer))
    };
    let mut server = HttpServer::new(app)
        .workers(1)
        .disable_signals()
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(Duration::from_secs(5))
        .keep_alive(Duration::from_secs(1))
        .shutdown_timeout(1);
    for listener in listeners {
        server = server.listen(listener)?;
    }
    Ok(server.run())
}

/// Returns what a connection gets in TLS while there is no certificate.
///
/// # Errors
///
/// What the library says, which it does not.
pub(super) fn tls(challenges: &Arc<Challenges>) -> io::Result<ServerConfig> {
    let resolver = Arc::new(OnlyChallenges(Arc::clone(challenges)));
    tls::configure(resolver, &[ALPN]).map_err(io::Error::other)
}

/// Serves TLS-ALPN-01 at `listeners`, and nothing else (RFC 8737 §3).
///
/// # Errors
///
/// What the system says.
pub(super) fn serve_by_tls(listeners: Vec<TcpListener>, tls: ServerConfig) -> io::Result<Server> {
    let mut server = HttpServer::new(App::new)
        .workers(1)
        .disable_signals()
        .max_connections(CONNECTIONS_MAX)
        .tls_handshake_timeout(Duration::from_secs(5))
        .client_request_timeout(Duration::from_secs(5))
        .shutdown_timeout(1);
    for listener in listeners {
        server = server.listen_rustls_0_23(listener, tls.clone())?;
    }
    Ok(server.run())
}

/// Returns the certificate for a challenge, and `None` when `hello` is not one: then nothing else
/// may be offered (RFC 8737 §3).
pub(super) fn certificate(
    challenges: &Challenges,
    hello: &ClientHello<'_>,
) -> Option<Option<Arc<CertifiedKey>>> {
    let mut names = hello.alpn()?;
    let is_asked = names.next() == Some(ALPN) && names.next().is_none();
    is_asked.then(|| challenges.certificate(hello.server_name()?))
}

/// Has a certificate for challenges alone.
struct OnlyChallenges(Arc<Challenges>);

impl ResolvesServerCert for OnlyChallenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        certificate(&self.0, &hello).flatten()
    }
}

impl fmt::Debug for OnlyChallenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnlyChallenges").finish_non_exhaustive()
    }
}

async fn answer(token: web::Path<String>, challenges: web::Data<Challenges>) -> HttpResponse {
    match challenges.answer(&token) {
        Some(answer) => HttpResponse::Ok().content_type("application/octet-stream").body(answer),
        None => HttpResponse::NotFound().finish(),
    }
}
