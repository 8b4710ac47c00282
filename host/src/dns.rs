//! The DNS records that a server wants, each with a reason: `calypte dns` prints them, `calypte
//! doctor` looks whether they are there.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::digest;
use serde::Serialize;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Config;
use crate::reach;
use crate::tls::Served;

/// How long others may keep a record. Short enough to move the server in a day.
const TTL: u32 = 3600;

/// How much a record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// Without it nobody finds the server.
    Needed,
    /// Things work without it, and better with it.
    Better,
    /// For who knows what it does.
    Optional,
}

/// A record and why to have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Advice {
    /// The name, with the dot at its end.
    pub(crate) name: String,
    /// Seconds.
    pub(crate) ttl: u32,
    /// `A`, `SRV` and so on.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// As in a zone file.
    pub(crate) value: String,
    /// How much it matters.
    pub(crate) grade: Grade,
    /// What it is good for, in a sentence without its full stop.
    pub(crate) why: String,
    /// Whether it can be used as it is. Others need a decision or a value first.
    pub(crate) ready: bool,
}

/// What is known besides the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known<'a> {
    /// The name of the machine, when it is another one than the domain.
    pub(crate) host: Option<&'a str>,
    /// The certificate that is served.
    pub(crate) served: Option<&'a Served>,
    /// The text by which the module for required TLS is found, when it runs.
    pub(crate) policy: Option<String>,
    /// The account at the authority of `[acme]`, once there is one.
    pub(crate) account: Option<String>,
    /// The domains below, which modules serve.
    pub(crate) below: Vec<String>,
}

/// Returns all records for the server of `config`, in the order of a zone file.
pub(crate) fn records(config: &Config, known: &Known<'_>) -> Vec<Advice> {
    let domain = config.domain.ascii_domain().into_owned();
    let host = known.host.map_or_else(|| domain.clone(), |host| host.trim_matches('.').to_owned());
    let mut all = addresses(config, &host);
    all.extend(services(config, &domain, &host));
    for below in &known.below {
        // Clients reach it through the domain.
        let mut those = services(config, below, &host);
        those.retain(|advice| advice.name.contains("-server._tcp."));
        all.extend(those);
    }
    if let Some(served) = known.served {
        all.extend(keys(config, &host, served));
    }
    all.push(authority(config, &domain, known));
    if let Some(policy) = &known.policy {
        all.push(Advice {
            name: format!("_calypte.{domain}."),
            ttl: TTL,
            kind: "TXT",
            value: quoted(policy),
            grade: Grade::Better,
            why: "other Calypte servers learn here that TLS is required, before they connect for \
                  the first time; it changes with each new policy"
                .to_owned(),
            ready: true,
        });
    }
    all
}

fn addresses(config: &Config, host: &str) -> Vec<Advice> {
    let listen = &config.listen;
    let every = [&listen.c2s, &listen.c2s_tls, &listen.s2s, &listen.s2s_tls, &listen.alpn];
    let every: Vec<SocketAddr> = every.into_iter().flatten().copied().collect();
    let ips: BTreeSet<IpAddr> =
        reach::ports(&every, &listen.public).into_values().flatten().collect();
    let record = |kind, value: String, ready| Advice {
        name: format!("{host}."),
        ttl: TTL,
        kind,
        value,
        grade: Grade::Needed,
        why: "where the machine is".to_owned(),
        ready,
    };
    if ips.is_empty() {
        return vec![Advice {
            why: "where the machine is: put its address in place of this one (AAAA for IPv6), or \
                  name it in `listen.public`"
                .to_owned(),
            ..record("A", "192.0.2.1".to_owned(), false)
        }];
    }
    let kind = |ip: &IpAddr| if ip.is_ipv4() { "A" } else { "AAAA" };
    ips.iter().map(|ip| record(kind(ip), ip.to_string(), true)).collect()
}

