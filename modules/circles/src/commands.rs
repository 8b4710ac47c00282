//! What the operator does with circles.

use calypte::prelude::*;
use tables::{ACCOUNTS, CIRCLES, Circle};

use crate::known::{CIRCLES_MAX, Changing, has, names};
use crate::{Circles, Cookie, room, tasks};

/// The longest name of a circle, in bytes.
const NAME_BYTES_MAX: usize = 100;

impl Circles {
    /// Shows all circles.
    pub(crate) fn list(&self, _: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let all = cx.all(&CIRCLES, CIRCLES_MAX)?;
        if all.is_empty() {
            return Ok(Outcome::said("There is no circle.").into());
        }
        let line = |(name, circle): &(String, Circle)| {
            let room = circle.room.as_deref().map(|room| format!(", room {room}"));
            let members = circle.members.len();
            format!("{name}: {members} people{}", room.unwrap_or_default())
        };
        Ok(Outcome::said(all.iter().map(line).collect::<Vec<_>>().join("\n")).into())
    }

    /// Shows who is in a circle.
    pub(crate) fn show(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(name) = said(asked, "name") else { return Ok(form("Show a circle", &[]).into()) };
        let circle = known(cx, name)?;
        let text = match circle.members.is_empty() {
            true => "Nobody is in it.".to_owned(),
            false => names(&circle).join("\n"),
        };
        Ok(Outcome::said(text).into())
    }

    /// Makes a circle.
    pub(crate) fn make(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(name) = said(asked, "name") else {
            return Ok(form("Make a circle", &[ROOM, NO_ROOM]).into());
        };
        if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let text = format!("a name is a line of at most {NAME_BYTES_MAX} bytes");
            return Err(StanzaError::NOT_ACCEPTABLE.with_text(text));
        }
        check_new(cx, name)?;
        let room = said(asked, "room").map(room_address).transpose()?;
        if room.is_none()
            && !is_set(asked, "no-room")
            && let Some(address) = room::address(cx, name)?
        {
            return begin_room(cx, name, address, true);
        }
        cx.put(&CIRCLES, name, &Circle { room, ..Circle::default() })?;
        Ok(Outcome::said("The circle is there.").into())
    }

    /// Ends a circle.
    pub(crate) fn end(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(name) = said(asked, "name") else { return Ok(form("End a circle", &[]).into()) };
        tasks::check(cx)?;
        let circle = known(cx, name)?;
        Changing::new(cx, name, circle).end(cx)?;
        Ok(Outcome::said("The circle is no more.").into())
    }

    /// Adds people.
    pub(crate) fn join(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some((name, people)) = people(asked, cx)? else {
            return Ok(form("Add people to a circle", &[MEMBER]).into());
        };
        let circle = known(cx, name)?;
        tasks::check(cx)?;
        for one in &people {
            if cx.get(&ACCOUNTS, &**one)?.is_none() {
                let text = format!("there is no account {one}");
                return Err(StanzaError::ITEM_NOT_FOUND.with_text(text));
            }
        }
        let mut changing = Changing::new(cx, name, circle);
        changing.take_in(cx.now_ms(), people)?;
        let count = changing.circle.members.len();
        changing.keep(cx)?;
        Ok(Outcome::said(format!("{count} people are in it.")).into())
    }

    /// Removes people.
    pub(crate) fn leave(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some((name, people)) = people(asked, cx)? else {
            return Ok(form("Remove people from a circle", &[MEMBER]).into());
        };
        let circle = known(cx, name)?;
        tasks::check(cx)?;
        if let Some(stranger) = people.iter().find(|one| !has(&circle, one)) {
            let text = format!("{stranger} is not in it");
            return Err(StanzaError::ITEM_NOT_FOUND.with_text(text));
        }
        let mut changing = Changing::new(cx, name, circle);
        changing.let_go(&people, true);
        let count = changing.circle.members.len();
        changing.keep(cx)?;
        Ok(Outcome::said(format!("{count} people are in it.")).into())
    }

    /// Gives a circle another room, or none.
    pub(crate) fn room(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(name) = said(asked, "name") else {
            return Ok(form("Give a circle a room", &[ROOM, OWN_ROOM]).into());
        };
        let circle = known(cx, name)?;
        tasks::check(cx)?;
        let room = said(asked, "room").map(room_address).transpose()?;
        if room.is_none() && is_set(asked, "own") {
            if circle.is_own {
                return Ok(Outcome::said("It has a room of its own.").into());
            }
            let text = "there are no rooms: module `rooms` does not run";
            let address = room::address(cx, name)?;
            let address = address.ok_or_else(|| StanzaError::NOT_ALLOWED.with_text(text))?;
            return begin_room(cx, name, address, false);
        }
        let mut changing = Changing::new(cx, name, circle);
        changing.move_to(room, false);
        changing.keep(cx)?;
        Ok(Outcome::said("The room is another now.").into())
    }

    /// The room that a circle is to have was made, or was not.
    pub(crate) fn room_made(
        cx: &mut Context<'_, '_>,
        (name, address): (String, String),
        is_new: bool,
        is_made: bool,
    ) -> CommandResult {
        if !is_made {
            let text =
                "Its room could not be made, and nothing was changed. Does module `rooms` run?";
            return Ok(Outcome::failed(text).into());
        }
        let text = if is_new { "The circle is there" } else { "The room is another now" };
        let text = format!("{text}. Its room is {address}.");
        let circle = if is_new {
            check_new(cx, &name)?;
            Circle::default()
        } else {
            known(cx, &name)?
        };
        let mut changing = Changing::new(cx, &name, circle);
        changing.move_to(Some(address), true);
        changing.keep(cx)?;
        Ok(Outcome::said(text).into())
    }
}

