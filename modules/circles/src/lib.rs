//! Circles: groups of people that the operator makes. Who is in one has the others as contacts, in a group
//! of its name, and its room among the bookmarks.
//!
//! The domain knows who is in which circle, and tells each account what becomes of its contacts, and the
//! room of the circle who is a member. An account notes which contacts it has by circles, so that what it
//! had before stays when it leaves.

mod commands;
mod known;
mod own;
mod room;
mod tasks;

use bincode::{Decode, Encode};
use calypte::Ticket;
use calypte::notice::{AccountEnds, CircleWish, Notice as _};
use calypte::prelude::*;

/// The namespace of what the domain and its accounts tell each other.
pub(crate) const NS: &str = "urn:calypte:circles:0";

/// Keeps circles.
#[derive(Debug)]
pub struct Circles;

calypte::export!(Circles);

/// One of the operator's commands.
macro_rules! admin {
    ($node:literal, $title:literal, $run:expr) => {
        Hook::form_command($node, $title, Who::Admin, $run)
    };
}

impl Module for Circles {
    const NAME: &'static str = "circles";
    const ABOUT: &'static str = "Groups of people who have each other as contacts.";
    const HOOKS: &'static [Hook<Self>] = &[
        admin!("circles", "Show circles", Self::list),
        admin!("circle-show", "Show who is in a circle", Self::show),
        admin!("circle-make", "Make a circle", Self::make),
        admin!("circle-end", "End a circle", Self::end),
        admin!("circle-join", "Add people to a circle", Self::join),
        admin!("circle-leave", "Remove people from a circle", Self::leave),
        admin!("circle-room", "Give a circle a room", Self::room),
        Hook::started(Self::started),
        Hook::wake(Self::wake),
        Hook::answer(Self::answered),
        Hook::iq_set(On::AccountFromAnyone, NS, "circle", Self::told),
        Hook::payload(Place::Received, Phase::Admit, NS, "gone", Self::gone),
        Hook::notice(AccountEnds::NAME, Self::account_ends),
        Hook::notice(CircleWish::NAME, Self::wish),
    ];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

/// What a request of the domain was about.
#[derive(Debug, Encode, Decode)]
pub(crate) enum Cookie {
    /// One of those that are told together: its number, and that of the last of them.
    Task { number: u64, last: u64 },
    /// A room is made for a circle that is made too, or has another one or none.
    Room { ticket: Ticket, circle: String, address: String, is_new: bool },
}

impl Cookie {
    pub(crate) fn write(&self) -> Vec<u8> {
        calypte::wire::encode(self)
    }
}

impl Circles {
    /// The server runs: what was going on when it stopped goes on.
    fn started(&self, cx: &mut Context<'_, '_>) -> Done {
        cx.wake_at(cx.now_ms(), tasks::WORK)?;
        cx.wake_at(cx.now_ms(), known::LOOK)
    }

    fn wake(&self, name: &str, cx: &mut Context<'_, '_>) -> Done {
        match name.strip_prefix(known::LOOK) {
            Some(last) => self.look(cx, Some(last).filter(|last| !last.is_empty())),
            None => tasks::again(cx),
        }
    }

    fn answered(&self, cookie: &[u8], answer: StanzaRef<'_>, cx: &mut Context<'_, '_>) -> Done {
        match calypte::wire::decode(cookie).ok_or(StanzaError::INTERNAL)? {
            Cookie::Task { number, last } => tasks::answered((number, last), answer, cx),
            Cookie::Room { ticket, circle, address, is_new } => {
                let is_made = !answer.is_error();
                let result = Self::room_made(cx, (circle, address), is_new, is_made);
                cx.answer_command(ticket, result)
            }
        }
    }
}
