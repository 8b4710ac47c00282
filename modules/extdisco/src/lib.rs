//! Services outside of XMPP, above all relays for calls, with credentials for a time (XEP-0215).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use calypte::crypto::{Hash, hmac};
use calypte::prelude::*;
use xep::delay::date_time;

mod settings;

pub use settings::{Config, Hidden, Service};

/// Tells users about services.
#[derive(Debug)]
pub struct Extdisco(Config);

calypte::export!(Extdisco);

impl Module for Extdisco {
    const NAME: &'static str = "extdisco";
    const ABOUT: &'static str =
        "Tells users which relays their calls can use, with passwords for a time.";
    const XEPS: &'static [Xep] = &[Xep("0215", "1.0.0")];
    const FEATURES: &'static [Feature] = &[Feature::Domain(ns::EXTDISCO)];
    const KEYS: &'static [ConfigKey] = settings::KEYS;
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::iq_get(On::Domain, ns::EXTDISCO, "services", Self::services),
        Hook::iq_get(On::Domain, ns::EXTDISCO, "credentials", Self::credentials),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        config.complete().map(Self)
    }
}

impl Extdisco {
    /// Lists all services, or those of a type (§3.1, §3.2).
    fn services(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let user = user(request, cx)?;
        let wanted = request.query()?.attr("type");
        let mut answer = Element::new(ns::EXTDISCO, "services");
        if let Some(kind) = &wanted {
            answer.push_attr("type", kind);
        }
        for service in &self.0.services {
            if wanted.as_deref().is_none_or(|kind| kind == service.kind) {
                answer.push_child(self.show(service, user, cx.now_ms()));
            }
        }
        Ok(Reply::With(answer))
    }

    /// Makes credentials for services that the client knows already (§3.3).
    fn credentials(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let user = user(request, cx)?;
        let wanted = request.query()?.child(ns::EXTDISCO, "service");
        let wanted = wanted.ok_or(StanzaError::BAD_REQUEST)?;
        let (Some(host), Some(kind)) = (wanted.attr("host"), wanted.attr("type")) else {
            return Err(StanzaError::BAD_REQUEST);
        };
        let port = wanted.attr("port").map(|port| port.parse()).transpose();
        let port: Option<u16> = port.map_err(|_| StanzaError::BAD_REQUEST)?;
        let mut answer = Element::new(ns::EXTDISCO, "credentials");
        for service in self.0.services.iter().filter(|service| service.is_restricted()) {
            let is_it = service.host.eq_ignore_ascii_case(&host)
                && service.kind == *kind
                && (port.is_none() || service.port == port);
            if is_it {
                answer.push_child(self.show(service, user, cx.now_ms()));
            }
        }
        if answer.children().next().is_none() {
            return Err(StanzaError::ITEM_NOT_FOUND);
        }
        Ok(Reply::With(answer))
    }

    fn show(&self, service: &Service, user: &str, now_ms: u64) -> Element {
        let mut shown = Element::new(ns::EXTDISCO, "service")
            .with_attr("type", &service.kind)
            .with_attr("host", &service.host);
        let port = service.port.map(|port| port.to_string());
        let texts = [("port", &port), ("transport", &service.transport), ("name", &service.name)];
        for (name, text) in texts {
            if let Some(text) = text {
                shown.push_attr(name, text);
            }
        }
        if service.is_restricted() {
            shown.push_attr("restricted", "true");
        }
        if let Some(Hidden(secret)) = &service.secret {
            // A time of whole seconds, as it stands in the name.
            let until = now_ms.saturating_add(self.0.ttl.ms) / 1000;
            let (name, password) = for_a_time(secret, service.username.as_deref(), user, until);
            shown.push_attr("username", &name);
            shown.push_attr("password", &password);
            shown.push_attr("expires", &date_time(until.saturating_mul(1000)));
        } else if let (Some(name), Some(Hidden(password))) = (&service.username, &service.password)
        {
            shown.push_attr("username", name);
            shown.push_attr("password", password);
        }
        shown
    }
}

/// Makes a name and a password that the service can check by itself (the REST scheme of TURN
/// servers): the name says until when, in seconds since 1970, and for whom.
///
/// For whom is a word that stays the same for an account and does not show it: the service can count
/// what somebody uses, and cannot tell who that is.
fn for_a_time(secret: &str, shared: Option<&str>, user: &str, until: u64) -> (String, String) {
    let who = match shared {
        Some(name) => name.to_owned(),
        None => {
            let mark = hmac(Hash::Sha256, secret.as_bytes(), format!("user {user}").as_bytes());
            mark.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
        }
    };
    let name = format!("{until}:{who}");
    let password = STANDARD.encode(hmac(Hash::Sha1, secret.as_bytes(), name.as_bytes()));
    (name, password)
}

/// Returns the account that asks. Others use up what our users need: strangers are refused.
fn user<'a>(request: &Request<'a>, cx: &Context<'_, '_>) -> Result<&'a str, StanzaError> {
    let from = request.from.filter(|from| from.local().is_some() && from.domain() == cx.domain());
    from.map(JidRef::bare_str).ok_or(StanzaError::FORBIDDEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by hand: `printf '1700000000:ana' | openssl dgst -sha1 -hmac secret -binary | base64`
    #[test]
    fn passwords_are_what_turn_servers_make() {
        let (name, password) = for_a_time("secret", Some("ana"), "ana@a.example", 1_700_000_000);
        assert_eq!(name, "1700000000:ana");
        assert_eq!(password, "vJ8D7IQfxkVpn2mA2wCryzH/VQE=");
    }

    #[test]
    fn a_name_shows_no_account() {
        let name = |secret, user| for_a_time(secret, None, user, 1).0;
        assert_eq!(name("a", "ana@a.example"), name("a", "ana@a.example"));
        assert_ne!(name("a", "ana@a.example"), name("a", "ben@a.example"));
        assert_ne!(name("a", "ana@a.example"), name("b", "ana@a.example"));
        assert!(!name("a", "ana@a.example").contains("ana"));
    }
}
