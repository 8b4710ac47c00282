//! Who is there is shown to a client in portions, so that a slow one can take it: the next one follows
//! when the client has answered a ping behind the last.
//!
//! Who enters is in the room when all is shown, and hears until then what becomes of those who are.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;

use crate::enter::{self, Guest};
use crate::history::Wish;
use crate::records::{
    COMING_KEY, COMING_SEEING, COMING_UNSEEING, CROWD, HIDDEN, OPEN, Occupant, Place, SHUT,
};
use crate::room::{Room, fold, seated};
use crate::rules::{Affiliation, Role};
use crate::show::{Note, dismiss_one};
use crate::{Config, leave};

/// Clients that have not been shown everybody yet, by full address.
pub(crate) const TURNS: Table<str, Turn> = Table::volatile_account("rooms.turns");

/// The most bytes of a portion.
const PORTION_BYTES: u64 = 64 << 10;
/// The most of those whom only moderators see, which may come on top.
const HIDDEN_BYTES: u64 = 16 << 10;
/// How a cookie of ours begins; no address does.
const COOKIE: &[u8] = b"\0turn";

/// Why somebody is shown who is there.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Why {
    /// It enters a room that is new, or not.
    Enters { is_new: bool },
    /// It is there, and wants to see everything again: as it was, or with something new of its own.
    Again { is_same: bool },
    /// It is a moderator from now on, and sees addresses.
    Moderates,
}

/// How far a client has come.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Turn {
    pub(crate) why: Why,
    pub(crate) nick: String,
    /// The inside of its presence as text.
    pub(crate) shown: String,
    pub(crate) id: Option<String>,
    pub(crate) wish: Wish,
    /// A number, so that a late answer does not count for another portion.
    page: u64,
    /// The folded nickname of the last one that it was shown.
    after: String,
    /// Whether it has come to those whom only moderators see.
    is_hidden: bool,
    /// Whether it sees addresses.
    sees: bool,
}

record!(Turn, 1);

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

impl Turn {
    pub(crate) fn new(why: Why, nick: &str, shown: &str, id: Option<&str>, wish: Wish) -> Self {
        let (nick, shown, id) = (nick.to_owned(), shown.to_owned(), id.map(str::to_owned));
        let (after, is_hidden, sees) = (String::new(), false, false);
        Self { why, nick, shown, id, wish, page: 0, after, is_hidden, sees }
    }

    pub(crate) fn enters(&self) -> bool {
        matches!(self.why, Why::Enters { .. })
    }
}

/// Shows a client the next of those who are there, and when it was shown all, what follows.
pub(crate) fn show_next(
    room: &Room,
    full: &str,
    mut turn: Turn,
    (affiliation, role): (Affiliation, Role),
    cx: &mut Context<'_, '_>,
) -> Done {
    let key = fold(&turn.nick);
    let sees = room.shows_to(role);
    if sees != turn.sees {
        // What it was shown is not what it sees.
        (turn.after, turn.is_hidden, turn.sees) = (String::new(), false, sees);
    }
    if !turn.is_hidden {
        let table = if sees { &OPEN } else { &SHUT };
        if let Some(last) = cx.send_ready(table, (&turn.after, &key), full, PORTION_BYTES)? {
            turn.after = last;
            return wait(full, turn, cx);
        }
        (turn.after, turn.is_hidden) = (String::new(), true);
    }
    if role == Role::Moderator
        && let Some(last) = cx.send_ready(&HIDDEN, (&turn.after, &key), full, HIDDEN_BYTES)?
    {
        turn.after = last;
        return wait(full, turn, cx);
    }
    end(full, cx)?;
    match turn.why {
        Why::Enters { is_new } => {
            let guest = Guest::of(full, &turn);
            enter::arrive(room, affiliation, &guest, (is_new, &turn.wish), cx)
        }
        Why::Again { is_same } => enter::greeted(room, full, &turn, is_same, cx),
        Why::Moderates => Ok(()),
    }
}

