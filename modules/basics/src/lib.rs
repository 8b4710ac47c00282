//! Ping, version, time and last activity.

use calypte::prelude::*;

/// Ping, version, time and last activity.
#[derive(Debug)]
pub struct Basics;

calypte::export!(Basics);

impl Module for Basics {
    const NAME: &'static str = "basics";
    const ABOUT: &'static str = "Ping, version, time and last activity.";
    const HOOKS: &'static [Hook<Self>] = &[];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}
