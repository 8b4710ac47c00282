//! Every key of the file. The comments here are what `calypte config explain` and the example say.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;
use xmpp::Jid;

use super::federation::{NameServer, Prover, With};
use super::origin::{Origin, Pages};
use super::schema::section;
use super::units::{Size, Span};
use super::value::{Domain, Value, Wrong, choice, within};

section! {
    /// The server as a whole.
    Top "" {
        /// The domain that addresses end in: ana@chat.example.org. The only key that is needed.
        domain: Option<Domain> = ""; RESTART
        /// Accounts of this domain that may administer it from their clients.
        admins: Vec<Jid> = "[]"; LIVE
        /// The folder that holds everything the server keeps. Only the server may read it.
        data: PathBuf = "\"/var/lib/calypte\""; RESTART
    }
}

section! {
    /// The certificate that proves the domain to clients. Needed, except in `calypte dev`. When
    /// the files change, new connections get the new certificate within seconds.
    Tls "tls" {
        /// The certificate and those that lead to its authority, in one PEM file.
        certificate: Option<PathBuf> = ""; LIVE
        /// The private key of `certificate`, in PEM. Nobody but the server should be able to read it.
        key: Option<PathBuf> = ""; LIVE
        /// Instead of the two keys above: a folder that has one folder for each domain with
        /// fullchain.pem and privkey.pem in it, such as "/etc/letsencrypt/live".
        certificates: Option<PathBuf> = ""; LIVE
    }
}

section! {
    /// A certificate that the server gets and renews by itself, from an authority such as Let's
    /// Encrypt (RFC 8555), in place of [tls]. It is kept in `data`. A start without one waits for the
    /// first, and opens no port but that of the challenge until it is there.
    Acme "acme" {
        /// Whether you agree to the terms of the authority. Without it nothing is asked of it.
        agree: bool = "false"; RESTART
        /// Where the authority may write to, such as ["ana@example.org"]. Many want none.
        contact: Vec<String> = "[]"; RESTART
        /// What the certificate names besides the domain, such as ["rooms.example.org"], so that people of
        /// other servers can use it. DNS has to lead to this machine for each, or there is none at all.
        names: Vec<String> = "[]"; RESTART
        /// How it sees that the domain is yours. "http-01": it asks at port 80 (`listen.http_acme`).
        /// "tls-alpn-01": it asks at port 443 (`listen.https` or `listen.alpn`).
        challenge: Challenge = "\"http-01\""; RESTART
        /// The directory of the authority. The default is Let's Encrypt; to try things out use
        /// "https://acme-staging-v02.api.letsencrypt.org/directory", which nobody trusts.
        directory: String = "\"https://acme-v02.api.letsencrypt.org/directory\"", is_https; RESTART
        /// A PEM file with the certificate behind the directory's own, when that is not one of those
        /// that the system trusts: for an authority of your own.
        trust: Option<PathBuf> = ""; RESTART
    }
}

section! {
    /// Where the server listens. An empty list switches a port off.
    Listen "listen" {
        /// Clients that start in the clear and switch to TLS before anything else (STARTTLS).
        c2s: Vec<SocketAddr> = "[\"0.0.0.0:5222\", \"[::]:5222\"]"; RESTART
        /// Clients that begin with TLS (XEP-0368).
        c2s_tls: Vec<SocketAddr> = "[\"0.0.0.0:5223\", \"[::]:5223\"]"; RESTART
        /// Other servers that start in the clear and switch to TLS before anything else.
        s2s: Vec<SocketAddr> = "[\"0.0.0.0:5269\", \"[::]:5269\"]"; RESTART
        /// Other servers that begin with TLS (XEP-0368).
        s2s_tls: Vec<SocketAddr> = "[\"0.0.0.0:5270\", \"[::]:5270\"]"; RESTART
        /// Figures and health: /metrics, /healthz, /readyz. Only addresses of this machine.
        http: Vec<SocketAddr> = "[\"127.0.0.1:5280\"]", all_loopback; RESTART
        /// What others fetch by HTTPS: where the server is (host-meta), and what modules publish. Off
        /// until it is set, since many machines have a web server already, and ports below 1024 need
        /// a right of their own (CAP_NET_BIND_SERVICE). Usual: ["0.0.0.0:443", "[::]:443"], or another
        /// port to which your web server hands https://DOMAIN/.well-known/.
        https: Vec<SocketAddr> = "[]"; RESTART
        /// The same without TLS, for a web server of this machine that does TLS and hands requests on,
        /// WebSocket too. It has to say for whom it asks (X-Forwarded-For), and to refuse to pass on
        /// what others put there. Only addresses of this machine.
        web: Vec<SocketAddr> = "[]", all_loopback; RESTART
        /// One port for all that begins with TLS: clients and servers that say so (ALPN, XEP-0368) and,
        /// for all others, what `https` has. So that clients get through where only HTTPS may pass:
        /// ["0.0.0.0:443", "[::]:443"].
        alpn: Vec<SocketAddr> = "[]"; RESTART
        /// Where an authority asks whether the domain is ours. Opened with [acme] and `challenge =
        /// "http-01"` only. Authorities ask at port 80; a web server there can hand them on.
        http_acme: Vec<SocketAddr> = "[\"0.0.0.0:80\", \"[::]:80\"]"; RESTART
        /// Components (XEP-0114), such as bridges to other networks. Opened with [[components]] only.
        /// What passes here is not encrypted: leave it on this machine, or on a network of your own.
        components: Vec<SocketAddr> = "[\"127.0.0.1:5347\", \"[::1]:5347\"]"; RESTART
        /// The addresses by which others reach this machine, when it listens on all of them: for
        /// host-meta and `calypte dns`. Without them both leave addresses to you.
        public: Vec<IpAddr> = "[]"; RESTART
        /// The socket for `calypte user`, `reload` and `status`. Without it: admin.sock in `data`.
        admin: Option<PathBuf> = ""; RESTART
    }
}

