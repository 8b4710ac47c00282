//! Subscriptions: who may see whose presence (RFC 6121 §3).

use calypte::prelude::*;
use calypte::tables::{Contact, ROSTER};

use calypte::notice::{CircleChange, Circled, Introduced};

use crate::Roster;
use crate::keep::{State, interested, keep};
use crate::states::{Inbound, Step};

/// A request that is longer is kept without what the stranger wrote into it.
const REQUEST_BYTES_MAX: usize = 4096;

impl Roster {
    /// A client of the owner sends a stanza about a subscription.
    pub(crate) fn outbound(
        &self,
        presence: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        let (Some(step), Some(to)) = (Step::of(presence.presence_kind()), presence.to) else {
            return Ok(Flow::Pass);
        };
        let contact = to.bare_str();
        if contact == cx.owner().as_str() {
            return Err(StanzaError::NOT_ALLOWED.with_text("you see your own presence anyway"));
        }
        let before = cx.get(&ROSTER, contact)?.unwrap_or_default();
        let mut after = before.clone();
        let is_sent = step.out(&mut after);
        if before.from && !after.from {
            // §3.2.2. While the contact still expects to hear of it.
            vanish(cx, contact)?;
        }
        keep(cx, &self.0, contact, &before, &after)?;
        if !is_sent {
            return Ok(Flow::Handled);
        }
        // §3.1.2. Subscriptions are between bare addresses.
        presence.set_from(cx.owner_jid());
        presence.set_to(to.bare().to_jid());
        Ok(Flow::Pass)
    }

    /// A contact or a stranger sent a stanza about a subscription.
    pub(crate) fn inbound(
        &self,
        presence: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        if presence.is_error() {
            return failed(presence, cx);
        }
        let (Some(step), Some(from)) = (Step::of(presence.presence_kind()), presence.from) else {
            return Ok(Flow::Pass);
        };
        if !is_account(cx) {
            return Ok(Flow::Pass);
        }
        let contact = from.bare_str();
        let before = cx.get(&ROSTER, contact)?.unwrap_or_default();
        let mut after = before.clone();
        let owner = cx.owner().as_str().to_owned();
        let became = step.come(&mut after, || request(presence, contact, &owner));
        let is_new_stranger =
            !after.listed && after.pending_in.is_some() && before.pending_in.is_none();
        if is_new_stranger && State::load(cx)?.strangers >= self.0.requests {
            // Whoever asks must not learn that it was in vain.
            cx.count("requests_dropped", 1)?;
            return Ok(Flow::Handled);
        }
        match became {
            Inbound::Deliver => hand_on(step, presence, contact, cx)?,
            Inbound::Approve => {
                let answer = Element::new(ns::CLIENT, "presence")
                    .with_attr("to", contact)
                    .with_attr("type", "subscribed");
                cx.send(&answer)?;
            }
            Inbound::Ignore => {}
        }
        keep(cx, &self.0, contact, &before, &after)?;
        if before.from && !after.from {
            // §3.3.3.
            vanish(cx, contact)?;
        }
        Ok(Flow::Handled)
    }
}

impl Roster {
    /// The account is about to be removed: its contacts hear that nobody sees anybody any more.
    pub(crate) fn account_ends(&self, _: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        for (contact, state) in cx.all(&ROSTER, u32::MAX)? {
            end_all(cx, &contact, &state)?;
            // So that what they answer, and the end of the sessions, reach nobody anew.
            cx.delete(&ROSTER, &*contact)?;
        }
        Ok(())
    }
}

impl Roster {
    /// Somebody becomes a contact by an invitation: nobody has to be asked.
    pub(crate) fn introduced(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let Introduced { contact, is_mutual } = notified.read()?;
        if contact == cx.owner().as_str() {
            return Ok(());
        }
        let before = cx.get(&ROSTER, &*contact)?.unwrap_or_default();
        let mut after = Contact {
            from: true,
            pending_in: None,
            approved: false,
            listed: true,
            ..before.clone()
        };
        if is_mutual {
            (after.to, after.asked) = (true, false);
        } else {
            after.asked = !after.to;
            let send = |cx: &mut Context<'_, '_>, kind: &str| {
                let presence = Element::new(ns::CLIENT, "presence").with_attr("type", kind);
                cx.send(&presence.with_attr("to", &contact))
            };
            send(cx, "subscribed")?;
            if after.asked {
                send(cx, "subscribe")?;
            }
        }
        keep(cx, &self.0, &contact, &before, &after)
    }

