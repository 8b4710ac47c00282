//! Errors with what XEP-0060 adds to them (§12.4 and the error cases of each use).

use calypte::prelude::*;

/// Adds a condition of XEP-0060 to an error.
pub(crate) fn fault(error: StanzaError, condition: &str) -> StanzaError {
    error.with_detail(&Element::new(ns::PUBSUB_ERRORS, condition))
}

/// Returns what is told of a feature that is not there, or not at this node.
pub(crate) fn unsupported(feature: &str) -> StanzaError {
    let condition = Element::new(ns::PUBSUB_ERRORS, "unsupported").with_attr("feature", feature);
    StanzaError::FEATURE_NOT_IMPLEMENTED.with_detail(&condition)
}
