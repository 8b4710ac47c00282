//! Connections that are told to go.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use calypte_tests::{Setup, wait};

#[test]
fn who_does_not_log_in_goes_in_the_middle_of_a_handshake_too() {
    let server = Setup::new().set("limits.login_within", "\"1 second\"").start();
    // Nothing, and the first bytes of a handshake: the length says that more follows.
    for said in [&[][..], &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]] {
        let mut socket = TcpStream::connect(server.c2s_tls()).unwrap();
        let began = Instant::now();
        socket.write_all(said).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let ended = socket.read(&mut [0; 64]);
        let lasted = began.elapsed();
        // There is nobody to say goodbye to before TLS is there, so nothing is waited for.
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        assert!(lasted > Duration::from_millis(900), "{lasted:?}");
        assert!(lasted < Duration::from_millis(2500), "{lasted:?}");
    }
}

#[test]
fn who_was_told_to_go_still_takes_a_place() {
    let setup = Setup::new().set("limits.connections", "100").set("limits.logging_in", "10");
    let server = setup.start();
    // Each that comes sends the oldest away, but those stay for the time of a goodbye.
    let sockets: Vec<_> = (0..300).map(|_| TcpStream::connect(server.c2s()).unwrap()).collect();
    wait("all are dealt with", || server.metric("calypte_c2s_connections_total") >= 300.0);
    let open = server.metric("calypte_c2s_connections");
    assert!((100.0..=110.0).contains(&open), "{open}");
    drop(sockets);
}
