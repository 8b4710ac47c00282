//! Connecting to a server: all its addresses, IPv6 first, without waiting long for a dead one
//! (RFC 8305).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::resolve::Target;

/// How long one address has before the next is tried beside it (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to one of the addresses of `target`.
///
/// # Errors
///
/// Words for each address that was tried, or that nothing came about `within`.
pub(crate) async fn connect(target: &Target, within: Duration) -> Result<TcpStream, String> {
    let Target { host, port, addresses, .. } = target;
    let race = race(addresses, *port);
    match timeout(within, race).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(why)) => Err(format!("{host} port {port}: {}", why.join(", "))),
        Err(_) => Err(format!("{host} port {port} does not answer")),
    }
}

async fn race(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Vec<String>> {
    let mut waiting = addresses.iter();
    let mut under_way = JoinSet::new();
    let mut failed = Vec::new();
    let mut next_at = Instant::now();
    loop {
        let may_start = waiting.len() > 0;
        if !may_start && under_way.is_empty() {
            return Err(failed);
        }
        tokio::select! {
            () = sleep_until(next_at), if may_start => {
                if let Some(address) = waiting.next() {
                    under_way.spawn(try_one(SocketAddr::new(*address, port)));
                }
                next_at = Instant::now() + HEAD_START;
            }
            Some(done) = under_way.join_next() => {
                match done {
                    // The others end with `under_way`.
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(why)) => failed.push(why),
                    Err(_) => {}
                }
                next_at = Instant::now();
            }
        }
    }
}

async fn try_one(address: SocketAddr) -> Result<TcpStream, String> {
    let told = |error: std::io::Error| {
        let why = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "refused".to_owned(),
            std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
                "cannot be reached".to_owned()
            }
            std::io::ErrorKind::TimedOut => "no answer".to_owned(),
            _ => error.to_string(),
        };
        format!("{} {why}", address.ip())
    };
    let stream = TcpStream::connect(address).await.map_err(told)?;
    stream.set_nodelay(true).map_err(told)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
