//! Figures for /metrics and `calypte status`. Labels have fixed sets; never an address.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::federation::trouble::Failed;

/// Names of one module may be registered up to this number, so that none fills the memory.
const NAMES_MAX: usize = 2000;

/// Something that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub(crate) fn one(&self) {
        self.add(1);
    }

    /// Counts `amount`.
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    /// Returns the count.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Something that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `change`, which may be negative.
    pub(crate) fn add(&self, change: i64) {
        self.0.fetch_add(change, Relaxed);
    }

    /// Sets it.
    pub(crate) fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Returns it.
    pub(crate) fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Counters that differ in one label with a fixed set of values.
#[derive(Debug)]
pub(crate) struct Family {
    label: &'static str,
    counters: Box<[(&'static str, Counter)]>,
}

impl Family {
    fn new(label: &'static str, values: &[&'static str]) -> Self {
        let counters = values.iter().map(|value| (*value, Counter::default())).collect();
        Self { label, counters }
    }

    /// Returns the counter of `value`, or the last one, "other", when there is none.
    pub(crate) fn of(&self, value: &str) -> &Counter {
        static NOWHERE: Counter = Counter(AtomicU64::new(0));
        let found = self.counters.iter().find(|(name, _)| *name == value);
        found.or_else(|| self.counters.last()).map_or(&NOWHERE, |(_, counter)| counter)
    }
}

macro_rules! metrics {
    ($( $(#[doc = $doc:literal])* $field:ident : $type:ident $(($label:literal, $values:expr))? = $name:literal ),* $(,)?) => {
        /// All figures of the server.
        #[derive(Debug)]
        pub(crate) struct Metrics {
            $( $(#[doc = $doc])* pub(crate) $field: $type, )*
            /// Counters of modules by their whole name.
            named: Mutex<BTreeMap<String, Arc<Counter>>>,
        }

        impl Default for Metrics {
            fn default() -> Self {
                Self {
                    $( $field: make!($type $(($label, $values))?), )*
                    named: Mutex::default(),
                }
            }
        }

        impl Metrics {
            fn render_fixed(&self, out: &mut String) {
                $( self.$field.render($name, concat!($($doc),*), out); )*
            }
        }
    };
}

macro_rules! make {
    ($type:ident) => {
        $type::default()
    };
    ($type:ident ($label:literal, $values:expr)) => {
        $type::new($label, $values)
    };
}

/// Kinds of stanzas.
const KINDS: &[&str] = &["message", "presence", "iq"];
/// Mechanisms, the newest first.
const MECHANISMS: &[&str] = &[
    "SCRAM-SHA-512-PLUS",
    "SCRAM-SHA-512",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-1",
    "PLAIN",
    "other",
];
/// Why a connection is not wanted.
const REFUSALS: &[&str] = &["address", "connections", "login-time", "tls", "other"];

/// Why a connection with another server is not wanted.
const PEER_REFUSALS: &[&str] = &[
    "address",
    "connections",
    "login-time",
    "tls",
    "certificate",
    "proof",
    "blocked",
    "policy",
    "other",
];
/// How two servers know each other.
const PROOFS: &[&str] = &["external", "dialback", "extension", "other"];
/// What senders are told about stanzas that cannot leave.
const BOUNCES: &[&str] = &[
    "remote-server-not-found",
    "remote-server-timeout",
    "not-allowed",
    "resource-constraint",
    "other",
];
/// Who ended a stream with an error; "dead" when nobody did and the peer was gone.
const ENDINGS: &[&str] = &["ours", "theirs", "dead", "other"];

metrics! {
    /// Connections from clients that are open.
    connections: Gauge = "calypte_c2s_connections",
    /// Connections that have not logged in yet.
    logging_in: Gauge = "calypte_c2s_connections_logging_in",
    /// Sessions that are bound, connected or not.
    sessions: Gauge = "calypte_sessions",
    /// Sessions that wait for their client to come back.
    detached: Gauge = "calypte_sessions_detached",
    /// Connections accepted since the start.
    accepted: Counter = "calypte_c2s_connections_total",
    /// Connections closed before login, by reason.
    refused: Family("reason", REFUSALS) = "calypte_c2s_refused_total",
    /// Logins that worked, by mechanism.
    logins: Family("mechanism", MECHANISMS) = "calypte_logins_total",
    /// Logins that failed.
    login_failures: Counter = "calypte_login_failures_total",
    /// Sessions resumed.
    resumed: Counter = "calypte_sessions_resumed_total",
    /// Stanzas from clients, by kind.
    stanzas_in: Family("kind", KINDS) = "calypte_c2s_stanzas_in_total",
    /// Stanzas to clients, by kind.
    stanzas_out: Family("kind", KINDS) = "calypte_c2s_stanzas_out_total",
    /// Bytes from clients inside TLS.
    bytes_in: Counter = "calypte_c2s_bytes_in_total",
    /// Bytes to clients inside TLS.
    bytes_out: Counter = "calypte_c2s_bytes_out_total",
    /// Streams that we closed with an error.
    stream_errors: Counter = "calypte_c2s_stream_errors_total",
    /// Clients disconnected because they read too slowly.
    slow_readers: Counter = "calypte_c2s_slow_readers_total",
    /// Connections from other servers that are open.
    s2s_in: Gauge = "calypte_s2s_connections_in",
    /// Connections from other servers that have not proved their domain yet.
    s2s_strangers: Gauge = "calypte_s2s_connections_in_unproved",
    /// Connections to other servers that are open or being made.
    s2s_out: Gauge = "calypte_s2s_connections_out",
    /// Connections from other servers accepted since the start.
    s2s_accepted: Counter = "calypte_s2s_connections_in_total",
    /// Connections with other servers that were refused, by reason.
    s2s_refused: Family("reason", PEER_REFUSALS) = "calypte_s2s_refused_total",
    /// Pairs of domains authenticated on connections from other servers, by how.
    s2s_in_authenticated: Family("how", PROOFS) = "calypte_s2s_in_authenticated_total",
    /// Pairs of domains authenticated on connections to other servers, by how.
    s2s_out_authenticated: Family("how", PROOFS) = "calypte_s2s_out_authenticated_total",
    /// Attempts to reach another server that failed, by where.
    s2s_out_failed: Family("where", Failed::NAMES) = "calypte_s2s_out_failed_total",
    /// Streams with other servers that ended with an error, by whose.
    s2s_stream_errors: Family("whose", ENDINGS) = "calypte_s2s_stream_errors_total",
    /// Stanzas from other servers, by kind.
    s2s_stanzas_in: Family("kind", KINDS) = "calypte_s2s_stanzas_in_total",
    /// Stanzas to other servers, by kind.
    s2s_stanzas_out: Family("kind", KINDS) = "calypte_s2s_stanzas_out_total",
    /// Stanzas that could not leave, by what their senders are told.
    s2s_bounced: Family("condition", BOUNCES) = "calypte_s2s_bounced_total",
    /// Bytes from other servers inside TLS.
    s2s_bytes_in: Counter = "calypte_s2s_bytes_in_total",
    /// Bytes to other servers inside TLS.
    s2s_bytes_out: Counter = "calypte_s2s_bytes_out_total",
    /// Stanzas that wait for other servers or are not acknowledged by them.
    s2s_waiting: Gauge = "calypte_s2s_waiting",
    /// The bytes of these.
    s2s_waiting_bytes: Gauge = "calypte_s2s_waiting_bytes",
    /// Connections of components that are open.
    components: Gauge = "calypte_component_connections",
    /// Connections of components that have not proved their domain yet.
    components_strangers: Gauge = "calypte_component_connections_unproved",
    /// Connections of components accepted since the start.
    components_accepted: Counter = "calypte_component_connections_total",
    /// Connections of components that were refused, by reason.
    components_refused: Family("reason", REFUSALS) = "calypte_component_refused_total",
    /// Stanzas from components, by kind.
    components_stanzas_in: Family("kind", KINDS) = "calypte_component_stanzas_in_total",
    /// Stanzas to components, by kind.
    components_stanzas_out: Family("kind", KINDS) = "calypte_component_stanzas_out_total",
    /// Connections to the ports for browsers that were refused, or never spoke TLS.
    web_refused: Counter = "calypte_web_refused_total",
    /// Bytes of files that people sent.
    file_bytes_in: Counter = "calypte_file_bytes_in_total",
    /// Bytes of files that people fetched.
    file_bytes_out: Counter = "calypte_file_bytes_out_total",
    /// Batches handed to the disk.
    commits: Counter = "calypte_store_batches_total",
    /// Batches handed to the disk and not durable yet.
    commits_waiting: Gauge = "calypte_store_batches_waiting",
    /// Actors that died and were replaced.
    restarts: Counter = "calypte_actor_restarts_total",
    /// Reloads that worked.
    reloads: Counter = "calypte_reloads_total",
}

impl Metrics {
    /// Returns the counter `calypte_<module>_<noun>_total`, made when it is new.
    ///
    /// Characters that a name cannot hold become `_`.
    pub(crate) fn module(&self, module: &str, noun: &str) -> Arc<Counter> {
        let name = format!("calypte_{}_{}_total", clean(module), clean(noun));
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= NAMES_MAX && !named.contains_key(&name) {
            return Arc::default();
        }
        Arc::clone(named.entry(name).or_default())
    }

    /// Returns everything in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        let mut out = String::with_capacity(8 << 10);
        self.render_fixed(&mut out);
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, counter) in named.iter() {
            let _ = writeln!(out, "# TYPE {name} counter\n{name} {}", counter.get());
        }
        out
    }
}

trait Render {
    fn render(&self, name: &str, doc: &str, out: &mut String);
}

impl Render for Counter {
    fn render(&self, name: &str, doc: &str, out: &mut String) {
        let doc = doc.trim();
        let value = self.get();
        let _ = writeln!(out, "# HELP {name} {doc}\n# TYPE {name} counter\n{name} {value}");
    }
}

impl Render for Gauge {
    fn render(&self, name: &str, doc: &str, out: &mut String) {
        let doc = doc.trim();
        let value = self.get();
        let _ = writeln!(out, "# HELP {name} {doc}\n# TYPE {name} gauge\n{name} {value}");
    }
}

impl Render for Family {
    fn render(&self, name: &str, doc: &str, out: &mut String) {
        let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} counter", doc.trim());
        for (value, counter) in &self.counters {
            let _ = writeln!(out, "{name}{{{}=\"{value}\"}} {}", self.label, counter.get());
        }
    }
}

fn clean(word: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    word.chars().take(64).map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_for_prometheus() {
        let metrics = Metrics::default();
        metrics.connections.add(2);
        metrics.stanzas_in.of("iq").one();
        metrics.logins.of("no such thing").one();
        metrics.module("roster", "pushes sent").add(3);
        let text = metrics.render();
        for line in [
            "# TYPE calypte_c2s_connections gauge",
            "calypte_c2s_connections 2",
            "calypte_c2s_stanzas_in_total{kind=\"iq\"} 1",
            "calypte_logins_total{mechanism=\"other\"} 1",
            "calypte_roster_pushes_sent_total 3",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn names_are_bounded() {
        let metrics = Metrics::default();
        for number in 0..NAMES_MAX + 10 {
            metrics.module("m", &number.to_string()).one();
        }
        assert!(metrics.named.lock().unwrap().len() <= NAMES_MAX);
    }
}
