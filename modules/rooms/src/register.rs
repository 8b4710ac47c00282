//! People register with a room (§7.10): they become members, and have a nickname of their own.
//!
//! Where membership means that somebody may enter or speak, an admin is asked first (§9.9).

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::admin::{Wanted, apply};
use crate::limits::Place;
use crate::records::OCCUPANTS;
use crate::room::{Room, affiliation, fold, is_same, is_there, member, members, seated};
use crate::rules::Affiliation;
use crate::{Config, cancel, enter, form, invite, limits, result, settings};

/// Who waits for an answer, by bare address.
pub(crate) const APPLICANTS: Table<str, Applicant> = Table::account("rooms.applicants");

/// The most people that wait.
const APPLICANTS_MAX: u32 = 50;
/// The most admins that are asked.
const ASKED_MAX: usize = 20;
const NICK: &str = "muc#register_roomnick";
const ALLOW: &str = "muc#register_allow";
/// Who it is, so that an answer that comes late is not one to somebody else's request.
const WHOSE: &str = "x-calypte#jid";

/// Somebody who wants to be a member.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Applicant {
    nick: String,
    /// When it was asked, in milliseconds since 1970.
    at_ms: u64,
}

record!(Applicant, 1);

impl std::fmt::Debug for Applicant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applicant").finish_non_exhaustive()
    }
}