    /// Somebody becomes a contact by a circle, or is none by it any more.
    pub(crate) fn circled(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let Circled { contact, group, change } = notified.read()?;
        let before = cx.get(&ROSTER, &*contact)?.unwrap_or_default();
        let mut after = before.clone();
        after.groups.retain(|one| *one != group);
        match change {
            CircleChange::In => {
                after.groups.push(group);
                let pending_in = None;
                let (from, to, asked, approved, listed) = (true, true, false, false, true);
                after = Contact { from, to, asked, pending_in, approved, listed, ..after };
            }
            CircleChange::Out => {}
            // What was ended meanwhile stays so.
            CircleChange::AsBefore { from, to } => {
                (after.from, after.to) = (before.from && from, before.to && to);
            }
            CircleChange::Gone => after = Contact::default(),
        }
        if before.from && !after.from {
            // While the contact still expects to hear of it.
            vanish(cx, &contact)?;
        }
        keep(cx, &self.0, &contact, &before, &after)
    }
}

/// Tells whether the owner is an account, and not a room or the domain itself.
fn is_account(cx: &Context<'_, '_>) -> bool {
    let owner = cx.owner();
    owner.local().is_some() && owner.domain() == cx.domain()
}

/// Tells the user's clients that a request of theirs could not be delivered (§3.1.2).
fn failed(presence: &Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
    let (Some(from), Some(to)) = (presence.from, presence.to) else { return Ok(Flow::Pass) };
    // What is sent again at each login has no id, and its failure is no news.
    if !to.is_bare() || presence.id.is_none() || !is_account(cx) {
        return Ok(Flow::Pass);
    }
    if !cx.get(&ROSTER, from.bare_str())?.is_some_and(|contact| contact.asked) {
        return Ok(Flow::Pass);
    }
    let text = presence.readdressed(from.as_str(), to.as_str());
    for resource in interested(cx)? {
        cx.deliver_xml(&resource, &text)?;
    }
    Ok(Flow::Handled)
}

/// Returns what is kept of a request, to be shown at each login until it is answered.
fn request(presence: &Passing<'_>, from: &str, to: &str) -> String {
    let text = presence.readdressed(from, to);
    if text.len() <= REQUEST_BYTES_MAX {
        return text;
    }
    Element::new(ns::CLIENT, "presence")
        .with_attr("from", from)
        .with_attr("to", to)
        .with_attr("type", "subscribe")
        .to_xml(ns::CLIENT)
}

/// Hands a stanza on: a request to who is there to answer it, the rest to whoever keeps a roster.
fn hand_on(step: Step, presence: &Passing<'_>, contact: &str, cx: &mut Context<'_, '_>) -> Done {
    let resources = if step == Step::Subscribe {
        let mut sessions = cx.sessions()?;
        sessions.retain(|session| session.available);
        sessions.into_iter().map(|session| session.resource).collect()
    } else {
        interested(cx)?
    };
    let text = presence.readdressed(contact, cx.owner().as_str());
    for resource in resources {
        cx.deliver_xml(&resource, &text)?;
    }
    Ok(())
}

/// Ends what is between the owner and a contact that is removed (§2.5.2).
pub(crate) fn end_all(cx: &mut Context<'_, '_>, contact: &str, before: &Contact) -> Done {
    if cx.without_blocked(vec![contact])?.is_empty() {
        // Nothing leaves for it (XEP-0191 §3.3). It hears of the end when it asks and is heard again.
        return Ok(());
    }
    let send = |cx: &mut Context<'_, '_>, kind: &str| {
        let presence = Element::new(ns::CLIENT, "presence").with_attr("type", kind);
        cx.send(&presence.with_attr("to", contact))
    };
    if before.to || before.asked {
        send(cx, "unsubscribe")?;
    }
    if before.from {
        vanish(cx, contact)?;
    }
    if before.from || before.pending_in.is_some() {
        send(cx, "unsubscribed")?;
    }
    Ok(())
}

/// Shows each available session as gone to who is not to see it any more.
fn vanish(cx: &mut Context<'_, '_>, contact: &str) -> Done {
    for session in cx.sessions()?.into_iter().filter(|session| session.available) {
        let from = cx.owner_jid().with_resource(&session.resource);
        let from = from.map_err(|_| StanzaError::INTERNAL)?;
        let presence = Element::new(ns::CLIENT, "presence")
            .with_attr("from", from.as_str())
            .with_attr("to", contact)
            .with_attr("type", "unavailable");
        cx.send(&presence)?;
    }
    Ok(())
}
