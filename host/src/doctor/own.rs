//! Our own server, as others find it: DNS, ports, certificate, federation.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{CONNECT_WITHIN, Doctor, Finding, Mark};
use crate::clock;
use crate::config::federation::With;
use crate::dns::{self, Advice, Grade, Known};
use crate::federation::identity::{self, Identity, Reference, Side};
use crate::federation::look::{self, Service};
use crate::federation::resolve::{Dnssec, NoWay, Target};
use crate::reach;

impl Doctor {
    /// Judges the certificate as another server or a client would.
    pub(super) fn certificate(&self) -> Vec<Finding> {
        const TOPIC: &str = "certificate";
        let Some(served) = &self.served else {
            let todo = "`calypte check` says why";
            return vec![Finding::new(Mark::Wrong, TOPIC, "there is none that can be read", todo)];
        };
        let domain = self.config.domain.ascii_domain();
        let now = clock::now_seconds();
        let mut found = Vec::new();
        if served.not_before > now {
            let what = format!("it is valid from {} on", clock::date(served.not_before));
            let todo = "set the clock of this machine, or wait";
            found.push(Finding::new(Mark::Wrong, TOPIC, what, todo));
        }
        let reference = Reference {
            name: &domain,
            host: None,
            side: Side::Server,
            tlsa: &[],
            now_seconds: now,
        };
        match identity::identity(&served.certified.cert, &reference, &self.roots) {
            Identity::Valid | Identity::Dane => {}
            Identity::Invalid(why) | Identity::Refused(why) => {
                let what = format!("others refuse it: {why}");
                let todo = "get one from an authority that others trust, with its whole chain";
                found.push(Finding::new(Mark::Wrong, TOPIC, what, todo));
            }
            Identity::None => {}
        }
        let (days, date) = (served.days_left(), clock::date(served.not_after));
        if found.is_empty() {
            let what =
                format!("it is for {domain}, its chain is whole, and it is valid until {date}");
            found.push(match days {
                ..14 => Finding::new(Mark::Note, TOPIC, what, "renew it soon"),
                _ => Finding::ok(TOPIC, what),
            });
        }
        found
    }