section! {
    /// Clients in browsers. They come over HTTPS, by `listen.https` or `listen.web`, to
    /// /xmpp-websocket and /http-bind, and find both by host-meta.
    Web "web" {
        /// How the world reaches this server by HTTPS, such as "https://chat.example.org". Without it:
        /// the domain, at the first port of `listen.https`. Needed with `listen.web` alone.
        url: Option<Origin> = ""; LIVE
        /// Whether clients may come over WebSocket (RFC 7395).
        websocket: bool = "true"; LIVE
        /// Whether clients may come by requests of HTTP (BOSH, XEP-0124), as old ones do.
        bosh: bool = "true"; LIVE
        /// Pages of other sites that may use this server, such as "https://app.example.org"; "*" is
        /// every page. Pages of the domain and of the host of `url` always may, and so may programs
        /// that are no browsers.
        origins: Vec<Pages> = "[]"; LIVE
        /// A folder with a web chat, such as Converse.js: its files are served at https://DOMAIN/, as far
        /// as no other page has their path. Hidden files and links are not.
        folder: Option<PathBuf> = ""; LIVE
        /// What pages of `folder` may do (Content-Security-Policy), in place of the usual: scripts of
        /// this server only, and connections to any place by HTTPS and WebSocket.
        policy: Option<String> = "", is_header; LIVE
    }
}

section! {
    /// Other servers: who they may be and how they prove it. Every connection is inside TLS.
    Federation "federation" {
        /// "everyone": all domains but those in `block`. "listed": only those in `allow`. "nobody":
        /// no other server, and none of the ports for servers is opened.
        with: With = "\"everyone\""; LIVE
        /// With `with = "listed"`: the domains to talk to. Each stands for those below it as well:
        /// "example.org" also for "rooms.example.org".
        allow: Vec<Domain> = "[]"; LIVE
        /// Domains never to talk to, with those below them.
        block: Vec<Domain> = "[]"; LIVE
        /// Domains that may prove themselves by dialback (XEP-0220): they show that DNS leads to
        /// them, so whoever controls their DNS or network can speak for them. Each stands for those
        /// below it as well; ["*"] is every domain. All others need a valid certificate.
        dialback: Vec<Prover> = "[]"; LIVE
        /// PEM files with authorities that other servers may have their certificate from, beside
        /// those that the system trusts. The certificate of one server may stand there too.
        trust: Vec<PathBuf> = "[]"; LIVE
        /// Whether a domain may publish the key of its server in DNS (TLSA records). It counts when
        /// the DNS server passes on DNSSEC, which is checked here; then no other key will do.
        dane: bool = "true"; RESTART
        /// DNS servers to ask, such as "127.0.0.1". Without them: those that the system names when
        /// the server starts.
        resolver: Vec<NameServer> = "[]"; RESTART
        /// A file with DNSKEY records to believe instead of the key of the root of DNS: for a network
        /// that signs zones of its own.
        dnssec_anchor: Option<PathBuf> = ""; RESTART
        /// What waits for one domain that cannot be reached. Beyond it senders get an error at once.
        queue: Size = "\"4 MiB\"", within(Size(64 << 10), Size(1 << 30)); LIVE
        /// Messages to a domain that cannot be reached are tried again for so long; then their
        /// senders get an error. Requests (iq) get it after 1 minute.
        retry_for: Span = "\"1 hour\"", within(span(1), span(604_800)); LIVE
        /// How long it may take to reach another server and to agree with it.
        connect_within: Span = "\"30 seconds\"", within(span(5), span(300)); LIVE
        /// A connection that no stanza passed for so long is closed.
        idle_for: Span = "\"15 minutes\"", within(span(1), span(86_400)); LIVE
    }
}

