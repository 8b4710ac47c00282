//! A room: what is kept of it, who is what to it, its beginning and its end.

use calypte::prelude::*;
use calypte::wire::Range;
use tables::ACCOUNTS;

use crate::Config;
use crate::avatar::CARD;
use crate::records::{
    ARCHIVE, ASKING, COMING_KEY, CROWD, Count, Crowd, EXPELLED, Holder, INDEX, INVITED, KEPT,
    Listed, MADE_BY, MEMBER_COUNT, MEMBERS, Made, Member, NICKS, OCCUPANTS, Occupant, PRIVATE,
    ROOM, ROOM_KEY, RoomRow, SEATS, SEEING, SWEPT, Seat, TRAFFIC, UNSEEING,
};
use crate::rules::{Affiliation, Role};
use crate::who::SECRET;
use crate::{hats, history, probe, register, settings, slow, turn};

/// When a room that does not stay is looked at again, in milliseconds: those who were in it when the
/// server stopped have so long to come back.
const SWEEP_MS: u64 = 3_600_000;
/// The timer for that.
pub(crate) const SWEEP: &str = "sweep";
/// The timer for what is left of a room that ended.
pub(crate) const BURY: &str = "bury";
/// How many messages of it are deleted at a time.
const BURIED_MAX: u32 = 1000;
/// How long others have their turn before it goes on, in milliseconds.
const BURY_PAUSE_MS: u64 = 50;

/// The room that a call is for.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) row: RoomRow,
}

impl Room {
    /// Reads the room; `None` when there is none.
    pub(crate) fn load(cx: &mut Context<'_, '_>) -> Result<Option<Self>, StanzaError> {
        Ok(cx.get(&ROOM, ROOM_KEY)?.map(|row| Self { row }))
    }

    /// Makes the room, which belongs to `creator` from now on.
    ///
    /// # Errors
    ///
    /// `not-allowed` when this account makes no rooms here, `resource-constraint` when it has as many
    /// as it may.
    pub(crate) fn create(
        config: &Config,
        creator: &str,
        cx: &mut Context<'_, '_>,
    ) -> Result<Self, StanzaError> {
        if !config.may_create(JidRef::trusted(creator), cx) {
            return Err(StanzaError::NOT_ALLOWED);
        }
        let one = Range { to: None, limit: 1, reverse: false };
        if !cx.scan(&ARCHIVE, &[], &one)?.is_empty() {
            let why = "A room of this name has just ended. Try again in a minute.";
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
        }
        let from = [creator.as_bytes(), &[0]].concat();
        let to = Some([creator.as_bytes(), &[1]].concat());
        let limit = config.rooms_per_account.saturating_add(1);
        let made = cx.scan(&MADE_BY, &from, &Range { to, limit, reverse: false })?;
        let has_bound = creator != cx.domain();
        let most = usize::try_from(config.rooms_per_account).unwrap_or(usize::MAX);
        if has_bound && made.len() >= most {
            let why = "You have as many rooms as you can. Destroy one of them.";
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
        }
        let row = RoomRow {
            creator: creator.to_owned(),
            created_ms: cx.now_ms(),
            is_locked: true,
            ..RoomRow::default()
        };
        let room = Self { row };
        let local = local(cx);
        cx.put(&MADE_BY, &(creator.to_owned(), local), &Made { at_ms: cx.now_ms() })?;
        room.save(cx)?;
        set_member(creator, Affiliation::Owner, None, None, cx)?;
        cx.count("rooms_made", 1)?;
        cx.wake_at(cx.now_ms().saturating_add(SWEEP_MS), SWEEP)?;
        Ok(room)
    }

    /// Writes the room, and what lists say of it.
    pub(crate) fn save(&self, cx: &mut Context<'_, '_>) -> Done {
        cx.put(&ROOM, ROOM_KEY, &self.row)?;
        let listed = Listed {
            name: self.text(settings::NAME).to_owned(),
            description: self.text(settings::DESCRIPTION).to_owned(),
            lang: self.text(settings::LANG).to_owned(),
            is_open: !self.flag(settings::MEMBERS_ONLY) && !self.flag(settings::PROTECTED),
            is_anonymous: !self.is_open(),
            is_public: self.flag(settings::PUBLIC) && !self.row.is_locked,
            creator: self.row.creator.clone(),
            created_ms: self.row.created_ms,
        };
        let local = local(cx);
        if cx.get(&INDEX, &*local)?.is_none_or(|before| before != listed) {
            cx.put(&INDEX, &*local, &listed)?;
        }
        Ok(())
    }

