//! Where the servers of a domain are (RFC 6120 §3.2, XEP-0368) and which keys they have
//! (RFC 7673), from DNS.
//!
//! Bounded: time, questions at a time, answers that are looked at, targets. The library keeps
//! answers as long as DNS says, refusals for at most five minutes.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{TokioResolver, system_conf};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::dane::Tlsa;
use super::names;
use crate::config::federation::NameServer;
use crate::config::settings;
use order::Offer;

mod order;
mod port;
mod shown;
mod trial;

pub(crate) use trial::{Dnssec, read_anchors};

/// How long all the questions about one domain may take.
const WITHIN: Duration = Duration::from_secs(15);
/// How long one question to one server may take; it is asked twice.
const QUESTION_WITHIN: Duration = Duration::from_secs(3);
/// How long all the questions about one of several servers may take: it must not hold up the others.
const VISIT_WITHIN: Duration = Duration::from_secs(7);
/// How many questions are under way at a time. More wait.
const QUESTIONS_MAX: usize = 256;
/// How many servers of one domain are looked at, and how many addresses of one server.
const TARGETS_MAX: usize = 10;
const ADDRESSES_MAX: usize = 8;
/// How many records of one answer are looked at.
const RECORDS_MAX: usize = 64;
/// How long the absence of a record is believed at most, so that a repaired zone is seen soon.
const ABSENCE_MAX: Duration = Duration::from_secs(300);
/// How long an answer is believed at most.
const ANSWER_MAX: Duration = Duration::from_secs(86_400);
/// How many answers are kept.
const CACHE_MAX: u64 = 8192;
/// Where servers listen when DNS does not say (RFC 6120 §3.2.2).
const PORT: u16 = 5269;

/// A server of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its name, in the form of DNS.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// Whether it wants TLS from the first byte.
    pub(crate) is_direct: bool,
    /// Its addresses, IPv6 and IPv4 by turns, at least one.
    pub(crate) addresses: Vec<IpAddr>,
    /// Its keys, when DNSSEC secures them and the way to it.
    pub(crate) tlsa: Vec<Tlsa>,
    /// Whether DNSSEC secures the record that led to it, so that the name of the host may stand in
    /// its certificate. Without such a record, `false`: the host is the domain itself.
    pub(crate) srv_is_secure: bool,
}

/// What DNS says in text at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Txt {
    /// Each record, at most 4 KiB of it.
    pub(crate) records: Vec<Vec<u8>>,
    /// Whether DNSSEC secures them.
    pub(crate) is_secure: bool,
}

/// Why there is no server to connect to. `Display` is a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// The domain exists and has no server for XMPP.
    NoService,
    /// DNS does not know the domain, or it can be none.
    NoSuchDomain,
    /// It may be different the next time. The words say what happened.
    Temporary(String),
}

impl fmt::Display for NoWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoService => f.write_str("the domain offers no XMPP to other servers"),
            Self::NoSuchDomain => f.write_str("the domain does not exist in DNS"),
            Self::Temporary(why) => f.write_str(why),
        }
    }
}

/// Asks DNS. Clones share what was learnt.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Inner>);

struct Inner {
    plain: TokioResolver,
    /// Checks signatures; present when keys in DNS are wanted.
    checked: Option<TokioResolver>,
    trial: trial::Trial,
    questions: Semaphore,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// Records of one type at one name.
struct Answer {
    data: Vec<RData>,
    is_secure: bool,
}

impl Resolver {
    /// Makes one for the settings. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// A sentence when the file of `dnssec_anchor` cannot be used.
    pub(crate) fn new(federation: &settings::Federation) -> Result<Self, String> {
        let failed = |error: NetError| format!("DNS cannot be set up: {error}");
        let anchors = federation.dnssec_anchor.as_deref().map(read_anchors).transpose()?;
        let build = |anchors: Option<Arc<TrustAnchors>>, is_checked| {
            let servers = name_servers(&federation.resolver);
            let runtime = TokioRuntimeProvider::default();
            let mut builder = TokioResolver::builder_with_config(servers, runtime);
            tune(builder.options_mut());
            builder.options_mut().validate = is_checked;
            match anchors {
                Some(anchors) if is_checked => builder.with_trust_anchor(anchors).build(),
                _ => builder.build(),
            }
        };
        let plain = build(None, false).map_err(failed)?;
        let (anchors, zone) = match anchors {
            Some((anchors, zone)) => (Some(Arc::new(anchors)), zone),
            None => (None, Name::root()),
        };
        let checked = federation.dane.then(|| build(anchors, true)).transpose().map_err(failed)?;
        let trial = trial::Trial::new(zone);
        Ok(Self(Arc::new(Inner {
            plain,
            checked,
            trial,
            questions: Semaphore::new(QUESTIONS_MAX),
        })))
    }

