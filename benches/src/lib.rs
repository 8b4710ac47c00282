//! The module of the benches: it looks at stanzas that carry its mark, and lets them pass.

use calypte::prelude::*;

/// The namespace of the mark.
pub const NS: &str = "urn:calypte:bench";

/// Looks at what it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Watch;

calypte::export!(Watch);

impl Module for Watch {
    const NAME: &'static str = "watch";
    const ABOUT: &'static str = "Looks at stanzas that carry its mark.";
    const HOOKS: &'static [Hook<Self>] =
        &[Hook::payload(Place::Received, Phase::Admit, NS, "mark", Self::look)];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl Watch {
    #[expect(clippy::unused_self, reason = "the signature of a hook")]
    fn look(&self, stanza: &mut Passing<'_>, _: &mut Context<'_, '_>) -> HookResult {
        Ok(if stanza.ty == Some("forbidden") { Flow::Handled } else { Flow::Pass })
    }
}
