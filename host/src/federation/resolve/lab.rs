//! A DNS server in the test, and somebody on the way to it who changes what it says.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::dnssec::crypto::EcdsaSigningKey;
use hickory_resolver::proto::dnssec::rdata::DNSKEY;
use hickory_resolver::proto::dnssec::{
    Algorithm, DnssecSigner, Nsec3HashAlgorithm, PublicKey, SigningKey,
};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_resolver::proto::rr::rdata::{A, CNAME, NS, SOA, SRV, TLSA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::Server;
use hickory_server::dnssec::NxProofKind;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::UdpSocket;

use super::Resolver;
use crate::config::Config;
use crate::config::federation::NameServer;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It is lost.
    Lost,
    /// It is replaced by this word.
    Code(ResponseCode),
    /// It loses its signatures.
    Stripped,
    /// Its numbers are changed.
    Forged,
    /// It says that there is nothing.
    Emptied,
}

/// A record of the lab.
pub(crate) type Entry = (&'static str, RData);

/// See the file. It has `example`; names below `plain.example` are not signed, all others are.
pub(crate) struct Lab {
    at: SocketAddr,
    anchor: String,
    fates: Arc<Mutex<Vec<(&'static str, Fate)>>>,
    asked: Arc<Mutex<Vec<String>>>,
    _server: Server<Catalog>,
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

pub(crate) fn a(address: &str) -> RData {
    RData::A(A(address.parse().unwrap()))
}

pub(crate) fn srv(priority: u16, port: u16, host: &str) -> RData {
    RData::SRV(SRV::new(priority, 0, port, name(host)))
}

pub(crate) fn alias(host: &str) -> RData {
    RData::CNAME(CNAME(name(host)))
}

pub(crate) fn text(text: &str) -> RData {
    RData::TXT(TXT::new(vec![text.to_owned()]))
}

pub(crate) fn key(byte: u8) -> RData {
    let (usage, selector, matching) = (CertUsage::from(3), Selector::from(1), Matching::from(1));
    RData::TLSA(TLSA::new(usage, selector, matching, vec![byte; 32]))
}

fn zone(
    origin: &Name,
    entries: &[Entry],
    secret: Option<&EcdsaSigningKeyBytes>,
) -> Arc<InMemoryZoneHandler<TokioRuntimeProvider>> {
    let apart = name("plain.example");
    // Its proofs of absence by plain NSEC forget the wildcard above a missing parent.
    let proof = secret.map(|_| NxProofKind::Nsec3 {
        algorithm: Nsec3HashAlgorithm::SHA1,
        salt: Arc::new([]),
        iterations: 0,
        opt_out: false,
    });
    let mut zone = InMemoryZoneHandler::<TokioRuntimeProvider>::empty(
        origin.clone(),
        ZoneType::Primary,
        AxfrPolicy::Deny,
        proof,
    );
    let server = name("ns.example");
    let soa = SOA::new(server.clone(), name("root.example"), 1, 60, 60, 600, 60);
    let mut put = |owner: &Name, data: RData| {
        zone.upsert_mut(Record::from_rdata(owner.clone(), 60, data), 1);
    };
    put(origin, RData::SOA(soa));
    put(origin, RData::NS(NS(server.clone())));
    for (owner, data) in entries {
        let owner = name(owner);
        if apart.zone_of(&owner) == (*origin == apart) {
            put(&owner, data.clone());
        }
    }
    if *origin != apart {
        put(&server, a("127.0.0.1"));
        put(&apart, RData::NS(NS(server)));
    }
    if let Some(secret) = secret {
        let secret = secret.load();
        let public = DNSKEY::new(true, true, false, secret.to_public_key().unwrap());
        let week = Duration::from_secs(7 * 86_400);
        let signer = DnssecSigner::new(public, Box::new(secret), origin.clone(), week);
        zone.add_zone_signing_key_mut(signer).unwrap();
        zone.secure_zone_mut().unwrap();
    }
    Arc::new(zone)
}

struct EcdsaSigningKeyBytes(rustls_pki_types::PrivatePkcs8KeyDer<'static>);

impl EcdsaSigningKeyBytes {
    fn load(&self) -> EcdsaSigningKey {
        EcdsaSigningKey::from_pkcs8(&self.0, Algorithm::ECDSAP256SHA256).unwrap()
    }
}

impl Lab {
    /// Starts it, signed or, as some have it, not signed at all.
    pub(crate) async fn start(entries: &[Entry], is_signed: bool) -> Self {
        let secret = EcdsaSigningKey::generate_pkcs8(Algorithm::ECDSAP256SHA256).unwrap();
        let secret = EcdsaSigningKeyBytes(secret);
        let public = secret.load().to_public_key().unwrap();
        let public = base64::engine::general_purpose::STANDARD.encode(public.public_bytes());
        let mut catalog = Catalog::new();
        let (whole, apart) = (name("example"), name("plain.example"));
        let whole_zone = zone(&whole, entries, is_signed.then_some(&secret));
        catalog.upsert(whole.into(), vec![whole_zone as _]);
        let apart_zone = zone(&apart, entries, None);
        catalog.upsert(apart.into(), vec![apart_zone as _]);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let behind = socket.local_addr().unwrap();
        let mut server = Server::new(catalog);
        server.register_socket(socket);
        let road = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = road.local_addr().unwrap();
        let (fates, asked) = (Arc::default(), Arc::default());
        tokio::spawn(travel(Arc::new(road), behind, Arc::clone(&fates), Arc::clone(&asked)));
        let anchor = format!("example. 60 IN DNSKEY 257 3 13 {public}\n");
        Self { at, anchor, fates, asked, _server: server }
    }

    /// Lets questions that begin with `question`, such as `SRV _xmpp-server`, have a fate.
    pub(crate) fn set_fate(&self, question: &'static str, fate: Fate) {
        self.fates.lock().unwrap().push((question, fate));
    }

    /// Returns what was asked for, such as `A a.example`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Returns a resolver that asks it.
    pub(crate) fn resolver(&self, with_dane: bool) -> Resolver {
        let folder = tempfile::tempdir().unwrap();
        let anchor = folder.path().join("anchor");
        std::fs::write(&anchor, &self.anchor).unwrap();
        let domain = xmpp::Jid::parse("own.example").unwrap();
        let mut config = Config::standard(domain, Path::new(""));
        config.federation.resolver = vec![NameServer(self.at)];
        config.federation.dane = with_dane;
        config.federation.dnssec_anchor = Some(anchor);
        Resolver::new(&config.federation).unwrap()
    }
}

type Fates = Arc<Mutex<Vec<(&'static str, Fate)>>>;

async fn travel(
    road: Arc<UdpSocket>,
    behind: SocketAddr,
    fates: Fates,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut piece = [0; 4096];
    loop {
        let (count, from) = road.recv_from(&mut piece).await.unwrap();
        let question = piece[..count].to_vec();
        let message = Message::from_vec(&question).unwrap();
        let query = message.queries.first().unwrap();
        let told = format!("{} {}", query.query_type(), query.name().to_ascii().to_lowercase());
        let told = told.trim_end_matches('.').to_owned();
        asked.lock().unwrap().push(told.clone());
        let fate = fates.lock().unwrap().iter().find(|(some, _)| told.starts_with(some)).copied();
        let road = Arc::clone(&road);
        tokio::spawn(async move {
            let there = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            there.send_to(&question, behind).await.unwrap();
            let mut piece = [0; 4096];
            let (count, _) = there.recv_from(&mut piece).await.unwrap();
            if let Some(answer) = bend(&piece[..count], fate.map(|(_, fate)| fate)) {
                road.send_to(&answer, from).await.unwrap();
            }
        });
    }
}

fn bend(answer: &[u8], fate: Option<Fate>) -> Option<Vec<u8>> {
    let mut message = Message::from_vec(answer).unwrap();
    if !message.answers.is_empty() {
        // The server sends proofs of absence with what it has, as none does in the world.
        message.authorities.clear();
    }
    match fate {
        None => {}
        Some(Fate::Lost) => return None,
        Some(Fate::Code(code)) => {
            message.metadata.response_code = code;
            message.answers.clear();
            message.authorities.clear();
        }
        Some(Fate::Emptied) => {
            message.answers.clear();
            message.authorities.clear();
        }
        Some(Fate::Stripped) => {
            message.answers.retain(|record| record.record_type() != RecordType::RRSIG);
            message.authorities.clear();
        }
        Some(Fate::Forged) => {
            for record in &mut message.answers {
                match &mut record.data {
                    RData::SRV(srv) => srv.port ^= 1,
                    RData::TLSA(tlsa) => tlsa.cert_data[0] ^= 1,
                    RData::A(address) => *address = A("127.6.6.6".parse().unwrap()),
                    RData::TXT(found) => *found = TXT::new(vec!["forged".to_owned()]),
                    _ => {}
                }
            }
        }
    }
    Some(message.to_vec().unwrap())
}