/// RFC 6120 §3.2.1 and XEP-0368. TLS from the first byte is preferred by its priority.
fn services(config: &Config, domain: &str, host: &str) -> Vec<Advice> {
    let listen = &config.listen;
    let c2s_tls = reach::direct(&listen.c2s_tls, listen);
    let s2s_tls = reach::direct(&listen.s2s_tls, listen);
    let all = [
        ("_xmpps-client", &c2s_tls, 5, "clients connect with TLS from the first byte"),
        ("_xmpp-client", &listen.c2s, 10, "clients that know no other way find the port"),
        ("_xmpps-server", &s2s_tls, 5, "servers connect with TLS from the first byte"),
        ("_xmpp-server", &listen.s2s, 10, "servers that know no other way find the port"),
    ];
    let mut records = Vec::new();
    for (service, addresses, priority, why) in all {
        let ports: BTreeSet<u16> = addresses.iter().map(SocketAddr::port).collect();
        let record = |value, why: &str| Advice {
            name: format!("{service}._tcp.{domain}."),
            ttl: TTL,
            kind: "SRV",
            value,
            grade: if host == domain { Grade::Better } else { Grade::Needed },
            why: why.to_owned(),
            ready: true,
        };
        if ports.is_empty() {
            let why = "the port is not open here, and nobody need try it";
            records.push(Advice { grade: Grade::Optional, ..record("0 0 0 .".to_owned(), why) });
        }
        for port in ports {
            records.push(record(format!("{priority} 5 {port} {host}."), why));
        }
    }
    records
}

/// RFC 6698 and RFC 7673: the key of the certificate (usage 3, selector 1, SHA-256).
fn keys(config: &Config, host: &str, served: &Served) -> Vec<Advice> {
    let listen = &config.listen;
    let every = [&listen.c2s, &listen.c2s_tls, &listen.s2s, &listen.s2s_tls, &listen.alpn];
    let ports: BTreeSet<u16> = every.into_iter().flatten().map(SocketAddr::port).collect();
    let Some(hash) = key_hash(served) else { return Vec::new() };
    let renewed = if config.acme.agree { "each renewal has" } else { "a renewal may have" };
    let why = format!(
        "only where DNSSEC signs the zone: others then take this key and no other, whatever an \
         authority says. {renewed} a new key; publish it before it is used, or they refuse to connect"
    );
    let record = |port| Advice {
        name: format!("_{port}._tcp.{host}."),
        ttl: TTL,
        kind: "TLSA",
        value: format!("3 1 1 {hash}"),
        grade: Grade::Optional,
        why: why.clone(),
        ready: false,
    };
    ports.into_iter().map(record).collect()
}

/// Returns the SHA-256 of the public key that is served, in hexadecimal.
pub(crate) fn key_hash(served: &Served) -> Option<String> {
    let leaf = served.certified.cert.first()?;
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let hash = digest::digest(&digest::SHA256, certificate.public_key().raw);
    Some(crate::hex::write(hash.as_ref()))
}

/// RFC 8659, RFC 8657: who may issue certificates for the domain, and to whom.
fn authority(config: &Config, domain: &str, known: &Known<'_>) -> Advice {
    let issuer = known.served.and_then(issuer).unwrap_or_default();
    let is_lets_encrypt = (config.acme.agree && config.acme.directory.contains("letsencrypt.org"))
        || issuer.contains("Let's Encrypt");
    let account = known.account.as_ref().filter(|_| config.acme.agree);
    let account = account.map(|account| format!("; accounturi={account}")).unwrap_or_default();
    let name = if is_lets_encrypt { "letsencrypt.org" } else { "ca.example.net" };
    let why = "no other authority may issue a certificate for the domain";
    let why = match (is_lets_encrypt, account.is_empty()) {
        (true, false) => format!("{why}, and this one only to the account of this server"),
        (true, true) => why.to_owned(),
        (false, _) => format!("{why}: put the name of yours in place of this one"),
    };
    Advice {
        name: format!("{domain}."),
        ttl: TTL,
        kind: "CAA",
        value: format!("0 issue \"{name}{account}\""),
        grade: Grade::Better,
        why,
        ready: is_lets_encrypt,
    }
}

fn issuer(served: &Served) -> Option<String> {
    let leaf = served.certified.cert.first()?;
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    Some(certificate.issuer().to_string())
}

/// A text of DNS comes in pieces of at most 255 bytes.
fn quoted(text: &str) -> String {
    let pieces: Vec<String> = text
        .as_bytes()
        .chunks(255)
        .map(|piece| {
            let piece = String::from_utf8_lossy(piece);
            format!("\"{}\"", piece.replace('\\', "\\\\").replace('"', "\\\""))
        })
        .collect();
    pieces.join(" ")
}

