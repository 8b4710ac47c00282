//! Invitations that are used.

use bincode::{Decode, Encode};
use calypte::notice::{CircleWish, Introduced, Registration, RegistrationStage};
use calypte::wire::Range;
use calypte::{Stranger, prelude::*};
use tables::{ACCOUNTS, INVITATIONS, INVITED, Invitation, Invited, REGISTRATION};

use crate::made::{ENDS, Listed, OWN, end};
use crate::{Invites, NS, tokens};

/// An hour, in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// How long a stranger may take to register with a token that was good, in milliseconds.
const ACCEPTED_MS: u64 = 600_000;
/// The most strangers with such a token.
const ACCEPTED_MAX: usize = 1000;
/// When an account that was begun is there or is not coming, in milliseconds.
const BEGUN_MS: u64 = 120_000;
/// What timers of accounts that were begun start with; the invitation and the name follow.
const BEGUN: &str = "begun ";
/// The most invitations that are forgotten at a time, and when the next ones are.
const SWEPT_MAX: u32 = 500;
const SOON_MS: u64 = 10_000;
/// How many invitations are looked at in one step when the server starts, and when the next are, in
/// milliseconds; the timer for these starts with this, and the last one follows.
const LOOKED_AT: u32 = 200;
const LOOK_PAUSE_MS: u64 = 50;
const LOOK: &str = "look ";
/// The most addresses whose wrong tokens are counted; more of them share one count.
const ADDRESSES_MAX: usize = 10_000;
const OTHERS: &str = "-";

/// Wrong tokens of this hour, by address.
const WRONG: Table<str, Wrong> = Table::volatile_domain("invites.wrong");

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Wrong {
    since_ms: u64,
    count: u32,
}

record!(Wrong, 1);

impl Invites {
    /// Looks at all there are.
    pub(crate) fn started(&self, cx: &mut Context<'_, '_>) -> Done {
        look_at_some(cx, "")?;
        self.sweep("", cx)
    }

    /// Forgets what is over, and settles an account of which nobody heard what became.
    pub(crate) fn sweep(&self, timer: &str, cx: &mut Context<'_, '_>) -> Done {
        if let Some((id, _)) = timer.strip_prefix(BEGUN).and_then(|rest| rest.split_once(' ')) {
            let found = cx.get(&INVITATIONS, id)?;
            return found.map_or(Ok(()), |invitation| look_at(id, invitation, cx));
        }
        if let Some(last) = timer.strip_prefix(LOOK) {
            return look_at_some(cx, last);
        }
        let now_ms = cx.now_ms();
        let range = Range { to: None, limit: SWEPT_MAX, reverse: false };
        let mut next = HOUR_MS;
        let (now, _) = end(now_ms, "");
        for (end, _) in cx.scan(&ENDS, &[], &range)? {
            if end.0 > now {
                break;
            }
            // There may be more.
            next = SOON_MS;
            match cx.get(&INVITATIONS, &*end.1)? {
                Some(invitation) if invitation.begun.is_empty() => {
                    tokens::forget(cx, &end.1, &invitation)?;
                }
                // Its accounts have timers of their own, and it ends with the last of them.
                Some(_) | None => cx.delete(&ENDS, &end)?,
            }
        }
        forget_counts(cx)?;
        cx.wake_at(now_ms.saturating_add(next), "sweep")
    }

    /// Shows strangers that they can register with a token (XEP-0445 §3), where they can.
    pub(crate) fn offer(&self, cx: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
        let is_open = is_open(cx)?;
        Ok(is_open.then(|| Element::new(ns::IBR_TOKEN, "register")))
    }

