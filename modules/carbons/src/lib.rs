//! Each device of an account sees both sides of its conversations (XEP-0280).
//!
//! A session asks for copies. It is handed one of each message of a conversation that the account
//! sends or receives and that the session has nothing of otherwise. Copies are made here and go
//! straight to the session, so what arrives and looks like one is forged, and is removed.

mod copy;
mod rules;

use calypte::prelude::*;

/// Each device of an account sees both sides of its conversations.
#[derive(Debug)]
pub struct Carbons;

calypte::export!(Carbons);

impl Module for Carbons {
    const NAME: &'static str = "carbons";
    const ABOUT: &'static str = "Each device of an account sees both sides of its conversations.";
    const XEPS: &'static [Xep] =
        &[Xep("0280", "1.0.1"), Xep("0297", "1.0"), Xep("0386", "1.1.0"), Xep("0334", "1.0.0")];
    const FEATURES: &'static [Feature] =
        &[Feature::Domain(ns::CARBONS), Feature::Domain(ns::CARBONS_RULES)];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::iq_set(On::AccountFromAnyone, ns::CARBONS, "enable", Self::enable),
        Hook::iq_set(On::AccountFromAnyone, ns::CARBONS, "disable", Self::disable),
        Hook::bound(Some(ns::CARBONS), Self::bound),
        Hook::payload(Place::Sent, Phase::Rewrite, ns::CARBONS, "sent", Self::forged),
        Hook::payload(Place::Sent, Phase::Rewrite, ns::CARBONS, "received", Self::forged),
        Hook::payload(Place::Received, Phase::Rewrite, ns::CARBONS, "sent", Self::forged),
        Hook::payload(Place::Received, Phase::Rewrite, ns::CARBONS, "received", Self::forged),
        Hook::message(Place::Sent, Phase::Copy, Self::sent),
        Hook::message(Place::Received, Phase::Copy, Self::received),
        Hook::closed(Self::closed),
    ];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl Carbons {
    fn enable(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        set(request, true, cx)
    }

    fn disable(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        set(request, false, cx)
    }

    /// A client asks for copies while it logs in (XEP-0386 §3.2): no answer is needed.
    fn bound(
        &self,
        bind: &Bind<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Option<Element>, StanzaError> {
        if bind.asks(ns::CARBONS, "enable").is_some() {
            cx.set_value(copy::WANTED, &[1])?;
        }
        Ok(None)
    }

    /// No copy of ours comes this way.
    fn forged(&self, stanza: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        stanza.remove(ns::CARBONS, "sent");
        stanza.remove(ns::CARBONS, "received");
        cx.count("forged", 1)?;
        Ok(Flow::Pass)
    }

    /// A client of the account sent a message: its other devices see it (§8).
    fn sent(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        // To the account itself: it is received in a moment, by all.
        if !cx.is_own(message.to) {
            copy::to_others(message, copy::Way::Sent, cx)?;
        }
        Ok(Flow::Pass)
    }

    /// The account received a message: the devices that it does not go to see it (§7).
    fn received(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        copy::to_others(message, copy::Way::Received, cx)?;
        Ok(Flow::Pass)
    }

    fn closed(&self, cx: &mut Context<'_, '_>) -> Done {
        copy::forget(cx)
    }
}

/// Begins or ends to give copies to the session that asks (§4, §5, §10.1). Others get what an address
/// without an account answers; `not-allowed`, as the XEP has it, would tell them apart.
fn set(request: &Request<'_>, wanted: bool, cx: &mut Context<'_, '_>) -> IqResult {
    if !cx.is_own(request.from) {
        return Err(StanzaError::SERVICE_UNAVAILABLE);
    }
    cx.set_value(copy::WANTED, if wanted { &[1] } else { &[] })?;
    Ok(Reply::Empty)
}