    /// Returns the servers of `domain` in the order in which to try them. At least one.
    ///
    /// # Errors
    ///
    /// See [`NoWay`].
    pub(crate) async fn targets(&self, domain: &str) -> Result<Vec<Target>, NoWay> {
        let ascii = names::ascii(domain).ok_or(NoWay::NoSuchDomain)?;
        within(WITHIN, self.find(&ascii)).await
    }

    /// Returns the server at `host` and `port`, for an address that somebody else named.
    ///
    /// # Errors
    ///
    /// See [`NoWay`].
    pub(crate) async fn target(
        &self,
        host: &str,
        port: u16,
        is_direct: bool,
    ) -> Result<Target, NoWay> {
        let host = names::ascii(host).ok_or(NoWay::NoSuchDomain)?;
        within(WITHIN, self.visit(Offer { host, port, is_direct }, Way::Given)).await
    }

    /// Returns what DNS says in text at `name`, such as `_calypte.example.org`.
    ///
    /// # Errors
    ///
    /// See [`NoWay`]; `NoService` when there is nothing.
    pub(crate) async fn txt(&self, name: &str) -> Result<Txt, NoWay> {
        const TXT_BYTES_MAX: usize = 4096;
        let (service, domain) = match name.split_once('.') {
            Some((service, domain)) if service.starts_with('_') => (Some(service), domain),
            _ => (None, name),
        };
        let domain = names::ascii(domain).ok_or(NoWay::NoSuchDomain)?;
        let name = service.map_or_else(|| domain.clone(), |label| format!("{label}.{domain}"));
        let answer = within(WITHIN, self.ask(&name, RecordType::TXT)).await?;
        let records = answer.data.iter().filter_map(|data| match data {
            RData::TXT(text) => {
                let bytes = text.txt_data.iter().flat_map(|piece| piece.iter().copied());
                Some(bytes.take(TXT_BYTES_MAX).collect())
            }
            _ => None,
        });
        Ok(Txt { records: records.collect(), is_secure: answer.is_secure })
    }

    /// Tells whether signatures in DNS are checked; `doctor` says it.
    pub(crate) async fn dnssec(&self) -> Dnssec {
        match &self.0.checked {
            Some(checked) => self.0.trial.state(checked).await,
            None => Dnssec::Off,
        }
    }

    async fn find(&self, domain: &str) -> Result<Vec<Target>, NoWay> {
        let (direct, starttls) =
            (format!("_xmpps-server._tcp.{domain}"), format!("_xmpp-server._tcp.{domain}"));
        let (direct, starttls) =
            tokio::join!(self.service(&direct, true), self.service(&starttls, false));
        let (mut offers, mut is_refused, mut trouble) = (Vec::new(), false, None);
        for found in [direct, starttls] {
            match found {
                Ok(Srv::Offers(more)) => offers.extend(more),
                Ok(Srv::Refused) => is_refused = true,
                Ok(Srv::Unknown) => {}
                Err(why) => trouble = Some(why),
            }
        }
        if offers.is_empty() {
            return match trouble {
                // What could not be asked might have been the answer.
                Some(why) => Err(why),
                None if is_refused => Err(NoWay::NoService),
                None => {
                    let own = Offer { host: domain.to_owned(), port: PORT, is_direct: false };
                    Ok(vec![self.visit(own, Way::Domain).await?])
                }
            };
        }
        let mut offers = order::order(offers, &mut order::random);
        offers.truncate(TARGETS_MAX);
        let visits = offers.into_iter().map(|(offer, is_secure)| {
            let way = if is_secure { Way::SecureSrv } else { Way::Srv };
            within(VISIT_WITHIN, self.visit(offer, way))
        });
        let mut targets = Vec::new();
        let mut trouble = NoWay::NoService;
        for visited in futures_util::future::join_all(visits).await {
            match visited {
                Ok(target) => targets.push(target),
                Err(why) => trouble = worse(trouble, why),
            }
        }
        if targets.is_empty() { Err(trouble) } else { Ok(targets) }
    }

