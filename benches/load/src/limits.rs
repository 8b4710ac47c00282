//! What the machine itself can do, for each second of one processor.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::pbkdf2;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};

use crate::conn::Res;
use crate::stub::server_config;
use crate::target::client_config;

/// Returns microseconds of a call: the median of some runs.
fn each_us(calls: u32, mut call: impl FnMut()) -> f64 {
    let mut runs: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| call());
            start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    (runs[2] * 100.0).round() / 100.0
}

pub(crate) fn run(ca: &str, chain: &str, key: &str, domain: &str, folder: &Path) -> Res<Value> {
    let server = server_config(chain, key)?;
    let mut handshakes = serde_json::Map::new();
    for (name, post_quantum) in [("x25519", false), ("x25519mlkem768", true)] {
        let client = client_config(ca, post_quantum)?;
        handshakes.insert(name.to_owned(), handshake(&client, &server, domain)?.into());
    }
    Ok(json!({
        "handshake_server_us": handshakes,
        "loopback_write_and_read_us": loopback().map_err(|error| error.to_string())?,
        "pbkdf2_sha1_4096_us": derivation(pbkdf2::PBKDF2_HMAC_SHA1),
        "pbkdf2_sha256_4096_us": derivation(pbkdf2::PBKDF2_HMAC_SHA256),
        "fdatasync": sync(folder).map_err(|error| error.to_string())?,
    }))
}

fn derivation(algorithm: pbkdf2::Algorithm) -> f64 {
    let iterations = NonZeroU32::new(4096).unwrap_or(NonZeroU32::MIN);
    let mut out = [0; 20];
    each_us(100, || pbkdf2::derive(algorithm, iterations, &[9; 16], b"password", &mut out))
}

/// Returns what a full handshake takes on the side of the server.
fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, domain: &str) -> Res<f64> {
    let mut runs = Vec::new();
    for _ in 0..500 {
        let name = ServerName::try_from(domain.to_owned()).map_err(|error| error.to_string())?;
        let client = ClientConnection::new(Arc::clone(client), name);
        let mut client = client.map_err(|error| error.to_string())?;
        let mut spent = 0.0;
        let start = Instant::now();
        let server = ServerConnection::new(Arc::clone(server));
        let mut server = server.map_err(|error| error.to_string())?;
        spent += start.elapsed().as_secs_f64();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).map_err(|error| error.to_string())?;
            let start = Instant::now();
            let answer = (|| {
                let mut rest = wire.as_slice();
                while !rest.is_empty() {
                    server.read_tls(&mut rest).ok()?;
                    server.process_new_packets().ok()?;
                }
                let mut wire = Vec::new();
                while server.wants_write() {
                    server.write_tls(&mut wire).ok()?;
                }
                Some(wire)
            })();
            spent += start.elapsed().as_secs_f64();
            let answer = answer.ok_or("a handshake failed")?;
            let mut rest = answer.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).map_err(|error| error.to_string())?;
                client.process_new_packets().map_err(|error| error.to_string())?;
            }
        }
        runs.push(spent * 1e6);
    }
    runs.sort_by(f64::total_cmp);
    Ok((runs[runs.len() / 2] * 10.0).round() / 10.0)
}

/// Returns what one small record costs from socket to socket.
fn loopback() -> std::io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut from = TcpStream::connect(listener.local_addr()?)?;
    let (mut to, _) = listener.accept()?;
    from.set_nodelay(true)?;
    let (record, mut buffer) = ([b'x'; 220], [0; 16_384]);
    let mut broken = None;
    let us = each_us(20_000, || {
        let mut pass = || -> std::io::Result<()> {
            from.write_all(&record)?;
            let mut count = 0;
            while count < record.len() {
                count += to.read(&mut buffer)?;
            }
            Ok(())
        };
        broken = pass().err();
    });
    broken.map_or(Ok(us), Err)
}

/// Returns how long a sync takes behind 1, 16 and 128 records of 300 bytes.
fn sync(folder: &Path) -> std::io::Result<Value> {
    let path = folder.join("calypte-load.sync");
    let mut out = serde_json::Map::new();
    for records in [1_u32, 16, 128] {
        let mut file = File::create(&path)?;
        let mut took = Vec::new();
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < 1.0 {
            let start = Instant::now();
            for _ in 0..records {
                file.write_all(black_box(&[7; 300]))?;
            }
            file.sync_data()?;
            took.push(start.elapsed().as_micros());
        }
        took.sort_unstable();
        let at = |of: usize| u64::try_from(took[took.len() * of / 100]).unwrap_or(u64::MAX);
        out.insert(format!("{records} records"), json!({"p50_us": at(50), "p99_us": at(99)}));
    }
    std::fs::remove_file(&path)?;
    Ok(Value::Object(out))
}