    /// Returns what a setting is.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let own = self.row.settings.iter().find(|(known, _)| known == name);
        match own {
            Some((_, values)) => values.clone(),
            None => {
                let default = settings::find(name).map_or(&[][..], |setting| setting.default);
                default.iter().map(|value| (*value).to_owned()).collect()
            }
        }
    }

    /// Returns the text of a setting.
    pub(crate) fn text(&self, name: &str) -> &str {
        let own = self.row.settings.iter().find(|(known, _)| known == name);
        match own {
            Some((_, values)) => values.first().map_or("", String::as_str),
            None => {
                let default = settings::find(name).map_or(&[][..], |setting| setting.default);
                default.first().copied().unwrap_or("")
            }
        }
    }

    /// Tells whether a setting is on.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name) == "1"
    }

    /// Tells whether a setting with several values has this one.
    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        self.values(name).iter().any(|one| one == value)
    }

    /// Sets a setting to what [`settings::Setting::check`] returned.
    pub(crate) fn set(&mut self, name: &str, values: Vec<String>) {
        self.row.settings.retain(|(known, _)| known != name);
        if values != self.values(name) {
            self.row.settings.push((name.to_owned(), values));
        }
    }

    /// Tells whether everybody in the room sees the addresses of people.
    pub(crate) fn is_open(&self) -> bool {
        self.text(settings::WHOIS) == "anyone"
    }

    /// Tells whether an occupant of a role sees them.
    pub(crate) fn shows_to(&self, role: Role) -> bool {
        role == Role::Moderator || self.is_open()
    }

    /// Tells whether others see that an occupant of a role is there.
    pub(crate) fn broadcasts(&self, role: Role) -> bool {
        self.has(settings::BROADCAST, role.name())
    }

    /// Deletes the room and all that is kept of it.
    pub(crate) fn forget(&self, cx: &mut Context<'_, '_>) -> Done {
        let local = local(cx);
        for (bare, _) in cx.all(&MEMBERS, u32::MAX)? {
            cx.delete(&MEMBERS, &*bare)?;
        }
        for (key, _) in cx.all(&INVITED, u32::MAX)? {
            cx.delete(&INVITED, &key)?;
        }
        for (nick, _) in cx.all(&NICKS, u32::MAX)? {
            cx.delete(&NICKS, &*nick)?;
        }
        bury(cx)?;
        cx.no_wake(SWEEP)?;
        cx.no_wake(history::EXPIRE)?;
        cx.delete(&MEMBER_COUNT, ROOM_KEY)?;
        cx.delete(&KEPT, ROOM_KEY)?;
        cx.delete(&SECRET, ROOM_KEY)?;
        hats::forget(cx)?;
        register::forget(cx)?;
        cx.delete(&CARD, ROOM_KEY)?;
        cx.delete(&ROOM, ROOM_KEY)?;
        cx.delete(&INDEX, &*local)?;
        cx.delete(&MADE_BY, &(self.row.creator.clone(), local))?;
        forget_crowd(cx)
    }
}

/// Deletes what was said in a room that ended, or a part of it, and the rest after a pause.
fn bury(cx: &mut Context<'_, '_>) -> Done {
    let range = Range { to: None, limit: BURIED_MAX, reverse: false };
    let lines = cx.scan(&ARCHIVE, &[], &range)?;
    for (id, _) in &lines {
        cx.delete(&ARCHIVE, id)?;
    }
    if lines.len() < usize::try_from(BURIED_MAX).unwrap_or(usize::MAX) {
        return Ok(());
    }
    cx.wake_at(cx.now_ms().saturating_add(BURY_PAUSE_MS), BURY)
}

/// Goes on with that, unless the name is that of a new room already.
pub(crate) fn bury_more(cx: &mut Context<'_, '_>) -> Done {
    if Room::load(cx)?.is_some() { Ok(()) } else { bury(cx) }
}

