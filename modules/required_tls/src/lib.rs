//! TLS between servers that nobody can take away, and clients that go on proving their channel.
//!
//! PROTOCOL.md has the format, the attackers and the reasons; README.md is for operators.

mod alarms;
mod cache;
mod clients;
mod commands;
mod crowd;
mod date;
mod own;
mod plain;
mod policy;
mod proof;
mod report;
mod settings;
mod sources;
mod streams;
mod witness;

use calypte::prelude::*;

use own::CORE;
use proof::NS;
pub use settings::Config;

/// Demands TLS that nobody can take away, of servers that are able to prove themselves.
#[derive(Debug)]
pub struct RequiredTls(Config);

calypte::export!(RequiredTls);

impl Module for RequiredTls {
    const NAME: &'static str = "required_tls";
    const ABOUT: &'static str = "Demands TLS between servers that nobody can take away.";
    const SECURITY: bool = true;
    const FEATURES: &'static [Feature] = &[Feature::Domain(CORE), Feature::Domain(NS)];
    const KEYS: &'static [ConfigKey] = settings::KEYS;
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::peer(Self::peer),
        Hook::looked(Self::looked),
        Hook::http_public("/.well-known/calypte-policy", Self::show_policy),
        Hook::iq_get(On::Domain, NS, "perspective", Self::tell_perspective),
        Hook::iq_set(On::Domain, NS, "observe", Self::begin_to_observe),
        Hook::iq_set(On::Domain, NS, "seen", Self::take_seen),
        Hook::iq_set(On::Domain, NS, "report", Self::take_report),
        Hook::answer(Self::answered),
        Hook::wake(Self::woken),
        Hook::authenticated(Self::client),
        Hook::notice("engine.binding-hidden", Self::doubted),
        Hook::command("tls-list", "Domains with a TLS policy", Who::Admin, Self::list),
        Hook::command("tls-show", "What is known of a domain's TLS", Who::Admin, Self::show),
        Hook::command("tls-accept", "Accept a domain's key", Who::Admin, Self::accept),
        Hook::command("tls-forget", "Forget a domain's TLS policy", Who::Admin, Self::forget),
        Hook::command("tls-own", "This domain's key and policy", Who::Admin, Self::show_own),
        Hook::command("tls-rotate", "Change this domain's key", Who::Admin, Self::change_key),
        Hook::command("tls-retire", "Take this domain's policy back", Who::Admin, Self::retire_own),
        Hook::command("tls-backup", "Show the keys, to keep them", Who::Admin, Self::back_up),
        Hook::command("tls-restore", "Take keys that were kept", Who::Admin, Self::take_back),
        Hook::command("tls-report", "What failed and why", Who::Admin, Self::show_report),
        Hook::command(
            "channel-binding",
            "Log in only with apps that detect interception",
            Who::User,
            Self::bind_only,
        ),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        config.check()?;
        Ok(Self(config))
    }
}

impl RequiredTls {
    /// Serves the signed policy, in the same letters as on streams.
    fn show_policy(
        &self,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Vec<u8>, StanzaError> {
        if !matches!(asked.method, "GET" | "HEAD") {
            return Err(StanzaError::NOT_ALLOWED);
        }
        if asked.name != "/.well-known/calypte-policy" {
            return Err(StanzaError::ITEM_NOT_FOUND);
        }
        Ok(self.own(cx)?.signed.text().into_bytes())
    }

    /// A time has come: `daily`, or something about a domain.
    fn woken(&self, name: &str, cx: &mut Context<'_, '_>) -> Done {
        match name.split_once(' ') {
            None => self.daily(cx),
            Some(("refresh", domain)) => self.refresh(domain, cx),
            Some(("greet", domain)) => self.ask_to_observe(domain, cx),
            Some(("observe", domain)) => self.observe(domain, cx),
            Some(_) => Ok(()),
        }
    }

    fn daily(&self, cx: &mut Context<'_, '_>) -> Done {
        cx.wake_at(cx.now_ms().saturating_add(86_400_000), "daily")?;
        self.ask_to_be_observed(cx)?;
        self.ask_about_rivals(cx)?;
        self.send_reports(cx)
    }
}
