//! What modules answer: to the operator's commands, and by HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use crate::place::Place;
use crate::running::{Running, config, free_port};

/// Returns the module for tests as a file; it is built with this test.
pub(crate) fn probe() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().unwrap().join("libcalypte_probe.so")
}

/// Starts a server with the module and two ports: for clients and for HTTP.
fn start() -> (Running, u16) {
    let place = Place::new();
    let (port, http) = (free_port(), free_port());
    let text = config(port, "").replace("http = []", &format!("http = \"127.0.0.1:{http}\""));
    place.write("calypte.toml", &text);
    let added = place.calypte(&["module", "add", probe().to_str().unwrap()], "").succeeds();
    assert!(added.contains("granted  http:") && added.contains("granted  commands:"), "{added}");
    (Running::start_in(place, port), http)
}

/// Sends a request and returns the whole answer.
fn http(port: u16, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
    // A server that refuses the body may close before it has all of it.
    drop(stream.write_all(body));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8(answer).unwrap().to_lowercase()
}

#[test]
fn the_operator_runs_commands() {
    let (running, _) = start();
    let place = &running.place;
    let list = place.calypte(&["command"], "").succeeds();
    // How wide the columns are depends on the other modules.
    let words = list.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("whoami user Who am I?"), "{list}");
    assert!(words.contains("restock operator Fill the shelves"), "{list}");
    let list = place.calypte(&["command", "--json"], "").succeeds();
    assert!(list.contains(r#"{"node":"whoami","title":"Who am I?","who":"user"}"#), "{list}");

    let said = place.calypte(&["command", "restock", "what=wine"], "").succeeds();
    assert_eq!(said, "wine is there\n");
    assert!(place.calypte(&["command", "restock"], "").fails(2).contains("refused: bad-request"));
    assert!(place.calypte(&["command", "restock", "wine"], "").fails(2).contains("name=value"));
    assert!(place.calypte(&["command", "dance"], "").fails(2).contains("no module offers"));
    let restock = ["command", "restock", "--for", "ana"];
    assert!(place.calypte(&restock, "").fails(2).contains("leave out --for"));

    assert!(place.calypte(&["command", "whoami"], "").fails(2).contains("say --for NAME"));
    let whoami = ["command", "whoami", "greeting=Hail", "--for", "ana"];
    assert!(place.calypte(&whoami, "").fails(2).contains("there is no account ana@chat.example"));
    place.calypte(&["user", "add", "ana"], "secret\n").succeeds();
    assert_eq!(place.calypte(&whoami, "").succeeds(), "Hail ana@chat.example\n");
}

#[test]
fn without_a_server_there_is_nobody_to_ask() {
    let place = Place::with_config();
    assert!(place.calypte(&["command"], "").fails(3).contains("no server runs"));
}

#[test]
fn modules_answer_by_http() {
    let (_running, port) = start();
    let answer = http(port, "POST /probe/shelf?what=wine", b"three");
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: text/x-probe\r\n"), "{answer}");
    assert!(answer.ends_with("post /probe/shelf what=wine three chat.example"), "{answer}");

    let answer = http(port, "GET /probe/deep", b"");
    assert!(answer.contains("content-type: text/plain; charset=utf-8\r\n"), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
    for (path, status) in [
        ("/probe/refused", "403"),
        ("/probe/panics", "500"),
        ("/probes", "404"),
        ("/", "404"),
        ("/healthz", "200"),
    ] {
        let answer = http(port, &format!("GET {path}"), b"");
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{path}: {answer}");
    }
    let answer = http(port, "POST /probe", &vec![b'x'; (1 << 20) + 1]);
    assert!(answer.starts_with("http/1.1 413"), "{answer}");
}
