//! The server behind one port of a domain.

use super::{NoWay, Offer, Resolver, Srv, Target, WITHIN, Way, within};
use crate::federation::look::Service;
use crate::federation::names;

impl Resolver {
    /// Returns the server of `domain` that listens on `port`, for clients or for servers: the one
    /// of an SRV record with this port, or else the domain itself.
    ///
    /// # Errors
    ///
    /// See [`NoWay`].
    pub(crate) async fn at_port(
        &self,
        domain: &str,
        port: u16,
    ) -> Result<(Target, Service), NoWay> {
        const SERVICES: [(&str, Service, bool); 4] = [
            ("_xmpp-client", Service::Client, false),
            ("_xmpps-client", Service::Client, true),
            ("_xmpp-server", Service::Server, false),
            ("_xmpps-server", Service::Server, true),
        ];
        let domain = names::ascii(domain).ok_or(NoWay::NoSuchDomain)?;
        let find = async {
            for (name, service, is_direct) in SERVICES {
                let found = self.service(&format!("{name}._tcp.{domain}"), is_direct).await;
                let Ok(Srv::Offers(offers)) = found else { continue };
                let mut offers = offers.into_iter().map(|offer| offer.offer);
                if let Some(offer) = offers.find(|offer| offer.port == port) {
                    return Ok((self.visit(offer, Way::Srv).await?, service));
                }
            }
            let service =
                if matches!(port, 5269 | 5270) { Service::Server } else { Service::Client };
            let is_direct = !matches!(port, 5222 | 5269);
            let own = Offer { host: domain.clone(), port, is_direct };
            Ok((self.visit(own, Way::Domain).await?, service))
        };
        within(WITHIN, find).await
    }
}
