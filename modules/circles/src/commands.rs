//! What the operator does with circles.

use calypte::prelude::*;
use tables::ACCOUNTS;

use crate::Circles;
use crate::known::{CIRCLES, CIRCLES_MAX, Change, Circle, MEMBERS_MAX, Word};

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
            false => circle.members.join("\n"),
        };
        Ok(Outcome::said(text).into())
    }

    /// Makes a circle.
    pub(crate) fn make(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(name) = said(asked, "name") else {
            return Ok(form("Make a circle", &[ROOM]).into());
        };
        if name.len() > NAME_BYTES_MAX {
            let text = format!("a name has at most {NAME_BYTES_MAX} bytes");
            return Err(StanzaError::NOT_ACCEPTABLE.with_text(text));
        }
        if cx.get(&CIRCLES, name)?.is_some() {
            return Err(StanzaError::CONFLICT.with_text("there is a circle of that name"));
        }
        let most = usize::try_from(CIRCLES_MAX).unwrap_or(usize::MAX);
        if cx.all(&CIRCLES, CIRCLES_MAX)?.len() >= most {
            let text = format!("there are {CIRCLES_MAX} circles already");
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(text));
        }
        let room = said(asked, "room").map(room).transpose()?;
        cx.put(&CIRCLES, name, &Circle { room, members: Vec::new() })?;
        Ok(Outcome::said("The circle is there.").into())
    }

    /// Ends a circle.
    pub(crate) fn end(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(name) = said(asked, "name") else { return Ok(form("End a circle", &[]).into()) };
        let Circle { room, members } = known(cx, name)?;
        cx.delete(&CIRCLES, name)?;
        let word = Word { circle: name, change: Change::Out, room: room.as_deref(), who: &members };
        for member in &members {
            word.tell(cx, member)?;
        }
        Ok(Outcome::said("The circle is no more.").into())
    }

    /// Adds people.
    pub(crate) fn join(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some((name, members)) = people(asked, cx)? else {
            return Ok(form("Add people to a circle", &[MEMBER]).into());
        };
        let mut circle = known(cx, name)?;
        for member in members {
            if cx.get(&ACCOUNTS, &*member)?.is_none() {
                let text = format!("there is no account {member}");
                return Err(StanzaError::ITEM_NOT_FOUND.with_text(text));
            }
            circle.take_in(cx, name, &member)?;
        }
        if circle.members.len() > MEMBERS_MAX {
            let text = format!("a circle has at most {MEMBERS_MAX} people");
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(text));
        }
        cx.put(&CIRCLES, name, &circle)?;
        Ok(Outcome::said(format!("{} people are in it.", circle.members.len())).into())
    }

    /// Removes people.
    pub(crate) fn leave(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some((name, members)) = people(asked, cx)? else {
            return Ok(form("Remove people from a circle", &[MEMBER]).into());
        };
        let mut circle = known(cx, name)?;
        for member in members {
            if !circle.let_go(cx, name, &member)? {
                let text = format!("{member} is not in it");
                return Err(StanzaError::ITEM_NOT_FOUND.with_text(text));
            }
        }
        cx.put(&CIRCLES, name, &circle)?;
        Ok(Outcome::said(format!("{} people are in it.", circle.members.len())).into())
    }

    /// Gives a circle another room, or none.
    pub(crate) fn room(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(name) = said(asked, "name") else {
            return Ok(form("Give a circle a room", &[ROOM]).into());
        };
        let mut circle = known(cx, name)?;
        let new = said(asked, "room").map(room).transpose()?;
        let old = std::mem::replace(&mut circle.room, new);
        if circle.room != old {
            let changes = [(Change::Out, old.as_deref()), (Change::In, circle.room.as_deref())];
            for (change, room) in changes.into_iter().filter(|(_, room)| room.is_some()) {
                for member in &circle.members {
                    Word { circle: name, change, room, who: &[] }.tell(cx, member)?;
                }
            }
            cx.put(&CIRCLES, name, &circle)?;
        }
        Ok(Outcome::said("The room is another now.").into())
    }
}

const ROOM: (&str, &str, FieldKind) = ("room", "Address of its room", FieldKind::Address);
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
    let mut members = Vec::new();
    for given in asked.values("member").into_iter().filter(|given| !given.trim().is_empty()) {
        let given = given.trim();
        let whole =
            if given.contains('@') { given.to_owned() } else { format!("{given}@{}", cx.domain()) };
        let jid = Jid::parse(&whole).map_err(|_| StanzaError::JID_MALFORMED)?;
        match jid.local().filter(|_| jid.is_bare() && jid.domain() == cx.domain()) {
            Some(local) => members.push(local.to_owned()),
            None => {
                return Err(
                    StanzaError::JID_MALFORMED.with_text("an account of this server is needed")
                );
            }
        }
    }
    Ok(Some((name, members)).filter(|(_, members)| !members.is_empty()))
}

fn room(address: &str) -> Result<String, StanzaError> {
    let jid = Jid::parse(address).ok().filter(|jid| jid.is_bare() && jid.local().is_some());
    let text = "the address of a room is needed, such as orchard@rooms.chat.example";
    jid.map(|jid| jid.to_string()).ok_or_else(|| StanzaError::JID_MALFORMED.with_text(text))
}
