//! The names of a lab: a signed root with unsigned parts, which a test changes while it runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_server::Server;
use hickory_server::dnssec::NxProofKind;
use hickory_server::net::runtime::{Time, TokioRuntimeProvider};
use hickory_server::proto::dnssec::crypto::EcdsaSigningKey;
use hickory_server::proto::dnssec::rdata::DNSKEY;
use hickory_server::proto::dnssec::{Algorithm, DnssecSigner, PublicKey, SigningKey};
use hickory_server::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_server::proto::rr::rdata::{A, AAAA, NS, SOA, SRV, TLSA, TXT};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::oneshot;

/// Everybody asks again after this time, so that changes are seen.
const TTL_SECONDS: u32 = 1;

/// A DNS server on 127.0.0.1:53 of the lab. Dropping it stops it.
///
/// Of signed names that do not exist it proves too little when more than one label is missing, so who
/// validates takes the answer for forged. Domains that are to be unknown belong under [`crate::UNSIGNED`].
#[derive(Debug)]
pub struct Names {
    shared: Arc<Shared>,
    key: PrivatePkcs8KeyDer<'static>,
    zones: Vec<Name>,
    records: Mutex<Vec<(Name, RData)>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    catalog: RwLock<Arc<Catalog>>,
    /// The root alone.
    root: RwLock<Arc<Catalog>>,
    /// Suffixes of names, and how long they wait for an answer; `None`: for ever.
    slow: Mutex<Vec<(String, Option<Duration>)>>,
    asked: Mutex<Vec<String>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("asked", &self.asked).finish_non_exhaustive()
    }
}

struct Bent(Arc<Shared>);

#[async_trait::async_trait]
impl RequestHandler for Bent {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        response: R,
    ) -> ResponseInfo {
        let asked = request.request_info().map(|asked| {
            let name = asked.query.name().to_string().to_lowercase();
            format!("{} {}", asked.query.query_type(), name.trim_end_matches('.'))
        });
        let asked = asked.unwrap_or_default();
        self.0.asked.lock().unwrap().push(asked.clone());
        let slow = self.0.slow.lock().unwrap().clone();
        match slow.iter().find(|(suffix, _)| asked.ends_with(suffix)) {
            Some((_, Some(delay))) => tokio::time::sleep(*delay).await,
            Some((_, None)) => std::future::pending().await,
            None => {}
        }
        // What is signed below a zone stands above it (RFC 4035 §3.1.4.1).
        let catalog = if asked.starts_with("DS ") { &self.0.root } else { &self.0.catalog };
        let catalog = Arc::clone(&catalog.read().unwrap());
        catalog.handle_request::<R, T>(request, response).await
    }
}