/// Asks for the room that a circle is to have.
fn begin_room(
    cx: &mut Context<'_, '_>,
    circle: &str,
    address: String,
    is_new: bool,
) -> CommandResult {
    let iq = Element::new(ns::CLIENT, "iq")
        .with_attr("type", "set")
        .with_attr("to", &address)
        .with_child(room::make(circle));
    let ticket = cx.later()?;
    let cookie = Cookie::Room { ticket, circle: circle.to_owned(), address, is_new };
    cx.request(&iq, &cookie.write())?;
    Ok(CommandReply::Later)
}

/// Tells whether a circle of this name can be made.
fn check_new(cx: &mut Context<'_, '_>, name: &str) -> Done {
    if cx.get(&CIRCLES, name)?.is_some() {
        return Err(StanzaError::CONFLICT.with_text("there is a circle of that name"));
    }
    let most = usize::try_from(CIRCLES_MAX).unwrap_or(usize::MAX);
    if cx.all(&CIRCLES, CIRCLES_MAX)?.len() >= most {
        let text = format!("there are {CIRCLES_MAX} circles already");
        return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(text));
    }
    Ok(())
}

const NO_ROOM: (&str, &str, FieldKind) = ("no-room", "It has no room", FieldKind::Flag);
const OWN_ROOM: (&str, &str, FieldKind) = ("own", "A room is made for it", FieldKind::Flag);
const ROOM: (&str, &str, FieldKind) = ("room", "A room that is there already", FieldKind::Address);
const MEMBER: (&str, &str, FieldKind) = ("member", "Who", FieldKind::Addresses);

fn form(title: &str, fields: &[(&str, &str, FieldKind)]) -> Form {
    let name = Field::new("name", "Name of the circle", FieldKind::Text).required();
    let mut form = Form::new(title, "").with(name);
    for (name, label, kind) in fields {
        form = form.with(Field::new(name, label, kind.clone()));
    }
    form
}

fn said<'a>(asked: &Asked<'a>, name: &str) -> Option<&'a str> {
    asked.field(name).map(str::trim).filter(|text| !text.is_empty())
}

fn is_set(asked: &Asked<'_>, name: &str) -> bool {
    matches!(said(asked, name), Some("1" | "true"))
}

fn known(cx: &mut Context<'_, '_>, name: &str) -> Result<Circle, StanzaError> {
    let text = "there is no circle of that name; `circles` shows all";
    cx.get(&CIRCLES, name)?.ok_or_else(|| StanzaError::ITEM_NOT_FOUND.with_text(text))
}

/// Returns the circle and the local parts of whom a command is about; `None`: something is missing.
fn people<'a>(
    asked: &Asked<'a>,
    cx: &Context<'_, '_>,
) -> Result<Option<(&'a str, Vec<String>)>, StanzaError> {
    let Some(name) = said(asked, "name") else { return Ok(None) };
    let mut people = Vec::new();
    for given in asked.values("member").into_iter().filter(|given| !given.trim().is_empty()) {
        let given = given.trim();
        let whole =
            if given.contains('@') { given.to_owned() } else { format!("{given}@{}", cx.domain()) };
        let jid = Jid::parse(&whole).map_err(|_| StanzaError::JID_MALFORMED)?;
        match jid.local().filter(|_| jid.is_bare() && jid.domain() == cx.domain()) {
            Some(local) => people.push(local.to_owned()),
            None => {
                return Err(
                    StanzaError::JID_MALFORMED.with_text("an account of this server is needed")
                );
            }
        }
    }
    Ok(Some((name, people)).filter(|(_, people)| !people.is_empty()))
}

fn room_address(address: &str) -> Result<String, StanzaError> {
    let jid = Jid::parse(address).ok().filter(|jid| jid.is_bare() && jid.local().is_some());
    let text = "the address of a room is needed, such as orchard@rooms.chat.example";
    jid.map(|jid| jid.to_string()).ok_or_else(|| StanzaError::JID_MALFORMED.with_text(text))
}
