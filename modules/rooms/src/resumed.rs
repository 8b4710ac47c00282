//! Clients that come back after the server was started anew.
//!
//! They think that they are still in their rooms, where nobody knows of them any more. They are told,
//! so that they enter again (§14.2).

use calypte::prelude::*;

use crate::Rooms;

/// The value of a session that entered a room: the run of the server in which it did.
const ENTERED: &str = "rooms.entered";
/// The value of a session that holds whom it showed itself to, with NUL between them; module `presence`
/// writes it.
const DIRECTED: &str = "presence.directed";

impl Rooms {
    /// A client of this server enters a room.
    pub(crate) fn entering(
        &self,
        presence: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        let is_here = presence.to.is_some_and(|to| to.domain() == self.service(cx));
        if is_here && presence.kind == Kind::Presence {
            let (_, _, started_ms) = cx.software()?;
            let session = cx.session()?;
            if run_of(&session.values) != Some(started_ms) {
                cx.set_value(ENTERED, &started_ms.to_le_bytes())?;
            }
        }
        Ok(Flow::Pass)
    }

    /// A client came back.
    pub(crate) fn resumed(&self, cx: &mut Context<'_, '_>) -> Done {
        let session = cx.session()?;
        let (_, _, started_ms) = cx.software()?;
        if run_of(&session.values).is_none_or(|run| run == started_ms) {
            return Ok(());
        }
        let service = self.service(cx);
        let rooms = session.values.iter().find(|(name, _)| name == DIRECTED);
        let rooms = rooms.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or("");
        for address in rooms.split('\0').map(JidRef::trusted) {
            if address.domain() != service || address.resource().is_none() {
                continue;
            }
            let item = Element::new(ns::MUC_USER, "item")
                .with_attr("affiliation", "none")
                .with_attr("role", "none");
            let x = Element::new(ns::MUC_USER, "x").with_child(item);
            let gone = Element::new(ns::CLIENT, "presence")
                .with_attr("from", address.as_str())
                .with_attr("type", "unavailable")
                .with_child(crate::show::with_codes(x, &[&[110, 332]]));
            cx.deliver(&session.resource, &gone)?;
        }
        cx.set_value(ENTERED, b"")
    }

    fn service(&self, cx: &Context<'_, '_>) -> String {
        format!("{}.{}", self.0.label, cx.domain())
    }
}

fn run_of(values: &[(String, Vec<u8>)]) -> Option<u64> {
    let (_, value) = values.iter().find(|(name, _)| name == ENTERED)?;
    value.as_slice().try_into().ok().map(u64::from_le_bytes)
}
