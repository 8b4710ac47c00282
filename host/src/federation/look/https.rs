//! One page by HTTPS.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::federation::identity::Roots;
use crate::federation::resolve::Resolver;
use crate::federation::{dial, tls};

/// The longest address, and the most that the head of an answer may take.
const URL_BYTES_MAX: usize = 2048;
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Returns the body of the page at `url`, at most `limit` bytes, from a server with a certificate
/// for the host of an authority that we trust. No redirect is followed.
///
/// # Errors
///
/// Words that say which step failed.
pub(crate) async fn get(
    resolver: &Resolver,
    roots: &Roots,
    url: &str,
    limit: usize,
    within: Duration,
) -> Result<Vec<u8>, String> {
    let (host, port, path) = parts(url)?;
    let work = async {
        let target = resolver.target(&host, port, true).await.map_err(|why| why.to_string())?;
        let stream = dial::connect(&target, within).await?;
        let connector = TlsConnector::from(Arc::new(config(roots)?));
        let stream = connector.connect(tls::server_name(&host)?, stream).await;
        let stream = stream.map_err(|error| format!("{host}: TLS: {error}"))?;
        let broken = |error: hyper::Error| format!("{host}: {error}");
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with its sender, or with the connection.
        let driver = tokio::spawn(connection);
        let answer = async {
            let authority = if port == 443 { host.clone() } else { format!("{host}:{port}") };
            let request = Request::get(path.as_str()).header("host", authority);
            let request = request.header("user-agent", "calypte").body(Empty::<Bytes>::new());
            let request = request.map_err(|error| format!("{url} cannot be asked for: {error}"))?;
            let response = sender.send_request(request).await.map_err(broken)?;
            if response.status() != StatusCode::OK {
                return Err(format!("{host} answers {}", response.status()));
            }
            let body = Limited::new(response.into_body(), limit).collect().await;
            let body = body.map_err(|error| format!("{host}: {error}"))?;
            Ok(body.to_bytes().to_vec())
        };
        let found = answer.await;
        driver.abort();
        found
    };
    let late = |_| format!("{host}: no answer in time");
    tokio::time::timeout(within, work).await.map_err(late)?
}

/// Takes an address apart into host, port, and path with query.
fn parts(url: &str) -> Result<(String, u16, String), String> {
    let wrong = || "this is no address of a page: it must begin with https:// and a domain";
    if url.len() > URL_BYTES_MAX {
        return Err(wrong().to_owned());
    }
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if uri.scheme_str() != Some("https") || has_user {
        return Err(wrong().to_owned());
    }
    let host = uri.host().and_then(crate::federation::names::ascii).ok_or_else(wrong)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Ok((host, uri.port_u16().unwrap_or(443), path))
}

fn config(roots: &Roots) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let store = RootCertStore { roots: roots.anchors().to_vec() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::federation::identity::kinds::{Signer, World, dns, params};
    use crate::federation::resolve::lab::{Lab, a};

    /// A web server for one request with this answer, its port, and what it was asked.
    async fn serve(
        world: &World,
        name: &str,
        answer: String,
    ) -> (u16, tokio::task::JoinHandle<String>) {
        let shown = world.sign(params(&[dns(name)], &[]), Signer::Root);
        let chain = shown.chain.into_iter().map(Into::into).collect();
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(shown.key).into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            let Ok(mut stream) = acceptor.accept(stream).await else { return String::new() };
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).await.unwrap();
            drop(stream.write_all(answer.as_bytes()).await);
            String::from_utf8(piece[..count].to_vec()).unwrap()
        });
        (port, asked)
    }

    async fn fetch(name: &str, answer: &str, limit: usize) -> (Result<Vec<u8>, String>, String) {
        let world = World::new();
        let lab = Lab::start(&[("a.example", a("127.0.0.1"))], false).await;
        let mut roots = Roots::default();
        roots.add(world.root.der().clone()).unwrap();
        let (port, asked) = serve(&world, name, answer.to_owned()).await;
        let url = format!("https://a.example:{port}/.well-known/x");
        let within = Duration::from_secs(5);
        let found = get(&lab.resolver(false), &roots, &url, limit, within).await;
        (found, asked.await.unwrap())
    }

    #[tokio::test]
    async fn a_page_is_fetched() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let (found, asked) = fetch("a.example", answer, 5).await;
        assert_eq!(found.unwrap(), b"hello");
        assert!(asked.starts_with("GET /.well-known/x HTTP/1.1\r\nhost: a.example:"), "{asked}");
        let (found, _) = fetch("a.example", answer, 4).await;
        assert!(found.unwrap_err().contains("limit"));
    }

    #[tokio::test]
    async fn other_answers_and_other_hosts_are_none() {
        let away =
            "HTTP/1.1 301 Moved\r\nlocation: https://b.example/\r\ncontent-length: 0\r\n\r\n";
        let (found, _) = fetch("a.example", away, 100).await;
        assert_eq!(found.unwrap_err(), "a.example answers 301 Moved Permanently");
        let (found, asked) = fetch("b.example", away, 100).await;
        assert!(found.unwrap_err().starts_with("a.example: TLS: "));
        assert_eq!(asked, "");
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(100_000));
        assert!(fetch("a.example", &endless, 100).await.0.is_err());
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "y".repeat(100_000));
        assert!(fetch("a.example", &endless, 100).await.0.is_err());
    }

    #[track_caller]
    fn check(url: &str, expected: Option<(&str, u16, &str)>) {
        let found = parts(url).ok();
        let found = found.as_ref().map(|(host, port, path)| (host.as_str(), *port, path.as_str()));
        assert_eq!(found, expected);
    }

    #[test]
    fn addresses_are_taken_apart() {
        check("https://a.example/.well-known/x?y", Some(("a.example", 443, "/.well-known/x?y")));
        check("https://A.Example:8443", Some(("a.example", 8443, "/")));
        check("http://a.example/", None);
        check("https://ana@a.example/", None);
        check("https://127.0.0.1/", None);
        check("https://[::1]/", None);
        check("https:///x", None);
        check("/x", None);
        check(&format!("https://a.example/{}", "x".repeat(3000)), None);
    }
}
