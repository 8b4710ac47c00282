//! What the world may fetch, by HTTPS with the server's certificate: `host-meta`, and the paths that
//! modules made public. No figures, no health, no name or version of the program.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, Service};
use actix_web::{App, HttpServer, error, web};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::timeout;

use super::{challenge, files, host_meta, module};
use crate::acme::ALPN;
use crate::server::Shared;
use crate::tls;

/// The longest body of a request.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How many may be connected at the same time.
const CONNECTIONS_MAX: usize = 512;
/// How many handshakes may be under way at the same time.
const HANDSHAKES_MAX: usize = 64;
/// How long the head of a request, its body and the answer may take together.
const WITHIN: Duration = Duration::from_secs(15);
/// How long each single part of a conversation may take, and how long silence is borne.
const PART_WITHIN: Duration = Duration::from_secs(5);

/// How long a client may read nothing of an answer.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// Returns what a connection gets in TLS.
///
/// # Errors
///
/// What the library says, which it does not.
pub(super) fn tls(shared: &Arc<Shared>) -> io::Result<ServerConfig> {
    let resolver = Arc::new(InForce(Arc::clone(shared)));
    tls::configure(resolver, &[ALPN]).map_err(io::Error::other)
}

/// Serves at `listeners`.
///
/// # Errors
///
/// What the system says.
pub(super) fn serve(
    listeners: Vec<TcpListener>,
    tls: ServerConfig,
    shared: web::Data<Shared>,
) -> io::Result<Server> {
    let app = move || {
        App::new()
            .app_data(shared.clone())
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .wrap_fn(|request, service| {
                // What is as long as people's files has bounds of its own.
                let is_file = files::is_path(request.path());
                let answer = service.call(request);
                async move {
                    if is_file {
                        return answer.await;
                    }
                    let late = |_| error::ErrorRequestTimeout("it took too long\n");
                    timeout(WITHIN, answer).await.map_err(late)?
                }
            })
            .service(host_meta::resource(host_meta::XRD, host_meta::xrd))
            .service(host_meta::resource(host_meta::JRD, host_meta::jrd))
            .service(files::resource())
            .default_service(web::to(module::public))
    };
    let mut server = HttpServer::new(app)
        .workers(1)
        .disable_signals()
        .max_connections(CONNECTIONS_MAX)
        .max_connection_rate(HANDSHAKES_MAX)
        .tls_handshake_timeout(PART_WITHIN)
        .client_request_timeout(PART_WITHIN)
        .client_disconnect_timeout(Duration::from_secs(1))
        .keep_alive(PART_WITHIN)
        .shutdown_timeout(1);
    for listener in listeners {
        bound_silence(&listener)?;
        server = server.listen_rustls_0_23(listener, tls.clone())?;
    }
    Ok(server.run())
}

/// Ends connections that take nothing of what was written to them for so long: the system does, for all
/// that this listener accepts.
fn bound_silence(listener: &TcpListener) -> io::Result<()> {
    socket2::SockRef::from(listener).set_tcp_user_timeout(Some(READ_WITHIN))
}

/// Answers with the certificate that is in force when the connection comes, and an authority that
/// asks for one with its proof.
struct InForce(Arc<Shared>);

impl ResolvesServerCert for InForce {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let challenge = challenge::certificate(&self.0.acme.challenges, &hello);
        challenge.unwrap_or_else(|| Some(Arc::clone(&self.0.tls.current().certified)))
    }
}

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InForce").finish_non_exhaustive()
    }
}