    /// Reads the SRV records at `name`.
    async fn service(&self, name: &str, is_direct: bool) -> Result<Srv, NoWay> {
        let answer = match self.ask(name, RecordType::SRV).await {
            Ok(answer) => answer,
            Err(NoWay::Temporary(why)) => return Err(NoWay::Temporary(why)),
            Err(NoWay::NoService | NoWay::NoSuchDomain) => return Ok(Srv::Unknown),
        };
        let mut offers = Vec::new();
        for data in answer.data {
            let RData::SRV(srv) = data else { continue };
            let host = srv.target.to_ascii();
            // RFC 2782: the root as target says that the service is not offered.
            let Some(host) = names::ascii(&host) else { continue };
            let offer = Offer { host, port: srv.port, is_direct };
            offers.push(order::Weighted {
                priority: srv.priority,
                weight: srv.weight,
                offer,
                is_secure: answer.is_secure,
            });
        }
        Ok(if offers.is_empty() { Srv::Refused } else { Srv::Offers(offers) })
    }

    /// Finds the addresses of a server and its keys.
    async fn visit(&self, offer: Offer, way: Way) -> Result<Target, NoWay> {
        let Offer { host, port, is_direct } = offer;
        let (six, four) =
            tokio::join!(self.ask(&host, RecordType::AAAA), self.ask(&host, RecordType::A));
        // As an attacker who holds back one of the two would have it.
        let is_secure = [&six, &four].iter().all(|found| {
            found
                .as_ref()
                .map_or_else(|why| !matches!(why, NoWay::Temporary(_)), |answer| answer.is_secure)
        });
        let addresses = addresses(six, four)?;
        let may_have_keys = is_secure && way != Way::Srv;
        let tlsa = if may_have_keys {
            match self.ask(&format!("_{port}._tcp.{host}"), RecordType::TLSA).await {
                Ok(answer) if answer.is_secure => answer.data.iter().filter_map(tlsa).collect(),
                Ok(_) | Err(NoWay::NoService | NoWay::NoSuchDomain) => Vec::new(),
                // RFC 7673 §3.4: whoever can hold back the keys must not win by it.
                Err(NoWay::Temporary(why)) => {
                    return Err(NoWay::Temporary(format!("the keys of {host} in DNS: {why}")));
                }
            }
        } else {
            Vec::new()
        };
        let srv_is_secure = way == Way::SecureSrv;
        Ok(Target { host, port, is_direct, addresses, tlsa, srv_is_secure })
    }

    /// Asks one question. `NoService`: the name exists and has no such record.
    async fn ask(&self, name: &str, kind: RecordType) -> Result<Answer, NoWay> {
        let name = Name::from_ascii(format!("{name}.")).map_err(|_| NoWay::NoSuchDomain)?;
        let _permit = self.permit().await?;
        let (resolver, is_checked) = match &self.0.checked {
            Some(checked) if self.0.trial.state(checked).await == Dnssec::Works => (checked, true),
            _ => (&self.0.plain, false),
        };
        match resolver.lookup(name.clone(), kind).await {
            Ok(found) => chosen(&name, kind, found.answers(), is_checked),
            Err(error) => Err(no_way(&error)),
        }
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, NoWay> {
        let permit = self.0.questions.acquire().await;
        permit.map_err(|_| NoWay::Temporary("the server stops".to_owned()))
    }
}

/// What the SRV records of one service say.
enum Srv {
    /// There are servers.
    Offers(Vec<order::Weighted>),
    /// There is no server, and the domain says so.
    Refused,
    /// There are no records.
    Unknown,
}

/// How a host became known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is the domain itself.
    Domain,
    /// By a record that DNSSEC does not secure, so that its keys say nothing (RFC 7673 §3.1).
    Srv,
    /// By a record that DNSSEC secures.
    SecureSrv,
    /// Somebody whom the caller believes named it.
    Given,
}

async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, NoWay>>,
) -> Result<T, NoWay> {
    let late = |_| NoWay::Temporary("the DNS server did not answer in time".to_owned());
    tokio::time::timeout(time, work).await.map_err(late)?
}

/// Returns which of two reasons says more.
fn worse(one: NoWay, other: NoWay) -> NoWay {
    match (&one, &other) {
        (NoWay::Temporary(_), _) | (_, NoWay::NoService | NoWay::NoSuchDomain) => one,
        _ => other,
    }
}

