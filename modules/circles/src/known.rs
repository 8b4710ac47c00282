//! Who is in which circle.

use calypte::notice::CircleWish;
use calypte::prelude::*;
use calypte::wire::Range;
use tables::{ACCOUNTS, CIRCLES, Circle, CircleMember};

use crate::tasks::{self, Task};
use crate::{Circles, room};

/// The most circles of a server.
pub(crate) const CIRCLES_MAX: u32 = 200;
/// The most people in a circle: each is a contact of each.
pub(crate) const MEMBERS_MAX: usize = 200;
/// How many circles are looked at in one step for members whose account is gone, and when the next are, in
/// milliseconds.
const LOOKED_AT: u32 = 10;
const LOOK_PAUSE_MS: u64 = 100;
/// The name of the timer for that begins with this, then comes the last one that was looked at.
pub(crate) const LOOK: &str = "look ";

/// Whether something begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    In,
    Out,
}

/// Lists the local parts of who is in it.
pub(crate) fn names(circle: &Circle) -> Vec<String> {
    circle.members.iter().map(|member| member.name.clone()).collect()
}

/// Tells whether somebody is in it.
pub(crate) fn has(circle: &Circle, name: &str) -> bool {
    circle.members.iter().any(|member| member.name == name)
}

/// Returns the address of the room where it is the circle's own.
fn own_room(circle: &Circle) -> Option<&str> {
    circle.room.as_deref().filter(|_| circle.is_own)
}

/// A circle that is about to change, and what is to be told of that.
pub(crate) struct Changing<'a> {
    name: &'a str,
    pub(crate) circle: Circle,
    tasks: Vec<Task>,
    domain: String,
}

impl<'a> Changing<'a> {
    pub(crate) fn new(cx: &Context<'_, '_>, name: &'a str, circle: Circle) -> Self {
        Self { name, circle, tasks: Vec::new(), domain: cx.domain().to_owned() }
    }

    /// Takes people in. Who is in it already stays.
    pub(crate) fn take_in(&mut self, now_ms: u64, mut people: Vec<String>) -> Done {
        people.sort_unstable();
        people.dedup();
        people.retain(|name| !has(&self.circle, name));
        if self.circle.members.len().saturating_add(people.len()) > MEMBERS_MAX {
            let text = format!("a circle has at most {MEMBERS_MAX} people");
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(text));
        }
        let before = names(&self.circle);
        let new = people.iter().map(|name| CircleMember { name: name.clone(), since_ms: now_ms });
        self.circle.members.extend(new);
        self.circle.members.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let (all, room) = (names(&self.circle), self.circle.room.clone());
        self.seat(&people, Change::In);
        self.tell(&people, Change::In, room.as_deref(), &all);
        self.tell(&before, Change::In, None, &people);
        Ok(())
    }

    /// Lets people go that are in it. Of those who are no accounts any more only the others hear.
    pub(crate) fn let_go(&mut self, people: &[String], has_accounts: bool) {
        let all = names(&self.circle);
        self.circle.members.retain(|member| !people.contains(&member.name));
        let (left, room) = (names(&self.circle), self.circle.room.clone());
        self.seat(people, Change::Out);
        if has_accounts {
            self.tell(people, Change::Out, room.as_deref(), &all);
        }
        self.tell(&left, Change::Out, None, people);
    }

    /// Gives it another room, or none. A room of its own ends when it has it no more.
    pub(crate) fn move_to(&mut self, room: Option<String>, is_own: bool) {
        if room == self.circle.room {
            return;
        }
        let all = names(&self.circle);
        let before = self.circle.clone();
        (self.circle.room, self.circle.is_own) = (room.clone(), is_own);
        self.seat(&all, Change::In);
        for (change, room) in [(Change::Out, &before.room), (Change::In, &room)] {
            if let Some(room) = room {
                self.tell(&all, change, Some(room), &[]);
            }
        }
        self.tasks.extend(own_room(&before).map(|room| Task::new(room, &room::end())));
    }

    /// Everybody leaves, and it ends.
    pub(crate) fn end(mut self, cx: &mut Context<'_, '_>) -> Done {
        let (all, room) = (names(&self.circle), self.circle.room.clone());
        self.tell(&all, Change::Out, room.as_deref(), &all);
        self.tasks.extend(own_room(&self.circle).map(|room| Task::new(room, &room::end())));
        cx.delete(&CIRCLES, self.name)?;
        tasks::add(cx, self.tasks)
    }

    /// Writes it, and has told what is to be told.
    pub(crate) fn keep(self, cx: &mut Context<'_, '_>) -> Done {
        cx.put(&CIRCLES, self.name, &self.circle)?;
        tasks::add(cx, self.tasks)
    }

    /// People become members of its own room, or are none any more.
    fn seat(&mut self, people: &[String], change: Change) {
        let room = own_room(&self.circle).filter(|_| !people.is_empty());
        let seats = |room: &str| Task::new(room, &room::seats(&self.domain, people, change));
        let task = room.map(seats);
        self.tasks.extend(task);
    }

    /// People hear of a change of their contacts and of the room.
    fn tell(&mut self, people: &[String], change: Change, room: Option<&str>, who: &[String]) {
        for name in people {
            self.tasks.extend(tasks::words(&self.domain, name, (self.name, change), room, who));
        }
    }
}

