//! Another domain, stage by stage, without a running server: as far as one comes without speaking
//! for a domain.

use super::{CONNECT_WITHIN, Doctor, Finding, Mark};
use crate::clock;
use crate::federation::identity::{self, Identity, Reference, Side};
use crate::federation::look::{self, Service};
use crate::federation::resolve::{NoWay, Target};

/// How many servers of a domain are tried.
const TARGETS_MAX: usize = 4;

impl Doctor {
    /// Policy, DNS, and each server until one is fine.
    pub(super) async fn follow(&self, domain: &str, tell: &mut dyn FnMut(Finding)) {
        if !self.config.federation.permits(domain) {
            let what = format!("the configuration does not let us talk with {domain}");
            let todo = "see `federation.with`, `allow` and `block`, or `calypte peer allow`";
            return tell(Finding::new(Mark::Wrong, "policy", what, todo));
        }
        let targets = match self.resolver.targets(domain).await {
            Ok(targets) => targets,
            Err(why) => return tell(nowhere(domain, &why)),
        };
        for target in &targets {
            let how = if target.is_direct { "TLS" } else { "STARTTLS" };
            let keys = if target.tlsa.is_empty() { "" } else { ", its keys are in DNS" };
            let list = target.addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
            let Target { host, port, .. } = target;
            let what = format!("{host} port {port} ({how}), {}{keys}", list.join(", "));
            tell(Finding::ok("dns", what));
        }
        for target in targets.iter().take(TARGETS_MAX) {
            if self.visit(domain, target, tell).await {
                let what = "how it lets us in is seen by a running server";
                let todo = "start the server and ask again";
                return tell(Finding::new(Mark::Unseen, "login", what, todo));
            }
        }
    }

    /// Tells how one server is. Returns whether it is fine.
    async fn visit(&self, domain: &str, target: &Target, tell: &mut dyn FnMut(Finding)) -> bool {
        let Some(served) = &self.served else {
            let what = "we have no certificate, and cannot connect without";
            tell(Finding::new(Mark::Unseen, "tls", what, "`calypte check` says why"));
            return false;
        };
        let Target { host, port, .. } = target;
        let seen = look::chain(target, domain, Service::Server, &served.peers, CONNECT_WITHIN);
        let seen = match seen.await {
            Ok(seen) => seen,
            Err(why) => {
                let todo = "tell its operator, unless others reach it";
                tell(Finding::new(Mark::Wrong, "connect", why, todo));
                return false;
            }
        };
        tell(Finding::ok("tls", format!("{host} port {port} speaks {}", seen.version)));
        let name = match target.srv_is_secure {
            true => Some(host.as_str()),
            false => None,
        };
        let reference = Reference {
            name: domain,
            host: name,
            side: Side::Server,
            tlsa: &target.tlsa,
            now_seconds: clock::now_seconds(),
        };
        let (finding, is_fine) = match identity::identity(&seen.chain, &reference, &self.roots) {
            Identity::Valid => (Finding::ok("certificate", "an authority vouches for it"), true),
            Identity::Dane => (Finding::ok("certificate", "its key is the one in DNS"), true),
            Identity::Refused(why) => {
                let todo = "DNS names other keys: an attack, or a renewal that forgot DNS";
                (Finding::new(Mark::Wrong, "certificate", why, todo), false)
            }
            Identity::Invalid(why) if self.config.federation.permits_dialback(domain) => {
                let todo = "it has to prove itself by dialback, as the configuration permits";
                (Finding::new(Mark::Note, "certificate", why, todo), true)
            }
            Identity::Invalid(why) => {
                let todo = "its operator has to get a valid one; until then `federation.dialback` \
                            can permit less";
                (Finding::new(Mark::Wrong, "certificate", why, todo), false)
            }
            Identity::None => {
                (Finding::new(Mark::Wrong, "certificate", "it shows none", ""), false)
            }
        };
        tell(finding);
        is_fine
    }
}

fn nowhere(domain: &str, why: &NoWay) -> Finding {
    let (mark, todo) = match why {
        NoWay::NoSuchDomain => (Mark::Wrong, "is it spelled right?"),
        NoWay::NoService => (Mark::Wrong, "there is nobody to talk to; its operator may know why"),
        NoWay::Temporary(_) => (Mark::Unseen, "try again, or mend DNS on this machine"),
    };
    Finding::new(mark, "dns", format!("{domain}: {why}"), todo)
}