/// Brings the two families together, by turns and IPv6 first (RFC 8305 §4).
fn addresses(
    six: Result<Answer, NoWay>,
    four: Result<Answer, NoWay>,
) -> Result<Vec<IpAddr>, NoWay> {
    let list = |answer: &Answer| {
        let address = |data: &RData| match data {
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            RData::A(address) => Some(IpAddr::V4(address.0)),
            _ => None,
        };
        answer.data.iter().filter_map(address).take(ADDRESSES_MAX / 2).collect::<Vec<_>>()
    };
    let why = match (&six, &four) {
        (Err(six), Err(four)) => worse(six.clone(), four.clone()),
        _ => NoWay::NoService,
    };
    let (six, four) = (six.as_ref().map(list), four.as_ref().map(list));
    let (six, four) = (six.unwrap_or_default(), four.unwrap_or_default());
    let longest = six.len().max(four.len());
    let mut all = Vec::new();
    for turn in 0..longest {
        all.extend(six.get(turn));
        all.extend(four.get(turn));
    }
    if all.is_empty() { Err(why) } else { Ok(all) }
}

/// Takes the records that answer the question, along the aliases (CNAME) of the name.
fn chosen(
    name: &Name,
    kind: RecordType,
    records: &[Record],
    is_checked: bool,
) -> Result<Answer, NoWay> {
    let records = records.get(..RECORDS_MAX).unwrap_or(records);
    let mut names = vec![name];
    let mut is_secure = is_checked;
    let mut data = Vec::new();
    for record in records {
        if !names.contains(&&record.name) {
            continue;
        }
        match &record.data {
            RData::CNAME(alias) => names.push(&alias.0),
            found if found.record_type() == kind => data.push(found.clone()),
            _ => continue,
        }
        is_secure &= record.proof == Proof::Secure;
        if is_checked && matches!(record.proof, Proof::Bogus | Proof::Indeterminate) {
            return Err(forged());
        }
    }
    if data.is_empty() { Err(NoWay::NoService) } else { Ok(Answer { data, is_secure }) }
}

fn forged() -> NoWay {
    NoWay::Temporary("DNSSEC says that the answer is forged or its signatures are wrong".to_owned())
}

fn no_way(error: &NetError) -> NoWay {
    let temporary = |why: &str| NoWay::Temporary(why.to_owned());
    let absent = |code: ResponseCode| match code {
        ResponseCode::NXDomain => NoWay::NoSuchDomain,
        _ => NoWay::NoService,
    };
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => {
            absent(*response_code)
        }
        NetError::Dns(DnsError::Nsec {
            response, proof: Proof::Secure | Proof::Insecure, ..
        }) => absent(response.response_code),
        NetError::Dns(DnsError::Nsec { .. } | DnsError::DnssecBogus) => forged(),
        NetError::Dns(DnsError::ResponseCode(code)) => {
            NoWay::Temporary(format!("the DNS server says: {code}"))
        }
        NetError::Timeout => temporary("the DNS server does not answer"),
        NetError::NoConnections | NetError::Io(_) => temporary("the DNS server cannot be reached"),
        NetError::Busy => temporary("too many questions to the DNS server are under way"),
        error => NoWay::Temporary(format!("DNS: {error}")),
    }
}

fn tlsa(data: &RData) -> Option<Tlsa> {
    let RData::TLSA(record) = data else { return None };
    Some(Tlsa {
        usage: record.cert_usage.into(),
        selector: record.selector.into(),
        matching: record.matching.into(),
        data: record.cert_data.clone(),
    })
}

fn name_servers(chosen: &[NameServer]) -> ResolverConfig {
    let at = |address: std::net::SocketAddr| {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = address.port();
        }
        NameServerConfig::new(address.ip(), true, connections)
    };
    if !chosen.is_empty() {
        let servers = chosen.iter().map(|server| at(server.0)).collect();
        return ResolverConfig::from_name_servers(servers);
    }
    match system_conf::read_system_conf() {
        Ok((config, _)) if !config.name_servers().is_empty() => config,
        // As the C library does without /etc/resolv.conf.
        _ => {
            ResolverConfig::from_name_servers(vec![at((std::net::Ipv4Addr::LOCALHOST, 53).into())])
        }
    }
}

fn tune(options: &mut ResolverOpts) {
    options.timeout = QUESTION_WITHIN;
    options.attempts = 2;
    options.cache_size = CACHE_MAX;
    options.negative_max_ttl = Some(ABSENCE_MAX);
    options.positive_max_ttl = Some(ANSWER_MAX);
}

#[cfg(test)]
pub(crate) mod lab;
#[cfg(test)]
mod tests;
