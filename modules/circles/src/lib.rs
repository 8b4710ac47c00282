//! Circles: groups of people that the operator makes. Who is in one has the others as contacts, in a group
//! of its name, and its room among the bookmarks.
//!
//! The domain knows who is in which circle, and tells each account what becomes of its contacts. An account
//! notes which contacts it has by circles, so that what it had before stays when it leaves.

mod commands;
mod known;
mod own;

use calypte::notice::{AccountEnds, Notice as _};
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
        Hook::payload(Place::Received, Phase::Admit, NS, "circle", Self::told),
        Hook::payload(Place::Received, Phase::Admit, NS, "gone", Self::gone),
        Hook::notice(AccountEnds::NAME, Self::account_ends),
    ];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}
