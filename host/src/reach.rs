//! Where others reach the ports that the server listens on.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::config::Config;
use crate::config::origin::Origin;
use crate::config::settings::Listen;

/// Returns each port of `listen` with the addresses by which others reach it. An address that stands
/// for all of the machine is replaced by those of `public`; without them it is nothing.
pub(crate) fn ports(listen: &[SocketAddr], public: &[IpAddr]) -> BTreeMap<u16, Vec<IpAddr>> {
    let mut ports: BTreeMap<u16, Vec<IpAddr>> = BTreeMap::new();
    for address in listen {
        let ips = ports.entry(address.port()).or_default();
        let own = [address.ip()];
        let candidates = if address.ip().is_unspecified() { public } else { &own };
        for ip in candidates.iter().filter(|ip| ip.is_ipv4() == address.is_ipv4()) {
            if !ips.contains(ip) {
                ips.push(*ip);
            }
        }
    }
    ports
}

/// Returns where clients, or servers, begin with TLS: ports of their own, and those for all.
pub(crate) fn direct(own: &[SocketAddr], listen: &Listen) -> Vec<SocketAddr> {
    own.iter().chain(&listen.alpn).copied().collect()
}

/// Returns how the world reaches what is published by HTTPS. `None`: it does not, or nobody said how.
pub(crate) fn web_url(config: &Config) -> Option<Origin> {
    let listen = &config.listen;
    let mut https = listen.https.iter().chain(&listen.alpn);
    let is_open = https.clone().next().is_some() || !listen.web.is_empty();
    config.web.url.clone().filter(|_| is_open).or_else(|| {
        let port = https.next()?.port();
        let host = config.domain.ascii_domain().into_owned();
        Some(Origin { scheme: "https", host, port: Some(port).filter(|port| *port != 443) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_machine_is_what_the_operator_says() {
        let listen: Vec<SocketAddr> = ["0.0.0.0:1", "[::]:1", "192.0.2.9:2"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let public: Vec<IpAddr> =
            ["192.0.2.1", "2001:db8::1"].iter().map(|text| text.parse().unwrap()).collect();
        let of = |public: &[IpAddr], port| ports(&listen, public).remove(&port);
        assert_eq!(of(&public, 1), Some(public.clone()));
        assert_eq!(of(&[], 1), Some(Vec::new()));
        assert_eq!(of(&public, 2), Some(vec!["192.0.2.9".parse().unwrap()]));
        assert_eq!(of(&public, 3), None);
    }
}