/// Returns the records as a zone file that can be pasted: what is not ready is a comment.
pub(crate) fn zone_file(domain: &str, records: &[Advice]) -> String {
    let width = records.iter().map(|one| one.name.chars().count()).max().unwrap_or(0);
    let mut out = format!(
        "; Records for {domain}. Lines that begin with ; are not in force; what stands above a \
         record is why.\n"
    );
    let mut last = None;
    for one in records {
        let why = (one.grade, &one.why);
        if last != Some(why) {
            let grade = match one.grade {
                Grade::Needed => "needed",
                Grade::Better => "better",
                Grade::Optional => "optional",
            };
            out.push_str(&format!("\n; {grade}: {}\n", one.why));
            last = Some(why);
        }
        let mark = if one.ready { "" } else { ";" };
        out.push_str(&format!(
            "{mark}{:width$} {} IN {:4} {}\n",
            one.name, one.ttl, one.kind, one.value
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config() -> Config {
        let mut config = Config::standard("chat.example".parse().unwrap(), Path::new("data"));
        config.listen.s2s_tls = Vec::new();
        config.listen.public = vec!["192.0.2.7".parse().unwrap()];
        config
    }

    #[test]
    fn a_zone_file_can_be_pasted() {
        let config = config();
        let known = Known { policy: Some("v=0; s=1".to_owned()), ..Known::default() };
        let expected = "\
; Records for chat.example. Lines that begin with ; are not in force; what stands above a record is why.

; needed: where the machine is
chat.example.                    3600 IN A    192.0.2.7

; better: clients connect with TLS from the first byte
_xmpps-client._tcp.chat.example. 3600 IN SRV  5 5 5223 chat.example.

; better: clients that know no other way find the port
_xmpp-client._tcp.chat.example.  3600 IN SRV  10 5 5222 chat.example.

; optional: the port is not open here, and nobody need try it
_xmpps-server._tcp.chat.example. 3600 IN SRV  0 0 0 .

; better: servers that know no other way find the port
_xmpp-server._tcp.chat.example.  3600 IN SRV  10 5 5269 chat.example.

; better: no other authority may issue a certificate for the domain: put the name of yours in place of this one
;chat.example.                    3600 IN CAA  0 issue \"ca.example.net\"

; better: other Calypte servers learn here that TLS is required, before they connect for the first time; it changes with each new policy
_calypte.chat.example.           3600 IN TXT  \"v=0; s=1\"
";
        assert_eq!(zone_file("chat.example", &records(&config, &known)), expected);
    }

    #[test]
    fn another_machine_needs_its_records() {
        let all =
            records(&config(), &Known { host: Some("xmpp.example.net."), ..Known::default() });
        let of = |kind| all.iter().find(|one| one.kind == kind).unwrap();
        assert_eq!(of("A").name, "xmpp.example.net.");
        assert_eq!((of("SRV").grade, of("SRV").ready), (Grade::Needed, true));
        assert!(of("SRV").value.ends_with(" xmpp.example.net."), "{}", of("SRV").value);
    }

    #[test]
    fn a_key_is_published_by_who_knows_what_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let files = crate::certs::make_dev(folder.path(), "chat.example").unwrap().server;
        let served = Served::open(&files).unwrap();
        let mut config = config();
        config.acme.agree = true;
        let account = Some("https://ca.example/a/1".to_owned());
        let known = Known { served: Some(&served), account, ..Known::default() };
        let all = records(&config, &known);
        let keys: Vec<_> = all.iter().filter(|one| one.kind == "TLSA").collect();
        let names: Vec<_> = keys.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(keys.iter().all(|one| !one.ready && one.value.len() == 6 + 64), "{keys:?}");
        let caa = all.iter().find(|one| one.kind == "CAA").unwrap();
        let expected = "0 issue \"letsencrypt.org; accounturi=https://ca.example/a/1\"";
        assert_eq!((caa.value.as_str(), caa.ready), (expected, true));
    }

    #[test]
    fn long_texts_come_in_pieces() {
        assert_eq!(quoted("a\"b\\"), r#""a\"b\\""#);
        assert_eq!(quoted(&"x".repeat(300)).matches('"').count(), 4);
    }
}
