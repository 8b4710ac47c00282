//! The contact list and its subscriptions.

use calypte::prelude::*;

/// The contact list and its subscriptions.
#[derive(Debug)]
pub struct Roster;

calypte::export!(Roster);

impl Module for Roster {
    const NAME: &'static str = "roster";
    const ABOUT: &'static str = "The contact list and its subscriptions.";
    const HOOKS: &'static [Hook<Self>] = &[];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}