/// Somebody is a moderator from now on: each client is shown the addresses of the others.
pub(crate) fn show_addresses(room: &Room, occupant: &Occupant, cx: &mut Context<'_, '_>) -> Done {
    let standing = (occupant.affiliation, occupant.role);
    for full in &occupant.seats {
        // One that is at it begins anew by itself.
        if cx.get(&TURNS, &**full)?.is_none() {
            let turn = Turn::new(Why::Moderates, &occupant.nick, "", None, Wish::default());
            show_next(room, full, turn, standing, cx)?;
        }
    }
    Ok(())
}

/// Asks a client whether it has what was sent before.
fn wait(full: &str, mut turn: Turn, cx: &mut Context<'_, '_>) -> Done {
    let page = cx.random(8)?.try_into().map(u64::from_le_bytes);
    turn.page = page.map_err(|_| StanzaError::INTERNAL)?;
    if turn.enters() {
        if !cx.get(&TURNS, full)?.is_some_and(|turn| turn.enters()) {
            count(1, cx)?;
        }
        place(full, turn.sees, cx)?;
    }
    cx.put(&TURNS, full, &turn)?;
    let ping = Element::new(ns::CLIENT, "iq")
        .with_attr("type", "get")
        .with_attr("to", full)
        .with_child(Element::new(ns::PING, "ping"));
    cx.request(&ping, &[COOKIE, &turn.page.to_le_bytes(), full.as_bytes()].concat())
}

/// Returns what a cookie of ours holds: the portion, and whose it was.
pub(crate) fn read(cookie: &[u8]) -> Option<(u64, &str)> {
    let (page, full) = cookie.strip_prefix(COOKIE)?.split_first_chunk()?;
    Some((u64::from_le_bytes(*page), std::str::from_utf8(full).ok()?))
}

/// A client answered, or did not in time: whatever it says, it has the portion, but that it is gone.
pub(crate) fn answered(
    config: &Config,
    (page, full): (u64, &str),
    answer: StanzaRef<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let Some(turn) = cx.get(&TURNS, full)?.filter(|turn| turn.page == page) else { return Ok(()) };
    let Some(room) = Room::load(cx)? else { return Ok(()) };
    if leave::is_nobody(answer) {
        cx.count("vanished", 1)?;
        return leave::go(full, "", &Note { codes: &[333], ..Note::default() }, cx);
    }
    let standing = if turn.enters() {
        let guest = Guest::of(full, &turn);
        match enter::admit_again(config, &room, &guest, cx) {
            Ok(affiliation) => (affiliation, enter::role_of(&room, affiliation, &guest, cx)?),
            Err(error) => {
                end(full, cx)?;
                return enter::refuse(&guest, &error, cx);
            }
        }
    } else {
        let Some((_, occupant)) = seated(full, cx)? else { return end(full, cx).map(drop) };
        (occupant.affiliation, occupant.role)
    };
    show_next(&room, full, turn, standing, cx)
}

/// What somebody is to the room changed, or what the room shows: those of an address, of a domain, or
/// all for an empty one, who are on their way in hear from now on what they may, or are refused.
pub(crate) fn look_again(room: &Room, whose: &str, cx: &mut Context<'_, '_>) -> Done {
    if cx.get(&CROWD, COMING_KEY)?.unwrap_or_default().seats == 0 {
        return Ok(());
    }
    let is_person = whose.contains('@');
    let turns = if is_person { turns_of(whose, cx)? } else { cx.all(&TURNS, u32::MAX)? };
    for (full, mut turn) in turns {
        let is_meant = is_person || whose.is_empty() || JidRef::trusted(&full).domain() == whose;
        if !turn.enters() || !is_meant {
            continue;
        }
        let guest = Guest::of(&full, &turn);
        let role = match enter::is_let_in(room, &guest, cx) {
            Ok(affiliation) => enter::role_of(room, affiliation, &guest, cx)?,
            Err(error) => {
                end(&full, cx)?;
                enter::refuse(&guest, &error, cx)?;
                continue;
            }
        };
        let sees = room.shows_to(role);
        if sees != turn.sees || (turn.is_hidden && role != Role::Moderator) {
            (turn.after, turn.is_hidden, turn.sees) = (String::new(), false, sees);
            place(&full, sees, cx)?;
            cx.put(&TURNS, &*full, &turn)?;
        }
    }
    Ok(())
}