/// Deletes what is kept in memory of those who were in the room.
fn forget_crowd(cx: &mut Context<'_, '_>) -> Done {
    for (full, nick) in turn::forget(cx)? {
        let error = StanzaError::ITEM_NOT_FOUND.to_element();
        let gone = Element::new(ns::CLIENT, "presence")
            .with_attr("from", &format!("{}/{nick}", cx.owner()))
            .with_attr("to", &full)
            .with_attr("type", "error");
        cx.send(&gone.with_child(Element::new(ns::MUC, "x")).with_child(error))?;
    }
    cx.delete(&CROWD, COMING_KEY)?;
    for (full, _) in cx.all(&SEATS, u32::MAX)? {
        cx.delete(&SEATS, &*full)?;
        cx.delete(&PRIVATE, &*full)?;
    }
    for table in [&SEEING, &UNSEEING] {
        for (full, _) in cx.all(table, u32::MAX)? {
            cx.delete(table, &*full)?;
        }
    }
    for (key, _) in cx.all(&OCCUPANTS, u32::MAX)? {
        cx.delete(&OCCUPANTS, &*key)?;
        cx.delete(&EXPELLED, &*key)?;
        crate::show::hide(&key, cx)?;
    }
    for (bare, _) in cx.all(&TRAFFIC, u32::MAX)? {
        cx.delete(&TRAFFIC, &*bare)?;
    }
    for (bare, _) in cx.all(&ASKING, u32::MAX)? {
        cx.delete(&ASKING, &*bare)?;
    }
    for (table, _) in cx.all(&SWEPT, u32::MAX)? {
        cx.delete(&SWEPT, &*table)?;
    }
    probe::forget(cx)?;
    slow::forget(cx)?;
    cx.delete(&CROWD, ROOM_KEY)
}

/// Returns the local part of the room.
pub(crate) fn local(cx: &Context<'_, '_>) -> String {
    cx.owner().local().unwrap_or("").to_owned()
}

