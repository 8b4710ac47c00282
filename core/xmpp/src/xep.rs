//! Typed payloads, one file per XEP.

pub mod archive;
pub mod delay;
pub mod rsm;
