//! Who is in which circle, and what accounts are told of it.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::{Circles, NS};

/// Circles, by their names.
pub(crate) const CIRCLES: Table<str, Circle> = Table::domain("circles.known");
/// The most circles of a server.
pub(crate) const CIRCLES_MAX: u32 = 200;
/// The most people in a circle: each is a contact of each.
pub(crate) const MEMBERS_MAX: usize = 200;

/// A circle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Circle {
    /// The address of its room.
    pub(crate) room: Option<String>,
    /// The local parts of who is in it, in order.
    pub(crate) members: Vec<String>,
}

record!(Circle, 1);

/// Whether something begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    In,
    Out,
}

/// What an account is told.
#[derive(Debug)]
pub(crate) struct Word<'a> {
    pub(crate) circle: &'a str,
    pub(crate) change: Change,
    /// The room, where that changes for the account.
    pub(crate) room: Option<&'a str>,
    /// Whose contact the account is, or is not any more.
    pub(crate) who: &'a [String],
}

impl Word<'_> {
    /// Tells an account.
    pub(crate) fn tell(&self, cx: &mut Context<'_, '_>, member: &str) -> Done {
        let domain = cx.domain().to_owned();
        let state = if self.change == Change::In { "in" } else { "out" };
        let mut word =
            Element::new(NS, "circle").with_attr("name", self.circle).with_attr("state", state);
        if let Some(room) = self.room {
            word.push_attr("room", room);
        }
        for who in self.who.iter().filter(|who| *who != member) {
            word.push_child(Element::new(NS, "who").with_text(&format!("{who}@{domain}")));
        }
        let message = Element::new(ns::CLIENT, "message")
            .with_attr("to", &format!("{member}@{domain}"))
            .with_attr("type", "headline");
        cx.send(&message.with_child(word))
    }
}

impl Circle {
    /// Takes somebody in. Who is in it already stays.
    pub(crate) fn take_in(&mut self, cx: &mut Context<'_, '_>, name: &str, member: &str) -> Done {
        let Err(at) = self.members.binary_search_by(|one| one.as_str().cmp(member)) else {
            return Ok(());
        };
        self.both_ways(cx, (name, Change::In), member)?;
        self.members.insert(at, member.to_owned());
        Ok(())
    }

    /// Lets somebody go, and tells whether anybody went.
    pub(crate) fn let_go(
        &mut self,
        cx: &mut Context<'_, '_>,
        name: &str,
        member: &str,
    ) -> Result<bool, StanzaError> {
        let before = self.members.len();
        self.members.retain(|one| one != member);
        if self.members.len() == before {
            return Ok(false);
        }
        self.both_ways(cx, (name, Change::Out), member)?;
        Ok(true)
    }

    fn both_ways(
        &self,
        cx: &mut Context<'_, '_>,
        (circle, change): (&str, Change),
        member: &str,
    ) -> Done {
        let (room, who) = (self.room.as_deref(), &*self.members);
        Word { circle, change, room, who }.tell(cx, member)?;
        let own = [member.to_owned()];
        for other in &self.members {
            Word { circle, change, room: None, who: &own }.tell(cx, other)?;
        }
        Ok(())
    }
}

impl Circles {
    /// The domain hears that an account ends.
    pub(crate) fn gone(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        // A client's words carry its resource.
        let from = message.from.filter(|from| from.is_bare() && from.domain() == cx.domain());
        let is_ours = cx.owner().as_str() == cx.domain();
        let Some(member) = from.and_then(JidRef::local).filter(|_| is_ours) else {
            return Ok(Flow::Handled);
        };
        let member = member.to_owned();
        for (name, mut circle) in cx.all(&CIRCLES, CIRCLES_MAX)? {
            if circle.let_go(cx, &name, &member)? {
                cx.put(&CIRCLES, &*name, &circle)?;
            }
        }
        Ok(Flow::Handled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let circle = Circle { room: Some("r@s".into()), members: vec!["a".into(), "b".into()] };
        assert_eq!(CIRCLES.encode(&circle), b"\x01\x01\x03r@s\x02\x01a\x01b");
        assert_eq!(CIRCLES.decode(&CIRCLES.encode(&circle)).unwrap(), circle);
    }
}