    /// A stranger shows its token (XEP-0445 §4). Whether it is good is looked at here only.
    pub(crate) fn accept(
        &self,
        request: &Request<'_>,
        stranger: &Stranger,
        cx: &mut Context<'_, '_>,
    ) -> IqResult {
        let token = request.query()?.attr("token").ok_or(StanzaError::BAD_REQUEST)?;
        let now_ms = cx.now_ms();
        let is_known = cx.get(&WRONG, &*stranger.address)?.is_some();
        let has_room = is_known || count_rows(cx, ADDRESSES_MAX)? < ADDRESSES_MAX;
        let key = if has_room { &*stranger.address } else { OTHERS };
        let mut wrong = cx.get(&WRONG, key)?.unwrap_or_default();
        if now_ms.saturating_sub(wrong.since_ms) >= HOUR_MS {
            wrong = Wrong { since_ms: now_ms, count: 0 };
        }
        if wrong.count >= self.0.tries {
            // Also a right one is not looked at, or guessing would go on.
            let text = "too many wrong tokens; try again in an hour";
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(text));
        }
        let found = tokens::find(cx, &token)?.filter(|(_, found)| found.may_register);
        let Some((id, invitation)) = found else {
            wrong.count = wrong.count.saturating_add(1);
            cx.put(&WRONG, key, &wrong)?;
            cx.count("wrong_tokens", 1)?;
            // A refusal would take back what is counted.
            return refuse_and_keep(cx);
        };
        make_room(cx)?;
        let invited = Invited { id, name: invitation.name, at_ms: now_ms };
        cx.put(&INVITED, &stranger.connection, &invited)?;
        Ok(Reply::Empty)
    }

    /// An account is being made.
    pub(crate) fn registration(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let Registration { name, invitation, stage } = notified.read()?;
        let Some(id) = invitation else { return Ok(()) };
        if stage != RegistrationStage::Begun {
            return settle(cx, &id, &name, stage);
        }
        let Some(mut invitation) = cx.get(&INVITATIONS, &*id)? else { return Ok(()) };
        // Should nobody hear what became of it. A timer of its own: the next ones do not put it off.
        cx.wake_at(cx.now_ms().saturating_add(BEGUN_MS), &format!("{BEGUN}{id} {name}"))?;
        invitation.begun.push((name, cx.now_ms()));
        cx.put(&INVITATIONS, &*id, &invitation)
    }

    /// Somebody who was invited asks to see the owner (XEP-0379 §3.4). With a token that is not good,
    /// or is one that a client made, the user decides.
    pub(crate) fn subscribe(
        &self,
        presence: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        let Some(from) = presence.from else { return Ok(Flow::Pass) };
        if presence.presence_kind() != Some(PresenceKind::Subscribe) || cx.owner().local().is_none()
        {
            return Ok(Flow::Pass);
        }
        let Some(preauth) = presence.payloads().find(|node| node.is(ns::PARS, "preauth")) else {
            return Ok(Flow::Pass);
        };
        let token = preauth.attr("token").unwrap_or_default();
        let own = cx.owner().as_str().to_owned();
        let found = tokens::find(cx, &token)?;
        let Some((id, _)) = found.filter(|(_, found)| found.by.as_deref() == Some(&*own)) else {
            return Ok(Flow::Pass);
        };
        let redeem =
            Element::new(NS, "redeem").with_attr("id", &id).with_attr("contact", from.bare_str());
        let domain = cx.domain().to_owned();
        cx.send(&tell(&domain, redeem))?;
        Ok(Flow::Handled)
    }

    /// The domain hears from an account that one of its invitations was used.
    pub(crate) fn redeem(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let Some((from, word)) = from_account(message, "redeem", cx) else { return over() };
        let (id, contact) = (attr(word, "id"), attr(word, "contact"));
        let Some(mut invitation) = cx.get(&INVITATIONS, &*id)? else { return over() };
        let is_its = invitation.by.as_deref() == Some(&*from);
        if !is_its || !invitation.has_use() || invitation.expires_ms <= cx.now_ms() {
            return over();
        }
        invitation.uses = invitation.uses.saturating_sub(1);
        tokens::keep(cx, &id, &invitation)?;
        cx.count("redeemed", 1)?;
        introduce(cx, &from, (&contact, false), (&id, invitation.uses))?;
        over()
    }

    /// An account hears from the domain that an invitation was used, or taken back.
    pub(crate) fn redeemed(
        &self,
        message: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        let is_ours = message.from.is_some_and(|from| from.as_str() == cx.domain());
        let word = message.payloads().find(|node| node.is(NS, "redeemed"));
        let Some(word) = word.filter(|_| is_ours && cx.owner().local().is_some()) else {
            return over();
        };
        if attr(word, "left") == "0" {
            cx.delete(&OWN, &*attr(word, "id"))?;
        }
        let contact = attr(word, "contact");
        if !contact.is_empty() {
            cx.tell(&Introduced { contact, is_mutual: attr(word, "how") == "mutual" })?;
        }
        over()
    }

    /// An account is about to be removed, and its invitations with it.
    pub(crate) fn account_ends(&self, _: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let domain = cx.domain().to_owned();
        for (id, _) in cx.all(&OWN, u32::MAX)? {
            cx.send(&tell(&domain, Element::new(NS, "revoke").with_attr("id", &id)))?;
            // The answer reaches nobody.
            cx.delete(&OWN, &*id)?;
        }
        Ok(())
    }

    /// The domain hears from an account that it takes an invitation back.
    pub(crate) fn revoke(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let Some((from, word)) = from_account(message, "revoke", cx) else { return over() };
        let id = attr(word, "id");
        let found = cx.get(&INVITATIONS, &*id)?;
        if let Some(found) = found.filter(|found| found.by.as_deref() == Some(&*from)) {
            tokens::forget(cx, &id, &found)?;
        }
        // Only now its list may forget it: what it asked may have been lost, and then it asks again.
        let word = Element::new(NS, "redeemed").with_attr("id", &id).with_attr("left", "0");
        cx.send(&tell(&from, word))?;
        over()
    }
}

