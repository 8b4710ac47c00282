//! A server without actors: its socket, its pages, its reload.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};

use stream::Facts;
use xmpp::Jid;

use crate::accounts::News;
use crate::actors::requests::{Mailbox, Posted};
use crate::actors::{Line, Step};
use crate::admin::{self, AdminReply, AdminRequest};
use crate::check::{self, Tolerance};
use crate::federation::rules::PeerRule;
use crate::federation::view::PeerState;
use crate::modules::Depth;
use crate::server::{Answer, Asking, Attendants, Prepared, Running, Shared, TakeAnswer};
use crate::{accounts, certs, operate};

/// Actors that only remember what they were told.
#[derive(Default)]
struct Actors {
    told: Mutex<Vec<(String, News)>>,
    reconfigured: AtomicUsize,
    refuses: AtomicBool,
}

impl Running for Actors {
    fn account_changed(&self, account: &Jid, news: News) -> bool {
        self.told.lock().unwrap().push((account.to_string(), news));
        true
    }

    fn ask(&self, asking: Asking, taker: TakeAnswer) -> Option<u64> {
        let body = Ok(asking.name.into_bytes());
        taker(Answer { body, head: None });
        Some(1)
    }

    fn forget(&self, _: u64) {}

    fn peers(&self) -> Vec<PeerState> {
        Vec::new()
    }

    fn retry_peer(&self, _: &str) -> bool {
        false
    }

    fn peer_rules(&self) -> Vec<(String, PeerRule)> {
        Vec::new()
    }

    fn set_peer_rule(&self, _: &str, _: Option<PeerRule>) -> Result<(), String> {
        Err("nobody is talked with".to_owned())
    }

    fn welcome(&self, _: Line, _: IpAddr) {}

    fn begin_session(&self, _: Posted, _: Facts, _: IpAddr) {}

    fn mailbox(&self, _: &str) -> Option<Arc<Mailbox>> {
        None
    }

    fn trace_peer(&self, _: &str) -> mpsc::Receiver<Step> {
        mpsc::channel().1
    }

    fn reconfigure(&self) -> Result<(), String> {
        self.reconfigured.fetch_add(1, Relaxed);
        if self.refuses.load(Relaxed) { Err("not now".to_owned()) } else { Ok(()) }
    }
}

struct Server {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    actors: Arc<Actors>,
    http: SocketAddr,
    _attendants: Attendants,
}

