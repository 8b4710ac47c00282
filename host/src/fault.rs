//! A fault on request, for tests of what becomes of everybody else. A release has none.

use engine::Event;

/// Panics when a client sent a stanza with the text of the variable `CALYPTE_FAULT`.
#[cfg(debug_assertions)]
pub(crate) fn strike(event: &Event) {
    static TEXT: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("CALYPTE_FAULT").ok());
    let (Some(text), Event::Sent { stanza, .. }) = (TEXT.as_deref(), event) else { return };
    if stanza.to_xml().contains(text) {
        std::panic::resume_unwind(Box::new("a fault on request"));
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn strike(_: &Event) {}