/// Looks at invitations behind the `last` one: for what was going on when the server stopped, and for those
/// that are not listed by their end yet. Some at a time.
fn look_at_some(cx: &mut Context<'_, '_>, last: &str) -> Done {
    let from = [last.as_bytes(), if last.is_empty() { &[] } else { &[0] }].concat();
    let range = Range { to: None, limit: LOOKED_AT, reverse: false };
    let some = cx.scan(&INVITATIONS, &from, &range)?;
    let is_all = some.len() < usize::try_from(LOOKED_AT).unwrap_or(usize::MAX);
    let next = some.last().map(|(id, _)| format!("{LOOK}{id}"));
    for (id, invitation) in some {
        let end = end(invitation.expires_ms, &id);
        if cx.get(&ENDS, &end)?.is_none() {
            cx.put(&ENDS, &end, &Listed)?;
        }
        look_at(&id, invitation, cx)?;
    }
    match next.filter(|_| !is_all) {
        Some(next) => cx.wake_at(cx.now_ms().saturating_add(LOOK_PAUSE_MS), &next),
        None => Ok(()),
    }
}

/// Settles accounts whose time is over, and forgets an invitation that is over.
fn look_at(id: &str, invitation: Invitation, cx: &mut Context<'_, '_>) -> Done {
    let now_ms = cx.now_ms();
    for (name, at_ms) in &invitation.begun {
        if now_ms < at_ms.saturating_add(BEGUN_MS) {
            continue;
        }
        let is_there = cx.get(&ACCOUNTS, &**name)?.is_some_and(|one| one.created_ms >= *at_ms);
        let stage = if is_there { RegistrationStage::Done } else { RegistrationStage::Failed };
        settle(cx, id, name, stage)?;
    }
    let left = cx.get(&INVITATIONS, id)?;
    match left.filter(|left| left.expires_ms <= now_ms && left.begun.is_empty()) {
        Some(left) => tokens::forget(cx, id, &left),
        None => Ok(()),
    }
}

/// Tells whether who is invited may make an account.
pub(crate) fn is_open(cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let may = cx.get(&REGISTRATION, "")?.is_some_and(|said| said.policy > 0);
    // The module may have been turned off since.
    Ok(may && cx.features(true)?.iter().any(|feature| feature == ns::REGISTER))
}

/// What is between the domain and its accounts ends here, whoever made it up.
fn over() -> HookResult {
    Ok(Flow::Handled)
}

/// An answer that is an error, without taking back what the call wrote.
fn refuse_and_keep(cx: &mut Context<'_, '_>) -> IqResult {
    let ticket = cx.later()?;
    let text = "the token is not good, or not any more";
    cx.answer(ticket, Err(StanzaError::ITEM_NOT_FOUND.with_text(text)))?;
    Ok(Reply::Later)
}

