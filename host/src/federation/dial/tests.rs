use std::net::TcpListener;

use socket2::{Domain, Socket, Type};

use super::*;

fn target(addresses: &[&str], port: u16) -> Target {
    Target {
        host: "host.example".to_owned(),
        port,
        is_direct: false,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        tlsa: Vec::new(),
        srv_is_secure: false,
    }
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_next_address_follows_one_that_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let begun = Instant::now();
    let stream = connect(&target(&["127.0.0.9", "127.0.0.1"], port), LONG).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap().ip().to_string(), "127.0.0.1");
    assert!(begun.elapsed() < HEAD_START);
}

#[tokio::test]
async fn each_refusal_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let why = connect(&target(&["127.0.0.9", "127.0.0.1"], port), LONG).await.unwrap_err();
    assert_eq!(why, format!("host.example port {port}: 127.0.0.9 refused, 127.0.0.1 refused"));
}

/// A port that is open and does not answer any more: nobody accepts, and its queue is full.
async fn silent(address: &str, port: u16) -> (Socket, Vec<TcpStream>) {
    let address = SocketAddr::new(address.parse().unwrap(), port);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        assert!(waiting.len() < 16, "the queue does not fill");
        match timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            Ok(stream) => waiting.push(stream.unwrap()),
            Err(_) => return (socket, waiting),
        }
    }
}

#[tokio::test]
async fn a_dead_address_costs_a_quarter_of_a_second() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _dead = silent("127.0.0.8", port).await;
    let begun = Instant::now();
    let stream = connect(&target(&["127.0.0.8", "127.0.0.1"], port), LONG).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap().ip().to_string(), "127.0.0.1");
    let took = begun.elapsed();
    assert!((HEAD_START..HEAD_START * 4).contains(&took), "{took:?}");
    let why = connect(&target(&["127.0.0.8"], port), Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(why, format!("host.example port {port} does not answer"));
}
