//! What the world may use, by HTTPS with the server's certificate: `host-meta`, clients in browsers,
//! and the paths that modules made public. No figures, no health, no name or version of the program.
//!
//! Connections are accepted here, within bounds for each address, and served by HTTP on one thread. One
//! that becomes a WebSocket leaves it. Nothing here bounds how long a request takes as a whole: each
//! page does (see [`within`]), and [`super::wire`] gives up who does not take an answer.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, Protocol, Request};
use actix_service::{Service, ServiceFactory, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::{App, HttpResponse, web};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::arrivals::Arrived;
use super::caller::Below;
use super::places::Place;
use super::wire::Wire;
use super::{bosh, challenge, files, host_meta, module, websocket};
use crate::acme::ALPN;
use crate::actors::{Socket, facts_of};
use crate::server::Shared;
use crate::tls::{self, BUFFER_BYTES};

/// The longest body of a request to a module.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;
/// How long a small request, its body and the answer may take together.
const WITHIN: Duration = Duration::from_secs(15);
/// How long each single part of a conversation may take, and how long silence is borne.
const PART_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait when the system has no descriptors left.
const REST: Duration = Duration::from_millis(100);

/// Where connections come from.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    /// With TLS.
    pub(crate) https: Vec<TcpListener>,
    /// In the clear, from this machine.
    pub(crate) plain: Vec<TcpListener>,
    /// Whether others accept connections for us too.
    pub(crate) is_shared: bool,
}

impl Doors {
    pub(super) fn is_empty(&self) -> bool {
        self.https.is_empty() && self.plain.is_empty() && !self.is_shared
    }
}

/// Returns what a connection gets in TLS. HTTP/2 is not offered: the library bounds neither how many
/// requests one connection has at a time nor what waits for who does not take it.
///
/// # Errors
///
/// What the library says, which it does not.
pub(super) fn tls(shared: &Arc<Shared>) -> io::Result<ServerConfig> {
    let resolver = Arc::new(InForce(Arc::clone(shared)));
    tls::configure(resolver, &[b"http/1.1", ALPN]).map_err(io::Error::other)
}

/// Serves at `doors` until it is told to stop.
///
/// # Errors
///
/// What the system says.
pub(super) async fn serve(
    doors: Doors,
    tls: ServerConfig,
    shared: Arc<Shared>,
    stop: oneshot::Receiver<Infallible>,
) -> io::Result<()> {
    let (data, upgrades) = (web::Data::from(Arc::clone(&shared)), Arc::clone(&shared));
    let service = HttpService::build()
        .client_request_timeout(PART_WITHIN)
        .client_disconnect_timeout(Duration::from_secs(1))
        .keep_alive(PART_WITHIN)
        // Who ends its side waits for nothing. A request that is held is given up then.
        .h1_allow_half_closed(false)
        .on_connect_ext(|wire: &Wire, data| {
            let (facts, address) = (wire.facts.clone(), wire.address);
            drop(data.insert(Below { facts, address }));
        })
        .upgrade(fn_service(move |(request, framed): (Request, _)| {
            let shared = Arc::clone(&upgrades);
            async move {
                websocket::upgrade(request, framed, &shared).await;
                Ok::<(), actix_web::Error>(())
            }
        }))
        .finish(map_config(app(data), |_| AppConfig::default()))
        .new_service(())
        .await
        .map_err(|()| io::Error::other("HTTP cannot be served"))?;
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let arrivals = shared.arrivals.take();
    let door = Rc::new(Door { shared, acceptor, service });
    if let Some(mut arrivals) = arrivals {
        let door = Rc::clone(&door);
        drop(actix_rt::spawn(async move {
            while let Some(Arrived { socket, peer, place }) = arrivals.recv().await {
                match TcpStream::from_std(socket) {
                    Ok(socket) => door.serve(socket, peer, place, true),
                    Err(error) => tracing::debug!(%error, "A connection was lost on its way."),
                }
            }
        }));
    }
    for (listeners, is_secure) in [(doors.https, true), (doors.plain, false)] {
        for listener in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            drop(actix_rt::spawn(accept(listener, is_secure, Rc::clone(&door))));
        }
    }
    // It ends by being dropped, and all that was spawned with this runtime.
    let _ = stop.await;
    Ok(())
}