/// What became of an account that was begun with an invitation.
fn settle(cx: &mut Context<'_, '_>, id: &str, name: &str, stage: RegistrationStage) -> Done {
    let Some(mut invitation) = cx.get(&INVITATIONS, id)? else { return Ok(()) };
    let before = invitation.begun.len();
    invitation.begun.retain(|(begun, _)| begun != name);
    if invitation.begun.len() == before {
        return Ok(());
    }
    if stage != RegistrationStage::Done {
        return cx.put(&INVITATIONS, id, &invitation);
    }
    invitation.uses = invitation.uses.saturating_sub(1);
    tokens::keep(cx, id, &invitation)?;
    cx.count("redeemed", 1)?;
    if let Some(circle) = &invitation.circle {
        cx.tell(&CircleWish { circle: circle.clone(), member: name.to_owned() })?;
    }
    if !tokens::is_backed(cx, &invitation)? {
        return Ok(());
    }
    let Invitation { by: Some(by), uses, .. } = invitation else { return Ok(()) };
    // Both sides at once: each is told by its own server that it has the other.
    let made = format!("{name}@{}", cx.domain());
    introduce(cx, &by, (&made, true), (id, uses))?;
    introduce(cx, &made, (&by, true), (id, uses))
}

/// Tells an account that it has a contact.
fn introduce(
    cx: &mut Context<'_, '_>,
    account: &str,
    (contact, is_mutual): (&str, bool),
    (id, left): (&str, u32),
) -> Done {
    let word = Element::new(NS, "redeemed")
        .with_attr("contact", contact)
        .with_attr("how", if is_mutual { "mutual" } else { "approved" })
        .with_attr("id", id)
        .with_attr("left", &left.to_string());
    cx.send(&tell(account, word))
}

pub(crate) fn tell(to: &str, word: Element) -> Element {
    let message = Element::new(ns::CLIENT, "message").with_attr("to", to);
    message.with_attr("type", "headline").with_child(word)
}

fn attr(node: Node<'_>, name: &str) -> String {
    node.attr(name).unwrap_or_default().into_owned()
}

/// Returns which account of ours says that to the domain. A client's words carry its resource.
fn from_account<'a>(
    message: &'a Passing<'_>,
    name: &str,
    cx: &Context<'_, '_>,
) -> Option<(String, Node<'a>)> {
    let from = message.from?;
    let is_ours = from.is_bare() && from.local().is_some() && from.domain() == cx.domain();
    let word = message.payloads().find(|node| node.is(NS, name))?;
    (is_ours && cx.owner().as_str() == cx.domain()).then(|| (from.as_str().to_owned(), word))
}

fn count_rows(cx: &mut Context<'_, '_>, limit: usize) -> Result<usize, StanzaError> {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    Ok(cx.scan(&WRONG, &[], &Range { to: None, limit, reverse: false })?.len())
}

/// Forgets counts of earlier hours, and strangers who were let in and went away.
fn forget_counts(cx: &mut Context<'_, '_>) -> Done {
    let now_ms = cx.now_ms();
    for (address, wrong) in cx.all(&WRONG, u32::MAX)? {
        if now_ms.saturating_sub(wrong.since_ms) >= HOUR_MS {
            cx.delete(&WRONG, &*address)?;
        }
    }
    make_room(cx)
}

/// Forgets strangers whose time is over, and the oldest of too many.
fn make_room(cx: &mut Context<'_, '_>) -> Done {
    let now_ms = cx.now_ms();
    let mut all = cx.all(&INVITED, u32::MAX)?;
    all.sort_by_key(|(_, invited)| invited.at_ms);
    let too_many = all.len().saturating_sub(ACCEPTED_MAX.saturating_sub(1));
    for (index, (connection, invited)) in all.iter().enumerate() {
        if index < too_many || now_ms.saturating_sub(invited.at_ms) >= ACCEPTED_MS {
            cx.delete(&INVITED, connection)?;
        }
    }
    Ok(())
}
