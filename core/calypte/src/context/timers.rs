//! Times at which modules want to be called.

use xmpp::StanzaError;

use super::Context;
use crate::wire::op;

impl Context<'_, '_> {
    /// Calls the module's `wake` hook for the owner at a time, in milliseconds since 1970.
    ///
    /// A time given again under the same name replaces the earlier one. Times survive a restart.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn wake_at(&mut self, ms: u64, name: &str) -> Result<(), StanzaError> {
        self.op(op::WAKE, &ms.to_le_bytes(), name.as_bytes()).map(drop)
    }

    /// Forgets the time asked for under a name. There need not be one.
    ///
    /// # Errors
    ///
    /// Our own fault only.
    pub fn no_wake(&mut self, name: &str) -> Result<(), StanzaError> {
        self.op(op::WAKE, &[], name.as_bytes()).map(drop)
    }
}
