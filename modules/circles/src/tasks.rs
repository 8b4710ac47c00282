//! What the domain still has to tell accounts and rooms: it is kept until it was answered, so that nothing
//! is lost when the server stops, and done in small steps, in order.

use std::fmt;

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;

use crate::NS;
use crate::known::{self, Change};

/// What is to be told, by rising numbers.
const TASKS: Table<u64, Task> = Table::domain("circles.tasks");
/// How many requests are under way at once.
const AT_ONCE: u32 = 20;
/// When what was not answered is told again, in milliseconds: by then no answer comes any more.
const AGAIN_MS: u64 = 40_000;
/// How often.
const TRIES_MAX: u8 = 10;
/// The most that can wait when more is asked for.
const WAITING_MAX: u32 = 2000;
/// The most contacts of one word.
const CONTACTS_MAX: usize = 50;
/// The timer.
pub(crate) const WORK: &str = "work";

/// A request that is to be sent.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Task {
    to: String,
    payload: String,
    /// How often it was sent in vain.
    tries: u8,
}

record!(Task, 1);

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who is in a circle is nobody's business.
        f.debug_struct("Task").field("tries", &self.tries).finish_non_exhaustive()
    }
}

impl Task {
    /// Returns the request with this payload.
    pub(crate) fn new(to: &str, payload: &Element) -> Self {
        Self { to: to.to_owned(), payload: payload.to_xml(ns::CLIENT), tries: 0 }
    }
}

/// Returns what an account is told: whose contact it is, or is not any more, and of the room, where that
/// changes for it.
pub(crate) fn words(
    domain: &str,
    name: &str,
    (circle, change): (&str, Change),
    room: Option<&str>,
    who: &[String],
) -> Vec<Task> {
    let state = if change == Change::In { "in" } else { "out" };
    let others: Vec<_> = who.iter().filter(|other| *other != name).collect();
    let mut parts: Vec<&[&String]> = others.chunks(CONTACTS_MAX).collect();
    if parts.is_empty() && room.is_some() {
        parts.push(&[]);
    }
    let mut room = room;
    let mut words = Vec::new();
    for part in parts {
        let mut word =
            Element::new(NS, "circle").with_attr("name", circle).with_attr("state", state);
        if let Some(room) = room.take() {
            word.push_attr("room", room);
        }
        for other in part {
            word.push_child(Element::new(NS, "who").with_text(&format!("{other}@{domain}")));
        }
        words.push(Task::new(&format!("{name}@{domain}"), &word));
    }
    words
}

/// Tells whether more can be asked for.
///
/// # Errors
///
/// `resource-constraint` when much waits already.
pub(crate) fn check(cx: &mut Context<'_, '_>) -> Done {
    let range = Range { to: None, limit: WAITING_MAX, reverse: false };
    let waiting = cx.scan(&TASKS, &[], &range)?;
    if waiting.len() < usize::try_from(WAITING_MAX).unwrap_or(usize::MAX) {
        return Ok(());
    }
    let text = "much is still being done for circles; try again in some minutes";
    Err(StanzaError::RESOURCE_CONSTRAINT.with_text(text))
}

/// Adds to what is to be told.
pub(crate) fn add(cx: &mut Context<'_, '_>, new: Vec<Task>) -> Done {
    let last = cx.scan(&TASKS, &[], &Range { to: None, limit: 1, reverse: true })?;
    let last = last.first().map(|(last, _)| *last);
    // Late answers to numbers of before must not be for these.
    let mut number = last.unwrap_or(0).max(cx.now_ms().saturating_mul(1 << 12));
    for task in new {
        number = number.saturating_add(1);
        cx.put(&TASKS, &number, &task)?;
    }
    // Otherwise the answers to those before lead to these.
    if last.is_none() { work(cx) } else { Ok(()) }
}

/// Returns what is told next: what goes to rooms is over before accounts are told of it, and the other way
/// round.
fn next(cx: &mut Context<'_, '_>) -> Result<Vec<(u64, Task)>, StanzaError> {
    let range = Range { to: None, limit: AT_ONCE, reverse: false };
    let mut tasks = cx.scan(&TASKS, &[], &range)?;
    let domain = cx.domain();
    let is_to_account = |task: &Task| JidRef::trusted(&task.to).domain() == domain;
    let kind = tasks.first().map(|(_, task)| is_to_account(task));
    let others = tasks.iter().position(|(_, task)| Some(is_to_account(task)) != kind);
    tasks.truncate(others.unwrap_or(tasks.len()));
    Ok(tasks)
}

/// Tells what is next.
fn work(cx: &mut Context<'_, '_>) -> Done {
    let tasks = next(cx)?;
    let Some((last, _)) = tasks.last() else { return Ok(()) };
    for (number, task) in &tasks {
        let iq = Element::new(ns::CLIENT, "iq")
            .with_attr("type", "set")
            .with_attr("to", &task.to)
            .with_raw(task.payload.clone());
        cx.request(&iq, &crate::Cookie::Task { number: *number, last: *last }.write())?;
    }
    cx.wake_at(cx.now_ms().saturating_add(AGAIN_MS), WORK)
}

/// Tells what was not answered once more.
pub(crate) fn again(cx: &mut Context<'_, '_>) -> Done {
    for (number, mut task) in next(cx)? {
        task.tries = task.tries.saturating_add(1);
        if task.tries < TRIES_MAX {
            cx.put(&TASKS, &number, &task)?;
        } else {
            cx.delete(&TASKS, &number)?;
            cx.warn("an account or a room could not be told of its circle");
        }
    }
    work(cx)
}

/// An account or a room answered.
pub(crate) fn answered(
    (number, last): (u64, u64),
    answer: StanzaRef<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let error = answer.child(ns::CLIENT, "error").filter(|_| answer.is_error());
    if error.is_some_and(|error| error.attr("type").as_deref() == Some("wait")) {
        return Ok(());
    }
    if let Some(error) = error {
        cx.count("refused", 1)?;
        let is_gone = error.has_child(ns::STANZA_ERRORS, Condition::ItemNotFound.name());
        if let Some(task) = cx.get(&TASKS, &number)?.filter(|_| is_gone) {
            known::room_is_gone(cx, &task.to)?;
        }
    }
    cx.delete(&TASKS, &number)?;
    let range = Range { to: None, limit: 1, reverse: false };
    let left = cx.scan(&TASKS, &[], &range)?;
    let is_over = left.first().is_none_or(|(first, _)| *first > last);
    if is_over { work(cx) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let task = Task { to: "a@b".into(), payload: "<c/>".into(), tries: 3 };
        assert_eq!(TASKS.encode(&task), b"\x01\x03a@b\x04<c/>\x03");
        assert!(TASKS.decode(&TASKS.encode(&task)).unwrap() == task);
    }

    #[test]
    fn words_are_short() {
        let who: Vec<_> = (0..120).map(|number| format!("p{number}")).collect();
        let words = words("d", "p7", ("c", Change::In), Some("r@s"), &who);
        assert_eq!(words.len(), 3);
        let with = |text: &str| words.iter().filter(|word| word.payload.contains(text)).count();
        assert_eq!((with("r@s"), with("p7@d"), with("p119@d")), (1, 0, 1));
        let contacts: usize = words.iter().map(|word| word.payload.matches("<who>").count()).sum();
        assert_eq!(contacts, 119);
    }
}