/// Somebody wants to know what is needed.
pub(crate) fn get(
    room: &Room,
    from: JidRef<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<Element, StanzaError> {
    let affiliation = admit(room, from, cx)?;
    let kept = member(from.bare_str(), cx)?.and_then(|member| member.nick);
    let mut query = Element::new(ns::REGISTER, "query");
    if affiliation >= Affiliation::Member
        && let Some(nick) = &kept
    {
        query.push_child(Element::new(ns::REGISTER, "registered"));
        query.push_child(Element::new(ns::REGISTER, "username").with_text(nick));
    }
    let nick: Vec<_> = kept.into_iter().collect();
    let field = form::field(NICK, &nick)
        .with_attr("type", "text-single")
        .with_attr("label", "Nickname")
        .with_child(Element::new(ns::DATA_FORMS, "required"));
    let x = form::start("form", ns::MUC_REGISTER).with_child(field);
    Ok(query.with_child(x))
}

fn admit(
    room: &Room,
    from: JidRef<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<Affiliation, StanzaError> {
    if room.row.is_locked {
        return Err(StanzaError::ITEM_NOT_FOUND);
    }
    match affiliation(from.bare_str(), cx)? {
        Affiliation::Outcast => Err(StanzaError::NOT_ALLOWED),
        affiliation => Ok(affiliation),
    }
}

/// Somebody registers, takes another nickname, or is a member no more.
pub(crate) fn set(
    config: &Config,
    room: &Room,
    iq: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    let query = iq.payload().ok_or(StanzaError::BAD_REQUEST)?;
    let from = iq.from.ok_or(StanzaError::BAD_REQUEST)?;
    let before = admit(room, from, cx)?;
    limits::spend(config, from.bare_str(), iq.content.root(), cx)?;
    let bare = from.bare_str().to_owned();
    if query.has_child(ns::REGISTER, "remove") {
        cx.delete(&APPLICANTS, &*bare)?;
        // Admins and owners keep what they are, without a nickname of their own.
        let after = if before == Affiliation::Member { Affiliation::None } else { before };
        settle(
            room,
            Wanted { bare, before, after, nick: Some(String::new()), reason: None },
            iq,
            cx,
        )?;
        return Ok(Flow::Handled);
    }
    let x = query.child(ns::DATA_FORMS, "x").ok_or(StanzaError::BAD_REQUEST)?;
    if x.attr("type").as_deref() != Some("submit") {
        return Err(StanzaError::BAD_REQUEST);
    }
    let fields = form::read(x, ns::MUC_REGISTER)?;
    let nick = form::value(&fields, NICK).ok_or(StanzaError::BAD_REQUEST)?.to_owned();
    check_nick(config, &nick, &bare, cx)?;
    if before < Affiliation::Member {
        limits::has_place(config, Place::ByThemselves, 1, cx)?;
    }
    // Who knows the password is in.
    let is_free = !room.flag(settings::MEMBERS_ONLY)
        && !room.flag(settings::MODERATED)
        && (!room.flag(settings::PROTECTED) || seated(from.as_str(), cx)?.is_some());
    if before < Affiliation::Member && !is_free {
        ask(&bare, &nick, cx)?;
        result(iq, None, cx)?;
        return Ok(Flow::Handled);
    }
    let after = before.max(Affiliation::Member);
    settle(room, Wanted { bare, before, after, nick: Some(nick), reason: None }, iq, cx)?;
    Ok(Flow::Handled)
}

fn settle(room: &Room, wanted: Wanted, iq: &Passing<'_>, cx: &mut Context<'_, '_>) -> Done {
    let mut answer = Some(iq);
    apply(room, &wanted, None, &mut answer, cx)?;
    answer.map_or(Ok(()), |iq| result(iq, None, cx))
}

/// Tells whether somebody can have a nickname: it can be seen, and is nobody else's.
fn check_nick(config: &Config, nick: &str, bare: &str, cx: &mut Context<'_, '_>) -> Done {
    let key = fold(nick);
    // What is no resource is no nickname.
    let place = format!("{}/{nick}", cx.owner());
    if key.is_empty() || nick.len() > config.nick_bytes || Jid::parse(&place).is_err() {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("This cannot be a nickname."));
    }
    let there = cx.get(&OCCUPANTS, &*key)?;
    let is_used = there.is_some_and(|occupant| occupant.bare != bare);
    if is_used || enter::reserved_by_other(&key, bare, cx)? {
        return Err(cancel(Condition::Conflict));
    }
    Ok(())
}

/// Asks admins and owners, wherever they are.
fn ask(bare: &str, nick: &str, cx: &mut Context<'_, '_>) -> Done {
    let key = fold(nick);
    let waiting = cx.all(&APPLICANTS, APPLICANTS_MAX)?;
    let others = waiting.iter().filter(|(other, _)| other != bare);
    if others.clone().any(|(_, applicant)| fold(&applicant.nick) == key) {
        return Err(cancel(Condition::Conflict));
    }
    if others.count() >= usize::try_from(APPLICANTS_MAX).unwrap_or(usize::MAX) {
        let why = "Too many people wait for an answer.";
        return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
    }
    let is_again = waiting.iter().any(|(other, applicant)| other == bare && applicant.nick == nick);
    let applicant = Applicant { nick: nick.to_owned(), at_ms: cx.now_ms() };
    cx.put(&APPLICANTS, bare, &applicant)?;
    if is_again {
        return Ok(());
    }
    let title = Element::new(ns::DATA_FORMS, "title").with_text("Registration request");
    let text = format!("{bare} wants to be a member of {}.", cx.owner());
    let text = Element::new(ns::DATA_FORMS, "instructions").with_text(&text);
    let whose = form::field(WHOSE, &[bare.to_owned()]).with_attr("type", "hidden");
    let nick = form::labelled(NICK, "Desired Nickname", nick).with_attr("type", "text-single");
    let label = "Allow this person to register with the room?";
    let allow = form::labelled(ALLOW, label, "0").with_attr("type", "boolean");
    let x = form::start("form", ns::MUC_REGISTER)
        .with_child(title)
        .with_child(text)
        .with_child(whose)
        .with_child(nick)
        .with_child(allow);
    let message = Element::new(ns::CLIENT, "message").with_child(x).to_xml(ns::CLIENT);
    let mut asked: Vec<String> = Vec::new();
    for affiliation in [Affiliation::Owner, Affiliation::Admin] {
        asked.extend(members(affiliation, cx)?.into_iter().map(|(bare, _)| bare));
    }
    let asked: Vec<_> = asked.iter().take(ASKED_MAX).map(String::as_str).collect();
    cx.send_each(&message, &asked)
}

/// Tells whether a form is the answer of an admin.
pub(crate) fn is_answer(x: Node<'_>) -> bool {
    x.children().any(|field| {
        field.attr("var").as_deref() == Some("FORM_TYPE")
            && field.child_text(ns::DATA_FORMS, "value").as_deref() == Some(ns::MUC_REGISTER)
    })
}

/// An admin answers.
pub(crate) fn answered(
    config: &Config,
    room: &Room,
    from: JidRef<'_>,
    x: Node<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    if affiliation(from.bare_str(), cx)? < Affiliation::Admin {
        return Err(StanzaError::FORBIDDEN);
    }
    if x.attr("type").as_deref() != Some("submit") {
        return Ok(());
    }
    let fields = form::read(x, ns::MUC_REGISTER)?;
    limits::spend(config, from.bare_str(), x, cx)?;
    let key = fold(form::value(&fields, NICK).ok_or(StanzaError::BAD_REQUEST)?);
    let whose = form::value(&fields, WHOSE);
    let waiting = cx.all(&APPLICANTS, APPLICANTS_MAX)?;
    let mut waiting = waiting.into_iter().filter(|(bare, applicant)| {
        // The same nickname may be what somebody else wants by now.
        fold(&applicant.nick) == key && whose.is_none_or(|whose| whose == bare)
    });
    let (bare, applicant) = waiting.next().ok_or(StanzaError::ITEM_NOT_FOUND)?;
    cx.delete(&APPLICANTS, &*bare)?;
    if !matches!(form::value(&fields, ALLOW), Some("1" | "true")) {
        return Ok(());
    }
    let before = affiliation(&bare, cx)?;
    if before != Affiliation::None || !is_same(&bare, applicant.at_ms, cx)? {
        return Ok(());
    }
    limits::has_place(config, Place::Member, 1, cx)?;
    // Somebody else may have the nickname by now: then it is a member without one.
    let nick = check_nick(config, &applicant.nick, &bare, cx).is_ok().then_some(applicant.nick);
    let wanted =
        Wanted { bare: bare.clone(), before, after: Affiliation::Member, nick, reason: None };
    apply(room, &wanted, None, &mut None, cx)?;
    if !is_there(&bare, cx)? {
        invite::send(room, from.bare_str(), &bare, (None, &[]), cx)?;
    }
    Ok(())
}

/// Forgets who waits.
pub(crate) fn forget(cx: &mut Context<'_, '_>) -> Done {
    for (bare, _) in cx.all(&APPLICANTS, u32::MAX)? {
        cx.delete(&APPLICANTS, &*bare)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let applicant = Applicant { nick: "n".into(), at_ms: 5 };
        assert_eq!(APPLICANTS.encode(&applicant), b"\x01\x01n\x05");
    }
}
