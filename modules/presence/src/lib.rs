//! Who is online, told to those who may know.

use calypte::prelude::*;

/// Who is online, told to those who may know.
#[derive(Debug)]
pub struct Presence;

calypte::export!(Presence);

impl Module for Presence {
    const NAME: &'static str = "presence";
    const ABOUT: &'static str = "Who is online, told to those who may know.";
    const HOOKS: &'static [Hook<Self>] = &[];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}