section! {
    /// How much one client, one address and everybody together may use. A client that goes beyond is
    /// refused or slowed down, and others do not notice.
    Limits "limits" {
        /// The largest stanza after login. From 10000 bytes (RFC 6120 §13.12) to 16 MiB.
        stanza: Size = "\"256 KiB\"", within(Size(10_000), Size(16 << 20)); LIVE
        /// How long a broken connection may be resumed (XEP-0198). At most 1 day.
        resume_for: Span = "\"5 minutes\"", within(span(0), span(86_400)); LIVE
        /// What waits for a client that reads slowly. Beyond it the client is disconnected and may
        /// resume.
        queue: Size = "\"256 KiB\"", within(Size(64 << 10), Size(64 << 20)); LIVE
        /// How long a new connection may take to log in.
        login_within: Span = "\"30 seconds\"", within(span(1), span(600)); LIVE
        /// After this much silence a client is asked whether it is still there.
        ping_after: Span = "\"10 minutes\"", within(span(10), span(86_400)); LIVE
        /// Connections that have not logged in yet, all together. Beyond it the oldest go first.
        logging_in: u32 = "2000", within(1, 1_000_000); LIVE
        /// Connections, all together.
        connections: u32 = "20000", within(1, 10_000_000); LIVE
        /// Connections from one address. Many people may share an address behind a router.
        connections_per_address: u32 = "200", within(1, 10_000_000); LIVE
        /// Connections to `listen.https` and `listen.web`, all together. Clients over WebSocket do not
        /// count here but above.
        web: u32 = "1000", within(1, 1_000_000); LIVE
        /// The same from one address. A browser takes up to six.
        web_per_address: u32 = "50", within(1, 1_000_000); LIVE
        /// Devices of one account that are connected at the same time.
        devices: u32 = "20", within(1, 1000); LIVE
        /// What one client may send in a second, on average.
        traffic: Size = "\"256 KiB\"", within(Size(1 << 10), Size(1 << 30)); LIVE
        /// What one client may send at once before `traffic` counts.
        burst: Size = "\"4 MiB\"", within(Size(64 << 10), Size(1 << 30)); LIVE
        /// Connections from other servers, all together. A quarter of them may not have proved their
        /// domain yet; beyond it the oldest of those go first.
        peers: u32 = "2000", within(4, 1_000_000); LIVE
        /// Connections from other servers from one address. One machine may serve many domains.
        peers_per_address: u32 = "100", within(1, 1_000_000); LIVE
        /// What one connection with another server may bring in a second, on average.
        peer_traffic: Size = "\"4 MiB\"", within(Size(1 << 10), Size(1 << 30)); LIVE
        /// What it may bring at once before `peer_traffic` counts.
        peer_burst: Size = "\"16 MiB\"", within(Size(64 << 10), Size(1 << 30)); LIVE
    }
}

section! {
    /// How people prove who they are.
    Login "login" {
        /// Whether a client may send the password itself (PLAIN, inside TLS). Every client of today
        /// can do better.
        plain: bool = "false"; LIVE
        /// The work that makes guessing a stolen password record slow (SCRAM iterations). Used when
        /// a password is set. From 4096 to 1000000.
        iterations: u32 = "10000", within(4096, 1_000_000); LIVE
    }
}

section! {
    /// What the log says. It goes to standard error.
    Log "log" {
        /// "error": act now. "warn": look this week. "info": start, stop, reload. "debug": the way
        /// of each stanza, never its content.
        level: Level = "\"info\""; LIVE
        /// "hidden": the log does not say who talks to whom. "full" is for finding a fault.
        addresses: Addresses = "\"hidden\""; RESTART
        /// "human", "json", or "auto": human at a terminal and JSON otherwise.
        format: Format = "\"auto\""; RESTART
    }
}

section! {
    /// How the server uses the machine.
    Server "server" {
        /// How many shards do the work. "auto" is one for each processor.
        shards: Shards = "\"auto\""; RESTART
        /// How long clients get to say goodbye when the server stops.
        goodbye: Span = "\"5 seconds\"", within(span(0), span(300)); LIVE
    }
}

section! {
    /// Which features run. Without this table all bundled modules do. The settings of a module stand
    /// in a table of its own, [modules.NAME]; `calypte module list` shows names and settings.
    Modules "modules" {
        /// Only these modules, in this order. Without it: all bundled ones and all loaded ones.
        enable: Option<Vec<String>> = ""; LIVE
        /// All but these.
        disable: Vec<String> = "[]"; LIVE
        /// These modules come first, in this order, wherever two act at the same place.
        /// `calypte module order` shows the result.
        order: Vec<String> = "[]"; LIVE
    }
}