const CONFIG: &str = "domain = \"chat.example\"\ndata = \"data\"\n\
    [tls]\ncertificate = \"fullchain.pem\"\nkey = \"privkey.pem\"\n\
    [listen]\nc2s = \"127.0.0.1:0\"\nc2s_tls = []\ns2s = []\ns2s_tls = []\nhttp = \"127.0.0.1:0\"\n";

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certs::make_dev(folder.path(), "chat.example").unwrap();
        let path = folder.path().join("calypte.toml");
        std::fs::write(&path, CONFIG).unwrap();
        let checked = check::open(&path, Depth::Manifest, Tolerance::None).unwrap();
        let prepared = super::prepare(checked, Some(path), Box::new(|| {})).unwrap();
        let Prepared { shared, sockets, .. } = prepared;
        let http = sockets.ports.http.first().unwrap().local_addr().unwrap();
        let attendants = shared.attend(sockets).unwrap();
        let actors = Arc::new(Actors::default());
        shared.set_running(Arc::clone(&actors) as Arc<dyn Running>);
        Self { folder, shared, actors, http, _attendants: attendants }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path("calypte.toml"), text).unwrap();
    }

    fn ask(&self, request: &AdminRequest) -> Result<String, String> {
        let socket = self.shared.config.load().admin_socket();
        match admin::ask(&socket, request, &mut |_, _| {}).unwrap().unwrap() {
            AdminReply::Done { text, .. } => Ok(text),
            AdminReply::Failed { why } => Err(why),
            AdminReply::Progress { .. } => unreachable!(),
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn accounts_through_the_socket() {
    let server = Server::start();
    let record = operate::encode(&accounts::record("secret", 4096).unwrap());
    let account = "ana@chat.example".to_owned();
    server.ask(&AdminRequest::UserAdd { account: account.clone(), record }).unwrap();
    assert!(server.ask(&AdminRequest::UserList).unwrap().contains("ana@chat.example"));
    server.ask(&AdminRequest::UserDisable { account: account.clone() }).unwrap();
    server.ask(&AdminRequest::UserDelete { account: account.clone() }).unwrap();
    let why = server.ask(&AdminRequest::UserDelete { account: account.clone() }).unwrap_err();
    assert!(why.contains("there is no account"), "{why}");
    let told = server.actors.told.lock().unwrap().clone();
    let told: Vec<_> = told.into_iter().map(|(who, news)| (who == account, news)).collect();
    let expected = [News::Changed, News::Gone, News::Ends, News::Gone];
    assert_eq!(told, expected.map(|news| (true, news)));
}

#[test]
fn a_second_server_is_refused_before_it_touches_anything() {
    let server = Server::start();
    let checked = check::open(&server.path("calypte.toml"), Depth::Manifest, Tolerance::None);
    let why = super::prepare(checked.unwrap(), None, Box::new(|| {})).unwrap_err();
    assert!(why.contains("another calypte"), "{why}");
    assert!(server.ask(&AdminRequest::Status).unwrap().contains("chat.example is serving"));
}

#[test]
fn a_reload_is_all_or_nothing() {
    let server = Server::start();
    let told = server.ask(&AdminRequest::Reload).unwrap();
    assert!(told.contains("nothing changed"), "{told}");

    server.write(&CONFIG.replace("127.0.0.1:0\"\nc2s_tls", "127.0.0.1:1\"\nc2s_tls"));
    let told = server.ask(&AdminRequest::Reload).unwrap();
    assert!(told.contains("after a restart: listen.c2s"), "{told}");

    let limits = "[limits]\nstanza = \"20 KiB\"\n";
    server.write(&format!("{CONFIG}{limits}"));
    let told = server.ask(&AdminRequest::Reload).unwrap();
    assert!(told.contains("in force now: limits.stanza"), "{told}");
    assert_eq!(server.shared.config.load().limits.stanza.0, 20 << 10);

    server.write(&format!("{CONFIG}[limits]\nstanza = \"30 KiB\"\nnonsense = 1\n"));
    let why = server.ask(&AdminRequest::Reload).unwrap_err();
    assert!(why.contains("unknown key `limits.nonsense`"), "{why}");
    assert_eq!(server.shared.config.load().limits.stanza.0, 20 << 10);

    server.actors.refuses.store(true, Relaxed);
    server.write(CONFIG);
    assert_eq!(server.ask(&AdminRequest::Reload).unwrap_err(), "not now");
    assert_eq!(server.shared.config.load().limits.stanza.0, 20 << 10);
    assert_eq!(server.actors.reconfigured.load(Relaxed), 4);
}

#[test]
fn a_renewed_certificate_needs_only_a_reload() {
    let server = Server::start();
    let before = server.shared.tls.current();
    for file in ["authority.pem", "fullchain.pem", "privkey.pem"] {
        std::fs::remove_file(server.path(file)).unwrap();
    }
    certs::make_dev(server.folder.path(), "chat.example").unwrap();
    server.ask(&AdminRequest::Reload).unwrap();
    let after = server.shared.tls.current();
    assert_ne!(before.end_point, after.end_point);

    std::fs::write(server.path("privkey.pem"), "half a fi").unwrap();
    let why = server.ask(&AdminRequest::Reload).unwrap_err();
    assert!(why.contains("holds no private key"), "{why}");
    assert_eq!(server.shared.tls.current().end_point, after.end_point);
}

#[test]
fn pages_for_machines() {
    let server = Server::start();
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200"));
    assert!(server.get("/metrics").contains("\ncalypte_c2s_connections 0\n"));
    assert!(server.get("/").starts_with("HTTP/1.1 404"));
    server.shared.set_stopping();
    let answer = server.get("/readyz");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("clients cannot log in"));
}

#[test]
fn only_this_user_may_ask() {
    use std::os::unix::fs::PermissionsExt;

    let server = Server::start();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server.path("data/admin.sock")), 0o600);
    assert_eq!(mode(&server.path("data")), 0o700);
}

#[test]
fn odd_requests_get_an_answer() {
    let server = Server::start();
    for odd in ["\n", "{}\n", "{\"ask\":\"fly\"}\n", "\u{0}\n"] {
        let socket = server.path("data/admin.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        stream.write_all(odd.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("does not know the request"), "{odd:?} {answer}");
    }
}