impl Names {
    /// Starts it. Names under `unsigned` are not signed, and the root says so.
    #[must_use]
    pub fn start(unsigned: &[&str]) -> Self {
        let key = EcdsaSigningKey::generate_pkcs8(Algorithm::ECDSAP256SHA256).unwrap();
        let shared = Arc::new(Shared {
            catalog: RwLock::default(),
            root: RwLock::default(),
            slow: Mutex::default(),
            asked: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let handler = Bent(Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut server = Server::new(handler);
                let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
                server.register_socket(UdpSocket::bind(at).await.unwrap());
                let listener = TcpListener::bind(at).await.unwrap();
                server.register_listener(listener, Duration::from_secs(10), 1024);
                ready.send(()).unwrap();
                drop(stopped.await);
            });
        });
        is_ready.recv().expect("the DNS server of the lab does not start");
        let zones = unsigned.iter().map(|zone| name(zone)).collect();
        let (stop, thread) = (Some(stop), Some(thread));
        let names = Self { shared, key, zones, records: Mutex::default(), stop, thread };
        names.publish();
        names
    }

    /// Returns the key of the root as trust anchors are written in files.
    #[must_use]
    pub fn anchor(&self) -> String {
        let key = self.signing_key().to_public_key().unwrap();
        format!(". {TTL_SECONDS} IN DNSKEY 257 3 13 {}\n", STANDARD.encode(key.public_bytes()))
    }

    fn signing_key(&self) -> EcdsaSigningKey {
        EcdsaSigningKey::from_pkcs8(&self.key, Algorithm::ECDSAP256SHA256).unwrap()
    }

    /// Adds an address.
    pub fn address(&self, host: &str, address: impl Into<IpAddr>) {
        let data = match address.into() {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        };
        self.add(host, data);
    }

    /// Adds where a service of a domain is: `_xmpp-server._tcp`, priority, weight, port, host; `.`
    /// says that there is none.
    pub fn service(&self, service: &str, domain: &str, at: (u16, u16, u16, &str)) {
        let (priority, weight, port, host) = at;
        let data = RData::SRV(SRV::new(priority, weight, port, name(host)));
        self.add(&format!("{service}.{domain}"), data);
    }

    /// Adds what the certificate at a port of a host has to be: `3 1 1` of RFC 7672, the SHA-256 of
    /// its `SubjectPublicKeyInfo`.
    pub fn key(&self, host: &str, port: u16, spki_sha256: &[u8]) {
        let data = TLSA::new(
            CertUsage::from(3),
            Selector::from(1),
            Matching::from(1),
            spki_sha256.to_vec(),
        );
        self.add(&format!("_{port}._tcp.{host}"), RData::TLSA(data));
    }

    /// Adds a text.
    pub fn text(&self, host: &str, text: &str) {
        self.add(host, RData::TXT(TXT::new(vec![text.to_owned()])));
    }

    fn add(&self, owner: &str, data: RData) {
        self.records.lock().unwrap().push((name(owner), data));
        self.publish();
    }

    /// Removes all that a name has.
    pub fn remove(&self, owner: &str) {
        let owner = name(owner);
        self.records.lock().unwrap().retain(|(have, _)| *have != owner);
        self.publish();
    }

    /// Lets everybody who asks for names with this end wait; `None`: for ever.
    pub fn slow_down(&self, suffix: &str, delay: Option<Duration>) {
        self.shared.slow.lock().unwrap().push((suffix.to_owned(), delay));
    }

    /// Answers at once again.
    pub fn speed_up(&self) {
        self.shared.slow.lock().unwrap().clear();
    }

    /// Returns what was asked for since the last time, such as `SRV _xmpp-server._tcp.a.example`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }

    /// Signs and shows what there is now.
    fn publish(&self) {
        let root = self.zone(&Name::root());
        let (mut all, mut above) = (Catalog::new(), Catalog::new());
        above.upsert(Name::root().into(), vec![Arc::clone(&root) as _]);
        all.upsert(Name::root().into(), vec![root]);
        for zone in &self.zones {
            all.upsert(zone.into(), vec![self.zone(zone)]);
        }
        *self.shared.catalog.write().unwrap() = Arc::new(all);
        *self.shared.root.write().unwrap() = Arc::new(above);
    }

    fn zone(&self, zone: &Name) -> Arc<InMemoryZoneHandler<TokioRuntimeProvider>> {
        let proof = zone.is_root().then_some(NxProofKind::Nsec);
        let mut handler = InMemoryZoneHandler::<TokioRuntimeProvider>::empty(
            zone.clone(),
            ZoneType::Primary,
            AxfrPolicy::Deny,
            proof,
        );
        let server = name("ns.example");
        let soa = SOA::new(server.clone(), name("root.example"), 1, 60, 60, 600, TTL_SECONDS);
        let mut put = |owner: &Name, data: RData| {
            handler.upsert_mut(Record::from_rdata(owner.clone(), TTL_SECONDS, data), 1);
        };
        put(zone, RData::SOA(soa));
        put(zone, RData::NS(NS(server.clone())));
        for (owner, data) in self.records.lock().unwrap().iter() {
            let home = self.zones.iter().find(|apart| apart.zone_of(owner));
            if home.map_or_else(|| zone.is_root(), |home| home == zone) {
                put(owner, data.clone());
            }
        }
        if zone.is_root() {
            put(&server, RData::A(A(Ipv4Addr::LOCALHOST)));
            for apart in &self.zones {
                put(apart, RData::NS(NS(server.clone())));
            }
            let key = self.signing_key();
            let public = DNSKEY::new(true, true, false, key.to_public_key().unwrap());
            let week = Duration::from_secs(7 * 86_400);
            let signer = DnssecSigner::new(public, Box::new(key), Name::root(), week);
            handler.add_zone_signing_key_mut(signer).unwrap();
            handler.secure_zone_mut().unwrap();
        }
        Arc::new(handler)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}