section! {
    /// A module that is not bundled: one [[modules.load]] for each file.
    Load "modules.load" {
        /// The file, as `cargo build --release` writes it.
        file: Option<PathBuf> = ""; LIVE
        /// The BLAKE3 hash of the file. A file that changed is refused. `calypte module add` writes it.
        blake3: Option<Fingerprint> = ""; LIVE
        /// The rights that the module asks for and gets. `calypte module check` shows them.
        grant: Vec<String> = "[]"; LIVE
        /// Whether the server refuses to start without it. It always does for a security module.
        required: bool = "false"; LIVE
    }
}

section! {
    /// A program beside the server that speaks for a domain of its own, such as a bridge to another
    /// network: one [[components]] for each.
    Component "components" {
        /// Its domain. Other servers reach it too where DNS and the certificate have that name.
        domain: Option<Domain> = ""; RESTART
        /// A file with the secret that it shares with the server, in one line. Others than its owner
        /// and its group must not be able to read it.
        secret_file: Option<PathBuf> = ""; RESTART
    }
}

const fn span(seconds: u64) -> Span {
    Span(std::time::Duration::from_secs(seconds))
}

#[expect(clippy::ptr_arg, reason = "a rule takes the type of its key")]
fn all_loopback(addresses: &Vec<SocketAddr>) -> Result<(), String> {
    let outside = addresses.iter().find(|address| !address.ip().is_loopback());
    outside.map_or(Ok(()), |address| {
        Err(format!(
            "write \"127.0.0.1:{}\"; for others, put a web server in front",
            address.port()
        ))
    })
}

fn is_header(text: &Option<String>) -> Result<(), String> {
    let is_right = |text: &String| text.bytes().all(|byte| (0x20..0x7F).contains(&byte));
    if text.as_ref().is_none_or(is_right) { Ok(()) } else { Err("write it in one line".to_owned()) }
}

#[expect(clippy::ptr_arg, reason = "a rule takes the type of its key")]
fn is_https(url: &String) -> Result<(), String> {
    if url.starts_with("https://") { Ok(()) } else { Err("write https://…".to_owned()) }
}

/// How an authority sees that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// RFC 8555 §8.3.
    Http01,
    /// RFC 8737.
    TlsAlpn01,
}

impl Value for Challenge {
    const KIND: &'static str = "\"http-01\" or \"tls-alpn-01\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        choice(value, &[("http-01", Self::Http01), ("tls-alpn-01", Self::TlsAlpn01)])
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Act now.
    Error,
    /// Look this week.
    Warn,
    /// Start, stop, reload.
    Info,
    /// The way of each stanza.
    Debug,
    /// Everything.
    Trace,
}

impl Value for Level {
    const KIND: &'static str = "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let words = [
            ("error", Self::Error),
            ("warn", Self::Warn),
            ("info", Self::Info),
            ("debug", Self::Debug),
            ("trace", Self::Trace),
        ];
        choice(value, &words)
    }
}

/// Whether addresses of people stand in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// Only the domain.
    Hidden,
    /// The whole address.
    Full,
}

impl Value for Addresses {
    const KIND: &'static str = "\"hidden\" or \"full\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        choice(value, &[("hidden", Self::Hidden), ("full", Self::Full)])
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Human at a terminal, JSON otherwise.
    Auto,
    /// For reading.
    Human,
    /// For machines.
    Json,
}

impl Value for Format {
    const KIND: &'static str = "\"auto\", \"human\" or \"json\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        choice(value, &[("auto", Self::Auto), ("human", Self::Human), ("json", Self::Json)])
    }
}

/// How many shards; `None` is one for each processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shards(pub(crate) Option<u32>);

impl Value for Shards {
    const KIND: &'static str = "\"auto\" or a number from 1 to 64";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        if value.get_ref().as_str() == Some("auto") {
            return Ok(Self(None));
        }
        let hint = "write \"auto\" or a number from 1 to 64";
        let number = u32::read(value).map_err(|wrong| Wrong { hint: hint.into(), ..wrong })?;
        if (1..=64).contains(&number) {
            Ok(Self(Some(number)))
        } else {
            Err(Wrong { at: None, is: format!("the number {number}"), hint: hint.into() })
        }
    }
}

/// The BLAKE3 hash of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) [u8; 32]);

impl Value for Fingerprint {
    const KIND: &'static str = "a BLAKE3 hash, 64 hexadecimal digits";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let text = String::read(value)?;
        let wrong = || Wrong {
            at: None,
            is: format!("{} characters", text.chars().count()),
            hint: "copy it from `calypte module check FILE`".to_owned(),
        };
        crate::hex::read(&text).map(Self).ok_or_else(wrong)
    }
}
