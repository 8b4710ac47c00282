//! The contact list and its subscriptions (RFC 6121 §2 and §3).

mod item;
mod keep;
mod requests;
mod settings;
mod states;
mod subscriptions;

use calypte::notice::{AccountEnds, Circled, Introduced, Notice as _, RosterChanged};
use calypte::prelude::*;

pub use settings::Config;

/// The contact list of each account, and who may see whose presence.
#[derive(Debug)]
pub struct Roster(Config);

calypte::export!(Roster);

impl Module for Roster {
    const NAME: &'static str = "roster";
    const ABOUT: &'static str = "The contact list and its subscriptions.";
    const XEPS: &'static [Xep] = &[Xep("0237", "1.3")];
    const FEATURES: &'static [Feature] = &[Feature::Domain(ns::ROSTER)];
    const KEYS: &'static [ConfigKey] = settings::KEYS;
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::stream_feature(Self::offer_versions),
        Hook::stream_feature(Self::offer_pre_approval),
        Hook::iq_get(On::Account, ns::ROSTER, "query", Self::show),
        Hook::iq_set(On::Account, ns::ROSTER, "query", Self::change),
        Hook::payload(Place::Received, Phase::Admit, ns::ROSTER, "query", Self::refuse_foreign),
        // After all of `Admit` and `Rewrite`: what is refused there must change no state.
        Hook::presence(Place::Sent, Phase::Record, Self::outbound),
        // The phases behind `Rewrite` run only for what sessions are going to get, and these are
        // for the account.
        Hook::presence(Place::Received, Phase::Rewrite, Self::inbound),
        Hook::notice(AccountEnds::NAME, Self::account_ends),
        Hook::notice(Introduced::NAME, Self::introduced),
        Hook::notice(Circled::NAME, Self::circled),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        config.check()?;
        Ok(Self(config))
    }
}

impl Roster {
    fn offer_versions(&self, _: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
        Ok(Some(Element::new(ns::ROSTER_VERSIONING, "ver")))
    }

    fn offer_pre_approval(&self, _: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
        Ok(Some(Element::new(ns::PRE_APPROVAL, "sub")))
    }

    /// Keeps requests and pushes that others made up away from clients (§2.1.6).
    ///
    /// Real pushes do not come this way, and the account's own requests go to its bare address.
    fn refuse_foreign(&self, stanza: &mut Passing<'_>, _: &mut Context<'_, '_>) -> HookResult {
        let is_request =
            stanza.kind == Kind::Iq && matches!(stanza.iq_kind(), Some(IqKind::Get | IqKind::Set));
        if is_request && stanza.to.is_some_and(|to| !to.is_bare()) {
            // As if there were no such session.
            return Err(StanzaError::SERVICE_UNAVAILABLE);
        }
        Ok(Flow::Pass)
    }
}

/// Tells other modules when somebody begins or ceases to see somebody.
fn tell(
    cx: &mut Context<'_, '_>,
    contact: &str,
    before: &tables::Contact,
    after: &tables::Contact,
) -> Done {
    if (before.from, before.to) == (after.from, after.to) {
        return Ok(());
    }
    cx.tell(&RosterChanged {
        contact: contact.to_owned(),
        from: (before.from, after.from),
        to: (before.to, after.to),
    })
}
