//! An authority that issues certificates by itself (RFC 8555): directory, nonces, accounts, orders,
//! challenges that it really tries over the network, certificates. It checks each signature.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateSigningRequestParams, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::{Authority, PATIENCE};

mod asking;
mod jws;

pub use asking::Ask;
use jws::Signed;

/// Such an authority, on a port of loopback. It ends with the test.
#[derive(Debug)]
pub struct Acme {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    port: u16,
    ask: Ask,
    authority: Authority,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    nonces: Vec<String>,
    accounts: Vec<Value>,
    orders: Vec<Order>,
    life: Option<[Duration; 2]>,
    problem: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct Order {
    account: usize,
    name: String,
    token: String,
    status: &'static str,
    challenged: Option<&'static str>,
    error: Option<Value>,
    chain: String,
}

/// What it answers: status, headers, body.
type Answer = (u16, Vec<(&'static str, String)>, String);

impl Acme {
    /// Starts one that tries challenges like this.
    #[must_use]
    pub fn start(ask: Ask) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let authority = Authority::default();
        let folder = tempfile::tempdir().unwrap();
        authority.certify("localhost", folder.path());
        let chain = CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.path().join("key.pem")).unwrap();
        let tls = ServerConfig::builder().with_no_client_auth();
        let tls = Arc::new(tls.with_single_cert(vec![chain], key).unwrap());
        let inner = Arc::new(Inner { port, ask, authority, state: Mutex::default() });
        let own = Arc::clone(&inner);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (inner, tls) = (Arc::clone(&own), Arc::clone(&tls));
                std::thread::spawn(move || inner.serve(socket.unwrap(), tls));
            }
        });
        Self { inner }
    }

    /// Returns where its directory is.
    #[must_use]
    pub fn directory(&self) -> String {
        self.inner.url("directory")
    }

    /// Returns the authority that certifies its own page and what it issues.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.inner.authority
    }

    /// Lets what it issues be this old already, and valid for so much longer.
    pub fn set_life(&self, old: Duration, rest: Duration) {
        self.inner.state().life = Some([old, rest]);
    }

    /// Refuses each order with this problem of RFC 8555 §6.7.
    pub fn refuse(&self, problem: &'static str) {
        self.inner.state().problem = Some(problem);
    }

    /// Returns how many accounts were made, and how many certificates.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let state = self.inner.state();
        let issued = state.orders.iter().filter(|order| !order.chain.is_empty()).count();
        (state.accounts.len(), issued)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.port)
    }

    /// Answers one request.
    fn serve(self: Arc<Self>, socket: TcpStream, tls: Arc<ServerConfig>) {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream = StreamOwned::new(ServerConnection::new(tls).unwrap(), socket);
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.is_empty() {
            return;
        }
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.trim().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let (status, headers, text) = self.answer(&method, path.trim_start_matches('/'), &body);
        let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let nonce = self.new_nonce();
        head.push_str(&format!("Replay-Nonce: {nonce}\r\nContent-Length: {}\r\n\r\n", text.len()));
        let text = if method == "HEAD" { String::new() } else { text };
        let stream = reader.get_mut();
        stream.write_all((head + &text).as_bytes()).unwrap();
        stream.conn.send_close_notify();
        drop(stream.flush());
    }

    fn new_nonce(&self) -> String {
        let nonce = URL_SAFE_NO_PAD.encode(jws::random());
        self.state().nonces.push(nonce.clone());
        nonce
    }

    fn answer(self: &Arc<Self>, method: &str, path: &str, body: &[u8]) -> Answer {
        match (method, path) {
            ("GET", "directory") => {
                let json = json!({
                    "newNonce": self.url("nonce"),
                    "newAccount": self.url("account"),
                    "newOrder": self.url("order"),
                });
                (200, Vec::new(), json.to_string())
            }
            ("HEAD", "nonce") => (200, Vec::new(), String::new()),
            ("POST", _) => match self.signed(path, body) {
                Ok((account, signed)) => self.post(account, path, &signed),
                Err(problem) => problem,
            },
            _ => problem(404, "malformed", "there is nothing here"),
        }
    }

    /// Checks the signature, its key, nonce and address (RFC 8555 §6).
    fn signed(&self, path: &str, body: &[u8]) -> Result<(Option<usize>, Signed), Answer> {
        let malformed = |why: &str| problem(400, "malformed", why);
        let signed = Signed::read(body).ok_or_else(|| malformed("this is no JWS"))?;
        let header = &signed.header;
        if header["url"] != json!(self.url(path)) {
            return Err(problem(401, "unauthorized", "the address is another one"));
        }
        let mut state = self.state();
        let nonce = header["nonce"].as_str().unwrap_or_default();
        let Some(at) = state.nonces.iter().position(|known| known == nonce) else {
            return Err(problem(400, "badNonce", "the nonce is not known"));
        };
        state.nonces.swap_remove(at);
        let account = match header["kid"].as_str() {
            Some(kid) => {
                let known = (0..state.accounts.len())
                    .find(|number| self.url(&format!("account/{number}")) == kid);
                Some(known.ok_or_else(|| problem(400, "accountDoesNotExist", "no such account"))?)
            }
            // Only the request that makes an account brings its key along.
            None if path == "account" => None,
            None => return Err(malformed("there is no kid")),
        };
        let key = account.map_or(&header["jwk"], |number| &state.accounts[number]);
        if !signed.is_by(key) {
            return Err(malformed("the signature is wrong"));
        }
        Ok((account, signed))
    }

    fn post(self: &Arc<Self>, account: Option<usize>, path: &str, signed: &Signed) -> Answer {
        let payload = &signed.payload;
        let (kind, number) = path.split_once('/').unwrap_or((path, ""));
        let number: usize = number.parse().unwrap_or(usize::MAX);
        let Some(account) = account else { return self.new_account(signed) };
        if kind == "order" && number == usize::MAX {
            return self.new_order(account, payload);
        }
        let order = self.state().orders.get(number).cloned();
        let Some(order) = order.filter(|order| order.account == account) else {
            return problem(404, "malformed", "there is no such order");
        };
        match kind {
            "order" => {}
            "authz" => return (200, Vec::new(), self.authorization(number, &order).to_string()),
            "http-01" | "tls-alpn-01" => {
                self.challenge(number, if kind == "http-01" { "http-01" } else { "tls-alpn-01" });
                let body = json!({"type": kind, "url": self.url(path), "token": order.token,
                                  "status": "processing"});
                return (200, Vec::new(), body.to_string());
            }
            "finalize" => {
                if let Err(problem) = self.finalize(number, &order, payload) {
                    return problem;
                }
            }
            "certificate" => return (200, Vec::new(), order.chain),
            _ => return problem(404, "malformed", "there is nothing here"),
        }
        (200, Vec::new(), self.order(number).to_string())
    }

    fn new_account(&self, signed: &Signed) -> Answer {
        if signed.payload["termsOfServiceAgreed"] != json!(true) {
            return problem(403, "userActionRequired", "agree to the terms");
        }
        let mut state = self.state();
        let number = state.accounts.len();
        state.accounts.push(signed.header["jwk"].clone());
        let location = self.url(&format!("account/{number}"));
        (201, vec![("Location", location)], json!({"status": "valid"}).to_string())
    }

    fn new_order(&self, account: usize, payload: &Value) -> Answer {
        if let Some(kind) = self.state().problem {
            return problem(429, kind, "told to refuse");
        }
        let names = payload["identifiers"].as_array().unwrap();
        assert_eq!(names.len(), 1, "one name at a time is all it can do");
        let order = Order {
            account,
            name: names[0]["value"].as_str().unwrap().to_owned(),
            token: URL_SAFE_NO_PAD.encode(jws::random()),
            status: "pending",
            challenged: None,
            error: None,
            chain: String::new(),
        };
        let mut state = self.state();
        state.orders.push(order);
        let number = state.orders.len() - 1;
        drop(state);
        let location = self.url(&format!("order/{number}"));
        (201, vec![("Location", location)], self.order(number).to_string())
    }

    fn order(&self, number: usize) -> Value {
        let order = self.state().orders[number].clone();
        let at = |kind: &str| self.url(&format!("{kind}/{number}"));
        let mut body = json!({
            "status": order.status,
            "identifiers": [{"type": "dns", "value": order.name}],
            "authorizations": [at("authz")],
            "finalize": at("finalize"),
        });
        if order.status == "valid" {
            body["certificate"] = json!(at("certificate"));
        }
        body
    }

    fn authorization(&self, number: usize, order: &Order) -> Value {
        let status = match order.status {
            "pending" => "pending",
            "invalid" => "invalid",
            _ => "valid",
        };
        let challenge = |kind: &str| {
            let is_it = order.challenged == Some(kind);
            let mut body = json!({
                "type": kind,
                "url": self.url(&format!("{kind}/{number}")),
                "token": order.token,
                "status": if is_it { status } else { "pending" },
            });
            if let Some(error) = order.error.as_ref().filter(|_| is_it) {
                body["error"] = error.clone();
            }
            body
        };
        json!({
            "status": status,
            "identifier": {"type": "dns", "value": order.name},
            "challenges": [challenge("http-01"), challenge("tls-alpn-01")],
        })
    }

    /// Tries the challenge, a moment later and in its own time as a real one does.
    fn challenge(self: &Arc<Self>, number: usize, kind: &'static str) {
        let own = Arc::clone(self);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            let order = own.state().orders[number].clone();
            let key = own.state().accounts[order.account].clone();
            let expected = format!("{}.{}", order.token, jws::thumbprint(&key));
            let outcome = own.ask.see(kind, &order.name, &order.token, &expected);
            let mut state = own.state();
            let order = &mut state.orders[number];
            order.challenged = Some(kind);
            match outcome {
                Ok(()) => order.status = "ready",
                Err((kind, detail)) => {
                    order.status = "invalid";
                    let kind = format!("urn:ietf:params:acme:error:{kind}");
                    order.error = Some(json!({"type": kind, "detail": detail, "status": 400}));
                }
            }
        });
    }

    fn finalize(&self, number: usize, order: &Order, payload: &Value) -> Result<(), Answer> {
        if order.status != "ready" {
            return Err(problem(403, "orderNotReady", "prove the name first"));
        }
        let bad = |why: &str| problem(400, "badCSR", why);
        let csr = payload["csr"].as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let csr = csr.ok_or_else(|| bad("this is no base64url"))?;
        // Its signature is checked with it.
        let request = CertificateSigningRequestParams::from_der(&csr.into());
        let mut request = request.map_err(|error| bad(&error.to_string()))?;
        let names = [SanType::DnsName(order.name.clone().try_into().unwrap())];
        if request.params.subject_alt_names != names {
            return Err(bad("the names are others than those of the order"));
        }
        let mut state = self.state();
        if let Some([old, rest]) = state.life {
            request.params.not_before = (SystemTime::now() - old).into();
            request.params.not_after = (SystemTime::now() + rest).into();
        }
        let order = &mut state.orders[number];
        order.chain = self.authority.sign(&request);
        order.status = "valid";
        Ok(())
    }
}

fn problem(status: u16, kind: &str, detail: &str) -> Answer {
    let kind = format!("urn:ietf:params:acme:error:{kind}");
    let body: BTreeMap<_, _> = [("type", kind.as_str()), ("detail", detail)].into();
    let headers = vec![("Content-Type", "application/problem+json".to_owned())];
    (status, headers, json!(body).to_string())
}