/// Lists the turns of somebody's clients.
fn turns_of(bare: &str, cx: &mut Context<'_, '_>) -> Result<Vec<(String, Turn)>, StanzaError> {
    let to = Some(format!("{bare}0").into_bytes());
    let range = Range { to, limit: u32::MAX, reverse: false };
    cx.scan(&TURNS, format!("{bare}/").as_bytes(), &range)
}

/// Tells whether one more client of somebody may be on its way in.
pub(crate) fn has_place(
    guest: &Guest<'_>,
    most: usize,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let turns = turns_of(JidRef::trusted(guest.full).bare_str(), cx)?.into_iter();
    Ok(turns.filter(|(full, turn)| full != guest.full && turn.enters()).count() < most)
}

/// Puts a client on its way in among those who hear with addresses, or without.
fn place(full: &str, sees: bool, cx: &mut Context<'_, '_>) -> Done {
    let (table, other) = match sees {
        true => (&COMING_SEEING, &COMING_UNSEEING),
        false => (&COMING_UNSEEING, &COMING_SEEING),
    };
    cx.put(table, full, &Place)?;
    cx.delete(other, full)
}

/// A client that is on its way in shows something else, or wants another nickname.
pub(crate) fn change(guest: &Guest<'_>, mut turn: Turn, cx: &mut Context<'_, '_>) -> Done {
    guest.nick.clone_into(&mut turn.nick);
    turn.shown.clone_from(&guest.shown);
    turn.id = guest.id.map(str::to_owned);
    cx.put(&TURNS, guest.full, &turn)
}

/// A client that is on its way in does not come after all. Tells whether it was one.
pub(crate) fn turn_back(
    full: &str,
    note: &Note<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let Some(turn) = end(full, cx)?.filter(Turn::enters) else { return Ok(false) };
    dismiss_one(&Occupant::stranger(&turn.nick), full, ("", Role::None, note), cx)?;
    Ok(true)
}

/// Forgets how far a client has come.
pub(crate) fn end(full: &str, cx: &mut Context<'_, '_>) -> Result<Option<Turn>, StanzaError> {
    let turn = cx.get(&TURNS, full)?;
    if let Some(turn) = &turn {
        cx.delete(&TURNS, full)?;
        if turn.enters() {
            count(-1, cx)?;
            cx.delete(&COMING_SEEING, full)?;
            cx.delete(&COMING_UNSEEING, full)?;
        }
    }
    Ok(turn)
}

/// Counts those who are on their way in.
fn count(more: i32, cx: &mut Context<'_, '_>) -> Done {
    let mut coming = cx.get(&CROWD, COMING_KEY)?.unwrap_or_default();
    coming.seats = coming.seats.saturating_add_signed(more);
    cx.put(&CROWD, COMING_KEY, &coming)
}

/// Lists clients that are on their way in, with the nicknames that they want, and forgets all.
pub(crate) fn forget(cx: &mut Context<'_, '_>) -> Result<Vec<(String, String)>, StanzaError> {
    let mut coming = Vec::new();
    for (full, turn) in cx.all(&TURNS, u32::MAX)? {
        end(&full, cx)?;
        if turn.enters() {
            coming.push((full, turn.nick));
        }
    }
    Ok(coming)
}

/// Lists clients on their way in that have been shown those whom only moderators see.
pub(crate) fn that_see_all(cx: &mut Context<'_, '_>) -> Result<Vec<String>, StanzaError> {
    let coming = cx.get(&CROWD, COMING_KEY)?.unwrap_or_default();
    if coming.seats == 0 {
        return Ok(Vec::new());
    }
    let all = cx.all(&TURNS, u32::MAX)?.into_iter();
    let all = all.filter(|(_, turn)| turn.enters() && turn.is_hidden);
    Ok(all.map(|(full, _)| full).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_read_back() {
        let cookie = [COOKIE, &7_u64.to_le_bytes(), b"a@b/c"].concat();
        assert_eq!(read(&cookie), Some((7, "a@b/c")));
        assert_eq!(read(b"a@b/c\0id\0nick"), None);
        assert_eq!(read(b"\0turn1234"), None);
    }
}
