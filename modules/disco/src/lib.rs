//! Service discovery and entity capabilities.

use calypte::prelude::*;

/// Service discovery and entity capabilities.
#[derive(Debug)]
pub struct Disco;

calypte::export!(Disco);

impl Module for Disco {
    const NAME: &'static str = "disco";
    const ABOUT: &'static str = "Service discovery and entity capabilities.";
    const HOOKS: &'static [Hook<Self>] = &[];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}