/// The operator destroyed the room of a circle: it has none any more.
pub(crate) fn room_is_gone(cx: &mut Context<'_, '_>, address: &str) -> Done {
    for (name, circle) in cx.all(&CIRCLES, CIRCLES_MAX)? {
        if own_room(&circle) == Some(address) {
            let mut changing = Changing::new(cx, &name, Circle { is_own: false, ..circle });
            changing.move_to(None, false);
            changing.keep(cx)?;
        }
    }
    Ok(())
}

impl Circles {
    /// The domain hears that an account ends.
    pub(crate) fn gone(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        // A client's messages carry its resource, but not its wishes to see somebody's presence.
        let from = message.from.filter(|from| from.is_bare() && from.domain() == cx.domain());
        let is_ours = message.kind == Kind::Message && cx.owner().as_str() == cx.domain();
        let Some(name) = from.and_then(JidRef::local).filter(|_| is_ours) else {
            return Ok(Flow::Handled);
        };
        let people = [name.to_owned()];
        for (circle, known) in cx.all(&CIRCLES, CIRCLES_MAX)? {
            if has(&known, name) {
                let mut changing = Changing::new(cx, &circle, known);
                changing.let_go(&people, false);
                changing.keep(cx)?;
            }
        }
        Ok(Flow::Handled)
    }

    /// Somebody made an account with an invitation to a circle.
    pub(crate) fn wish(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let CircleWish { circle, member } = notified.read()?;
        let is_there = cx.get(&ACCOUNTS, &*member)?.is_some();
        let known = cx.get(&CIRCLES, &*circle)?.filter(|_| is_there);
        let mut changing = known.map(|known| Changing::new(cx, &circle, known));
        let now_ms = cx.now_ms();
        let taken_in = changing.as_mut().map(|circle| circle.take_in(now_ms, vec![member]));
        if let (Some(Ok(())), Some(changing)) = (taken_in, changing) {
            return changing.keep(cx);
        }
        // The invitation was good, and the account is there.
        cx.warn("somebody was invited to a circle that is no more, or is full");
        Ok(())
    }

    /// Lets those go whose account was removed while nobody heard of it, some circles at a time.
    pub(crate) fn look(&self, cx: &mut Context<'_, '_>, last: Option<&str>) -> Done {
        let from = last.map(|last| [last.as_bytes(), &[0]].concat()).unwrap_or_default();
        let range = Range { to: None, limit: LOOKED_AT, reverse: false };
        let circles = cx.scan(&CIRCLES, &from, &range)?;
        let is_last = circles.len() < usize::try_from(LOOKED_AT).unwrap_or(usize::MAX);
        let next = circles.last().map(|(name, _)| format!("{LOOK}{name}"));
        for (circle, known) in circles {
            let mut gone = Vec::new();
            for member in &known.members {
                let account = cx.get(&ACCOUNTS, &*member.name)?;
                if account.is_none_or(|account| account.created_ms > member.since_ms) {
                    gone.push(member.name.clone());
                }
            }
            if !gone.is_empty() {
                let mut changing = Changing::new(cx, &circle, known);
                changing.let_go(&gone, false);
                changing.keep(cx)?;
            }
        }
        match next.filter(|_| !is_last) {
            Some(next) => cx.wake_at(cx.now_ms().saturating_add(LOOK_PAUSE_MS), &next),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_has_bounds() {
        let circle = Circle { room: Some("r@s".into()), is_own: true, ..Circle::default() };
        let mut changing =
            Changing { name: "house", circle, tasks: Vec::new(), domain: "d".to_owned() };
        let people = (0..MEMBERS_MAX).map(|number| format!("p{number}")).collect();
        changing.take_in(1, people).unwrap();
        // One for the room; for each, in words of 50, the others.
        assert_eq!(changing.tasks.len(), 1 + MEMBERS_MAX * 4);
        changing.take_in(2, vec!["p7".to_owned()]).unwrap();
        assert_eq!(changing.tasks.len(), 1 + MEMBERS_MAX * 4);
        let full = changing.take_in(2, vec!["late".to_owned()]).unwrap_err();
        assert_eq!(full.condition, Condition::ResourceConstraint);
        changing.let_go(&["p7".to_owned()], true);
        changing.take_in(2, vec!["late".to_owned()]).unwrap();
    }
}
