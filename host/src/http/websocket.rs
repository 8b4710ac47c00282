//! A request becomes a WebSocket (RFC 6455 §4.2, RFC 7395 §3.1): the connection goes to the actors and
//! is from then on as any other client's.

use std::time::Duration;

use actix_codec::{Framed, FramedParts};
use actix_http::h1::Codec;
use actix_http::{HttpMessage as _, Request, ws};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::caller::{Below, is_welcome};
use super::wire::Wire;
use crate::actors::Line;
use crate::server::Shared;

/// The path, as everywhere.
pub(super) const PATH: &str = "/xmpp-websocket";
/// How long the other side may take to hear why not.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no WebSocket.
struct Refused(StatusCode, &'static str);

/// Answers a request to become one.
pub(super) async fn upgrade(request: Request, framed: Framed<Wire, Codec>, shared: &Shared) {
    let FramedParts { io: mut wire, read_buf, write_buf, .. } = framed.into_parts();
    let mut answer = write_buf.to_vec();
    let refused = match accept(&request, shared) {
        Err(refused) => refused,
        Ok((below, head)) => {
            answer.extend_from_slice(head.as_bytes());
            let headers = request.headers();
            let (facts, asker) = (below.bindable(headers), below.asker(headers));
            let Ok(io) = wire.into_transport() else { return };
            let line = Line { io, facts, answer, heard: read_buf.to_vec() };
            let Some(running) = shared.running() else { return };
            // Who has no place is not told why: it has a connection that ends.
            return running.welcome(line, asker);
        }
    };
    let Refused(status, text) = refused;
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         sec-websocket-version: 13\r\nconnection: close\r\n\r\n{text}\n",
        text.len().saturating_add(1)
    );
    answer.extend_from_slice(head.as_bytes());
    let tell = async {
        wire.write_all(&answer).await?;
        wire.shutdown().await
    };
    // Who does not listen is cut off.
    drop(timeout(TOLD_WITHIN, tell).await);
}

/// Checks the request. Returns what is known of the connection, and what HTTP answers.
fn accept(request: &Request, shared: &Shared) -> Result<(Below, String), Refused> {
    let (config, headers) = (shared.config.load(), request.headers());
    if request.path() != PATH || !config.web.websocket {
        return Err(Refused(StatusCode::NOT_FOUND, "there is nothing here"));
    }
    if ws::verify_handshake(request.head()).is_err() {
        return Err(Refused(StatusCode::BAD_REQUEST, "this is no request for a WebSocket"));
    }
    if !speaks_xmpp(headers) {
        return Err(Refused(StatusCode::BAD_REQUEST, "the subprotocol here is xmpp"));
    }
    if !is_welcome(headers, &config) {
        return Err(Refused(StatusCode::FORBIDDEN, "pages of that site may not connect here"));
    }
    if !shared.is_ready() {
        return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "the server starts or stops"));
    }
    let below = request.conn_data::<Below>().cloned();
    let below = below.ok_or(Refused(StatusCode::INTERNAL_SERVER_ERROR, "try again"))?;
    let key = headers.get("sec-websocket-key").map_or(&b""[..], |key| key.as_bytes());
    let accept = ws::hash_key(key);
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {}\r\nsec-websocket-protocol: xmpp\r\n\r\n",
        String::from_utf8_lossy(&accept)
    );
    Ok((below, head))
}

/// RFC 7395 §3.1. A client that does not say so may mean anything.
fn speaks_xmpp(headers: &HeaderMap) -> bool {
    let named = headers.get_all("sec-websocket-protocol").filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|name| name.trim() == "xmpp")
}
