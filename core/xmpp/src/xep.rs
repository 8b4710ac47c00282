//! Typed payloads, one file per XEP.

pub mod delay;
pub mod rsm;
