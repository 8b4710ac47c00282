//! Messages wait for people who are away.

use calypte::prelude::*;

/// Messages wait for people who are away.
#[derive(Debug)]
pub struct Offline;

calypte::export!(Offline);

impl Module for Offline {
    const NAME: &'static str = "offline";
    const ABOUT: &'static str = "Messages wait for people who are away.";
    const HOOKS: &'static [Hook<Self>] = &[];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}