    /// Looks whether DNS has the records of `calypte dns`.
    pub(super) async fn records(&self, tell: &mut dyn FnMut(Finding)) {
        let served = self.served.as_deref();
        let below = crate::check::served(&self.config);
        let known = Known { served, below, ..Known::default() };
        let mut by_name: BTreeMap<(String, &'static str), Vec<Advice>> = BTreeMap::new();
        for advice in dns::records(&self.config, &known) {
            by_name.entry((advice.name.clone(), advice.kind)).or_default().push(advice);
        }
        // The machine first: what is not found says why the rest is not.
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        for ((name, kind), wanted) in by_name {
            let is_address = matches!(kind, "A" | "AAAA");
            let list = if is_address { &mut first } else { &mut rest };
            list.push((name, kind, wanted));
        }
        if !first.is_empty() {
            tell(self.address().await);
        }
        for (name, kind, wanted) in rest {
            let name = name.trim_end_matches('.');
            let found = self.resolver.shown(name, kind).await;
            if let Some(finding) = compare(name, kind, &wanted, found) {
                tell(finding);
            }
        }
    }

    /// The one thing that DNS must know.
    async fn address(&self) -> Finding {
        const TOPIC: &str = "address";
        let domain = self.config.domain.ascii_domain();
        let targets = self.resolver.target(&domain, 443, true).await;
        let own = &self.config.listen.public;
        match targets {
            Ok(target) => {
                let list = target.addresses.iter().map(ToString::to_string);
                let list = list.collect::<Vec<_>>().join(", ");
                let foreign = target.addresses.iter().any(|found| !own.contains(found));
                if !own.is_empty() && foreign {
                    let what =
                        format!("{domain} is {list} in DNS, not only what `listen.public` has");
                    let todo =
                        "correct one of them; with a web site elsewhere SRV records lead here";
                    return Finding::new(Mark::Note, TOPIC, what, todo);
                }
                Finding::ok(TOPIC, format!("{domain} is {list}"))
            }
            Err(NoWay::Temporary(why)) => {
                let todo = "mend DNS on this machine, or name a server in `federation.resolver`";
                Finding::new(Mark::Unseen, TOPIC, format!("DNS does not answer: {why}"), todo)
            }
            Err(_) => {
                let what = format!("{domain} has no address in DNS, so nobody finds this machine");
                Finding::new(Mark::Wrong, TOPIC, what, "add the A or AAAA record of `calypte dns`")
            }
        }
    }

    /// Connects to our own ports, by the way that DNS shows to others.
    pub(super) async fn ports(&self, tell: &mut dyn FnMut(Finding)) {
        let listen = &self.config.listen;
        let c2s_tls = reach::direct(&listen.c2s_tls, listen);
        let s2s_tls = reach::direct(&listen.s2s_tls, listen);
        let all = [
            ("clients", "_xmpps-client", &c2s_tls, true, Service::Client, 5223),
            ("clients", "_xmpp-client", &listen.c2s, false, Service::Client, 5222),
            ("servers", "_xmpps-server", &s2s_tls, true, Service::Server, 5270),
            ("servers", "_xmpp-server", &listen.s2s, false, Service::Server, 5269),
        ];
        for (topic, service, addresses, is_direct, kind, usual) in all {
            if addresses.is_empty() {
                continue;
            }
            let (host, port) = self.way(service, addresses, usual).await;
            let target = self.resolver.target(&host, port, is_direct).await;
            let how = if is_direct { "TLS" } else { "STARTTLS" };
            let what = format!("{host} port {port} ({how})");
            tell(match target {
                Ok(target) => self.port(topic, &what, &target, kind).await,
                Err(why) => Finding::new(Mark::Unseen, topic, format!("{what}: {why}"), ""),
            });
        }
    }

    /// Returns where others go for a service: what SRV says, or what we listen on.
    async fn way(&self, service: &str, addresses: &[SocketAddr], usual: u16) -> (String, u16) {
        let domain = self.config.domain.ascii_domain();
        let found = self.resolver.shown(&format!("{service}._tcp.{domain}"), "SRV").await;
        let srv = found.ok().and_then(|(records, _)| {
            let record = records.into_iter().next()?;
            let mut words = record.split_whitespace().skip(2);
            let port = words.next()?.parse().ok()?;
            let host = words.next()?.trim_end_matches('.').to_owned();
            (!host.is_empty()).then_some((host, port))
        });
        let port = addresses.first().map_or(usual, SocketAddr::port);
        srv.unwrap_or_else(|| (domain.into_owned(), port))
    }

    async fn port(
        &self,
        topic: &'static str,
        what: &str,
        target: &Target,
        service: Service,
    ) -> Finding {
        let Some(served) = &self.served else {
            return Finding::new(Mark::Unseen, topic, format!("{what}: no certificate"), "");
        };
        let domain = self.config.domain.ascii_domain();
        let seen = look::chain(target, &domain, service, &served.peers, CONNECT_WITHIN).await;
        match seen {
            Ok(seen) if seen.chain.first() == served.certified.cert.first() => {
                Finding::ok(topic, format!("{what} shows our certificate, {}", seen.version))
            }
            Ok(_) => {
                let what = format!("{what} shows another certificate than ours");
                let todo = "somebody else answers there: is DNS right, is a proxy in front, does \
                            the server serve an older file?";
                Finding::new(Mark::Wrong, topic, what, todo)
            }
            Err(why) => {
                let todo = "is the server running, and do firewall and router let it through?";
                Finding::new(Mark::Wrong, topic, format!("{what}: {why}"), todo)
            }
        }
    }

    /// What the configuration permits, and whether keys in DNS count.
    pub(super) async fn federation(&self) -> Vec<Finding> {
        const TOPIC: &str = "federation";
        let federation = &self.config.federation;
        let mut found = Vec::new();
        let listen = &self.config.listen;
        let has_port = [&listen.s2s, &listen.s2s_tls, &listen.alpn].iter().any(|p| !p.is_empty());
        found.push(match federation.with {
            With::Nobody => {
                let what = "this server talks to no other (`federation.with` is \"nobody\")";
                return vec![Finding::ok(TOPIC, what)];
            }
            _ if !has_port => {
                let what = "no port for servers is open, so none can answer";
                let todo = "set `listen.s2s`, or `federation.with = \"nobody\"`";
                Finding::new(Mark::Wrong, TOPIC, what, todo)
            }
            With::Listed => {
                let count = crate::text::count(federation.allow.len(), "domain");
                Finding::ok(TOPIC, format!("only with the {count} in `federation.allow`"))
            }
            With::Everyone => {
                let count = federation.block.len();
                let but = if count == 0 { String::new() } else { format!(" but {count} blocked") };
                Finding::ok(TOPIC, format!("with every domain{but}"))
            }
        });
        match self.resolver.dnssec().await {
            Dnssec::Off => {}
            Dnssec::Works => found.push(Finding::ok("dnssec", "keys of others in DNS count")),
            Dnssec::Fails(why) => {
                let what = format!("keys of others in DNS do not count: {why}");
                let todo = "name a DNS server that checks signatures in `federation.resolver`";
                found.push(Finding::new(Mark::Note, "dnssec", what, todo));
            }
        }
        found
    }
}

/// Compares what DNS has at a name with what is wanted there.
fn compare(
    name: &str,
    kind: &'static str,
    wanted: &[Advice],
    found: Result<(Vec<String>, bool), NoWay>,
) -> Option<Finding> {
    let has = |list: &[String], advice: &Advice| {
        list.iter().any(|found| found.eq_ignore_ascii_case(&advice.value))
    };
    let grade = wanted.iter().map(|one| one.grade).min()?;
    match found {
        Err(NoWay::Temporary(why)) => {
            let what = format!("{kind} of {name}: {why}");
            Some(Finding::new(Mark::Unseen, "dns", what, ""))
        }
        Ok((list, _)) if kind == "CAA" => {
            let what = format!("only {} may issue certificates", list.join(", "));
            Some(Finding::ok("dns", what))
        }
        Ok((list, is_secure)) if kind == "TLSA" => {
            let what = match (wanted.iter().any(|one| has(&list, one)), is_secure) {
                (true, true) => return Some(Finding::ok("dns", format!("{name} has our key"))),
                (true, false) => return None,
                (false, _) => format!("{name} has another key (TLSA) than the one that is served"),
            };
            let todo = "servers that look at it refuse to connect; publish that of `calypte dns`";
            Some(Finding::new(Mark::Wrong, "dns", what, todo))
        }
        Ok((list, _)) => {
            let list_told = list.join(" and ");
            if wanted.iter().all(|one| has(&list, one)) {
                return Some(Finding::ok("dns", format!("{name} leads to {list_told}")));
            }
            let lead = wanted.first().map_or("", |one| one.value.as_str());
            // Other weights and another host are a matter of taste; another port is not.
            let port = |value: &str| value.split_whitespace().nth(2).map(str::to_owned);
            if wanted.iter().all(|one| list.iter().any(|found| port(found) == port(&one.value))) {
                return Some(Finding::ok("dns", format!("{name} leads to {list_told}")));
            }
            let what = format!("{name} leads to {list_told}, and the server is at {lead}");
            Some(Finding::new(Mark::Wrong, "dns", what, "correct the record, or the port"))
        }
        Err(_) if grade == Grade::Optional || kind == "TXT" => None,
        Err(_) => {
            let why = wanted.first().map_or("", |one| one.why.as_str());
            let mark = if grade == Grade::Needed { Mark::Wrong } else { Mark::Note };
            let what = format!("{name} has no {kind} record: with it {why}");
            Some(Finding::new(mark, "dns", what, "`calypte dns` prints it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(value: &str) -> Advice {
        Advice {
            name: "_xmpp-server._tcp.chat.example.".to_owned(),
            ttl: 3600,
            kind: "SRV",
            value: value.to_owned(),
            grade: Grade::Better,
            why: "servers find the port".to_owned(),
            ready: true,
        }
    }

    #[track_caller]
    fn says(found: Result<&[&str], NoWay>, mark: Mark, text: &str) {
        let found = found.map(|list| (list.iter().map(|one| (*one).to_owned()).collect(), false));
        let wanted = [srv("10 5 5269 chat.example.")];
        let finding = compare("_xmpp-server._tcp.chat.example", "SRV", &wanted, found).unwrap();
        assert_eq!(finding.mark, mark, "{finding:?}");
        assert!(finding.line().contains(text), "{finding:?}");
    }

    #[test]
    fn dns_is_compared_with_what_is_wanted() {
        says(Ok(&["10 5 5269 chat.example."]), Mark::Ok, "leads to 10 5 5269");
        says(Ok(&["0 0 5269 xmpp.example."]), Mark::Ok, "leads to");
        says(Ok(&["10 5 5299 chat.example."]), Mark::Wrong, "the server is at 10 5 5269");
        says(Err(NoWay::NoService), Mark::Note, "with it servers find the port");
        says(Err(NoWay::Temporary("no answer".to_owned())), Mark::Unseen, "no answer");
    }
}
