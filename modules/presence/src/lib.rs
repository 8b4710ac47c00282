//! Who is online, told to those who may know (RFC 6121 §4).

mod directed;
mod shown;

use calypte::notice::{Notice, PresenceMissed, RosterChanged};
use calypte::prelude::*;

/// Tells contacts, and nobody else, when somebody comes, changes and goes.
#[derive(Debug)]
pub struct Presence;

calypte::export!(Presence);

impl Module for Presence {
    const NAME: &'static str = "presence";
    const ABOUT: &'static str = "Who is online, told to those who may know.";
    const HOOKS: &'static [Hook<Self>] = &[
        // The engine notes the presence of the session in front of `Copy`.
        Hook::presence(Place::Sent, Phase::Copy, Self::sent),
        // Probes are for the account, so no session gets them and `Rewrite` is the last phase.
        Hook::presence(Place::Received, Phase::Rewrite, Self::answer_probe),
        Hook::notice(RosterChanged::NAME, Self::subscription_changed),
        Hook::notice(PresenceMissed::NAME, Self::missed),
        Hook::resumed(Self::resumed),
        Hook::closed(Self::closed),
    ];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl Presence {
    /// A client shows itself or leaves: to everyone, or to one address.
    fn sent(&self, presence: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        match (presence.presence_kind(), presence.to) {
            (Some(PresenceKind::Available), None) => shown::show(presence, cx)?,
            (Some(PresenceKind::Unavailable), None) => shown::leave(presence, cx)?,
            (Some(PresenceKind::Available), Some(to)) => directed::remember(to, cx)?,
            (Some(PresenceKind::Unavailable), Some(to)) => directed::forget(to, cx)?,
            _ => {}
        }
        Ok(Flow::Pass)
    }

    /// Tells somebody who is subscribed what the owner shows (§4.3.2).
    fn answer_probe(&self, probe: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let (Some(PresenceKind::Probe), Some(from)) = (probe.presence_kind(), probe.from) else {
            return Ok(Flow::Pass);
        };
        let owner = cx.owner();
        if owner.local().is_none() || owner.domain() != cx.domain() {
            return Ok(Flow::Pass);
        }
        let contact = cx.get(&tables::ROSTER, from.bare_str())?;
        if !cx.is_own(Some(from)) && !contact.is_some_and(|contact| contact.from) {
            // What an address that is no account answers, too.
            let no = Element::new(ns::CLIENT, "presence").with_attr("type", "unsubscribed");
            cx.send(&no.with_attr("to", from.bare_str()))?;
            return Ok(Flow::Handled);
        }
        let wanted = probe.to.and_then(JidRef::resource);
        let mut is_here = false;
        for session in cx.sessions()? {
            let Some(presence) = session.presence.filter(|_| session.available) else { continue };
            if wanted.is_none_or(|wanted| wanted == session.resource) {
                is_here = true;
                cx.send_each(&presence, &[from.as_str()])?;
            }
        }
        if !is_here {
            let away = Element::new(ns::CLIENT, "presence").with_attr("type", "unavailable");
            let of = probe.to.map_or_else(|| cx.owner().as_str().to_owned(), |to| to.to_string());
            cx.send(&away.with_attr("from", &of).with_attr("to", from.as_str()))?;
        }
        Ok(Flow::Handled)
    }

    /// Shows the owner to a contact that was allowed to see it (§3.1.5).
    ///
    /// When that ends, module `roster` says so itself: that has to be in front of its own stanza.
    fn subscription_changed(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let change: RosterChanged = notified.read()?;
        if change.from != (false, true) {
            return Ok(());
        }
        for session in cx.sessions()? {
            if let Some(presence) = session.presence.filter(|_| session.available) {
                cx.send_each(&presence, &[&change.contact])?;
            }
        }
        Ok(())
    }

    /// A client came back. After a restart nobody knows who left meanwhile.
    fn resumed(&self, cx: &mut Context<'_, '_>) -> Done {
        shown::refresh_after_restart(cx)
    }

    /// A client that did not read had no room for what others showed.
    fn missed(&self, _: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        shown::refresh(cx)
    }

    /// A client is gone without saying so.
    fn closed(&self, cx: &mut Context<'_, '_>) -> Done {
        shown::vanish(cx)
    }
}