/// Returns what somebody is to the room.
///
/// The domain itself is an owner everywhere: commands of the operator come from it, and nobody else
/// can send in its name.
pub(crate) fn affiliation(
    bare: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Affiliation, StanzaError> {
    if bare == cx.domain() {
        return Ok(Affiliation::Owner);
    }
    if let Some(member) = member(bare, cx)? {
        return Ok(member.affiliation);
    }
    // §9.2. A ban of a domain is one of all its people.
    let domain = JidRef::trusted(bare).domain();
    let of_domain = cx.get(&MEMBERS, domain)?;
    let is_banned = of_domain.is_some_and(|member| member.affiliation == Affiliation::Outcast);
    Ok(if is_banned { Affiliation::Outcast } else { Affiliation::None })
}

/// Returns what is kept of somebody who is something to the room.
///
/// Who was somebody here before the account was removed and made anew by somebody else is nobody.
pub(crate) fn member(bare: &str, cx: &mut Context<'_, '_>) -> Result<Option<Member>, StanzaError> {
    let Some(member) = cx.get(&MEMBERS, bare)? else { return Ok(None) };
    if member.affiliation > Affiliation::None && !is_same(bare, member.since_ms, cx)? {
        return Ok(None);
    }
    Ok(Some(member))
}

/// Tells whether somebody with an address is who had it at a time: the account of this server was not
/// removed since, and made anew by somebody else.
pub(crate) fn is_same(
    bare: &str,
    since_ms: u64,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let jid = JidRef::trusted(bare);
    let Some(local) = jid.local().filter(|_| jid.domain() == cx.domain()) else { return Ok(true) };
    Ok(cx.get(&ACCOUNTS, local)?.is_some_and(|account| account.created_ms <= since_ms))
}

/// Returns when the account of somebody was made; 0 for who has none here.
pub(crate) fn made_ms(bare: &str, cx: &mut Context<'_, '_>) -> Result<u64, StanzaError> {
    let jid = JidRef::trusted(bare);
    let Some(local) = jid.local().filter(|_| jid.domain() == cx.domain()) else { return Ok(0) };
    Ok(cx.get(&ACCOUNTS, local)?.map_or(0, |account| account.created_ms))
}

/// Writes what somebody is to the room.
pub(crate) fn set_member(
    bare: &str,
    affiliation: Affiliation,
    nick: Option<&str>,
    reason: Option<&str>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let (before, known) = (cx.get(&MEMBERS, bare)?, member(bare, cx)?);
    let Count(count) = cx.get(&MEMBER_COUNT, ROOM_KEY)?.unwrap_or_default();
    if affiliation == Affiliation::None {
        if let Some(before) = before {
            free_nick(before.nick.as_deref(), cx)?;
            cx.delete(&MEMBERS, bare)?;
            cx.put(&MEMBER_COUNT, ROOM_KEY, &Count(count.saturating_sub(1)))?;
        }
        return Ok(());
    }
    if before.is_none() {
        cx.put(&MEMBER_COUNT, ROOM_KEY, &Count(count.saturating_add(1)))?;
    }
    free_nick(before.and_then(|before| before.nick).as_deref(), cx)?;
    let kept = known.and_then(|known| known.nick);
    let nick = match nick {
        Some("") => None,
        Some(nick) => Some(nick.to_owned()),
        // §9.1. Who is banned has no nickname here.
        None if affiliation == Affiliation::Outcast => None,
        None => kept,
    };
    if let Some(nick) = &nick {
        cx.put(&NICKS, &*fold(nick), &Holder { bare: bare.to_owned() })?;
    }
    let reason = reason.map(str::to_owned);
    let member = Member { affiliation, nick, reason, since_ms: cx.now_ms() };
    cx.put(&MEMBERS, bare, &member)
}

fn free_nick(nick: Option<&str>, cx: &mut Context<'_, '_>) -> Done {
    nick.map_or(Ok(()), |nick| cx.delete(&NICKS, &*fold(nick)))
}

/// Counts those who are something to the room.
pub(crate) fn member_count(cx: &mut Context<'_, '_>) -> Result<u32, StanzaError> {
    Ok(cx.get(&MEMBER_COUNT, ROOM_KEY)?.unwrap_or_default().0)
}

/// Lists those with an affiliation, by address.
pub(crate) fn members(
    affiliation: Affiliation,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(String, Member)>, StanzaError> {
    let mut all = cx.all(&MEMBERS, u32::MAX)?;
    all.retain(|(_, member)| member.affiliation == affiliation);
    Ok(all)
}

/// Returns how many are in the room.
pub(crate) fn crowd(cx: &mut Context<'_, '_>) -> Result<Crowd, StanzaError> {
    Ok(cx.get(&CROWD, ROOM_KEY)?.unwrap_or_default())
}

/// Finds the occupant that a client is.
pub(crate) fn seated(
    full: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Option<(Seat, Occupant)>, StanzaError> {
    let Some(seat) = cx.get(&SEATS, full)? else { return Ok(None) };
    let occupant = cx.get(&OCCUPANTS, &*seat.key)?;
    Ok(occupant.map(|occupant| (seat, occupant)))
}

/// Lists the occupants that somebody is, with their keys.
pub(crate) fn occupants_of(
    bare: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(String, Occupant)>, StanzaError> {
    let mut keys: Vec<_> =
        seats_of(bare, u32::MAX, cx)?.into_iter().map(|(_, seat)| seat.key).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut all = Vec::new();
    for key in keys {
        let occupant = cx.get(&OCCUPANTS, &*key)?;
        all.extend(occupant.map(|occupant| (key, occupant)));
    }
    Ok(all)
}

/// Tells whether somebody is in the room.
pub(crate) fn is_there(bare: &str, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    Ok(!seats_of(bare, 1, cx)?.is_empty())
}

/// Lists clients of somebody.
fn seats_of(
    bare: &str,
    limit: u32,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(String, Seat)>, StanzaError> {
    // What follows a slash is a resource, and `0` follows the slash.
    let (from, to) = (format!("{bare}/"), format!("{bare}0").into_bytes());
    cx.scan(&SEATS, from.as_bytes(), &Range { to: Some(to), limit, reverse: false })
}

/// Returns what two nicknames have in common that people take for the same one.
pub(crate) fn fold(nick: &str) -> String {
    let is_seen = |c: &char| {
        !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let folded: String = nick.chars().filter(is_seen).flat_map(char::to_lowercase).collect();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The room does not stay: when nobody is in it any more, it ends.
pub(crate) fn sweep(cx: &mut Context<'_, '_>) -> Done {
    let Some(room) = Room::load(cx)? else { return Ok(()) };
    let stays = room.flag(settings::PERSISTENT) && !room.row.is_locked;
    if !stays && crowd(cx)?.occupants == 0 {
        return room.forget(cx);
    }
    cx.wake_at(cx.now_ms().saturating_add(SWEEP_MS), SWEEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames_that_look_the_same_are_the_same() {
        assert_eq!(fold("Romeo"), fold("romeo"));
        assert_eq!(fold(" romeo\u{200b} "), "romeo");
        assert_eq!(fold("the  Nurse"), "the nurse");
        assert_eq!(fold("\u{200b}"), "");
        assert_ne!(fold("romeo"), fold("juliet"));
    }
}
