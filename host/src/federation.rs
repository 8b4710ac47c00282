//! Other servers: where they are, reaching them, and whether they are who they say.

pub(crate) mod dane;
pub(crate) mod dial;
pub(crate) mod identity;
pub(crate) mod names;
pub(crate) mod resolve;
pub(crate) mod tls;