/// Says what is served where.
fn app(
    shared: web::Data<Shared>,
) -> App<
    impl ServiceFactory<
        actix_web::dev::ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(shared)
        .service(host_meta::resource(host_meta::XRD, host_meta::xrd))
        .service(host_meta::resource(host_meta::JRD, host_meta::jrd))
        .service(
            web::resource(bosh::PATH)
                .route(web::post().to(bosh::post))
                .route(web::method(actix_web::http::Method::OPTIONS).to(bosh::options)),
        )
        .service(files::resource())
        .default_service(web::to(module::public))
}

/// Waits for a page that takes a moment, and not longer.
pub(super) async fn within(page: impl Future<Output = HttpResponse>) -> HttpResponse {
    let late = || HttpResponse::RequestTimeout().body("it took too long\n");
    timeout(WITHIN, page).await.unwrap_or_else(|_| late())
}

/// What all connections share.
struct Door<S> {
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
    service: S,
}

async fn accept<S>(listener: tokio::net::TcpListener, is_secure: bool, door: Rc<Door<S>>)
where
    S: Service<(Wire, Protocol, Option<SocketAddr>)> + 'static,
    S::Error: fmt::Debug,
{
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => door.welcome(socket, peer, is_secure),
            Err(error) => {
                tracing::debug!(%error, "No connection can be accepted for a moment.");
                sleep(REST).await;
            }
        }
    }
}

impl<S> Door<S>
where
    S: Service<(Wire, Protocol, Option<SocketAddr>)> + 'static,
    S::Error: fmt::Debug,
{
    /// Lets a connection in, or drops it.
    fn welcome(self: &Rc<Self>, socket: TcpStream, peer: SocketAddr, is_secure: bool) {
        let limits = &self.shared.config.load().limits;
        match self.shared.arrivals.places.enter(peer.ip(), limits) {
            Some(place) => self.serve(socket, peer, place, is_secure),
            None => self.shared.metrics.web_refused.one(),
        }
    }

    fn serve(self: &Rc<Self>, socket: TcpStream, peer: SocketAddr, place: Place, is_secure: bool) {
        let door = Rc::clone(self);
        drop(actix_rt::spawn(async move {
            if let Err(error) = socket.set_nodelay(true) {
                return tracing::debug!(%error, "A connection was lost before it began.");
            }
            let socket = Socket::Here(socket);
            let wire = if is_secure {
                let Some(shaken) = door.shake_hands(socket, peer, place).await else { return };
                shaken
            } else {
                Wire::plain(socket, peer.ip(), place)
            };
            if let Err(error) = door.service.call((wire, Protocol::Http1, Some(peer))).await {
                tracing::debug!(?error, "A connection broke.");
            }
        }));
    }

    async fn shake_hands(&self, socket: Socket, peer: SocketAddr, place: Place) -> Option<Wire> {
        let served = self.shared.tls.current();
        let accepted = self.acceptor.accept_with(socket, |tls| {
            tls.set_buffer_limit(Some(BUFFER_BYTES));
        });
        let Ok(Ok(tls)) = timeout(PART_WITHIN, accepted).await else {
            self.shared.metrics.web_refused.one();
            return None;
        };
        let mut facts = facts_of(&tls, &served);
        if !Arc::ptr_eq(&served, &self.shared.tls.current()) {
            // Nobody knows which of the two it saw.
            facts.end_point = None;
        }
        Some(Wire::tls(tls, facts, peer.ip(), place))
    }
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
