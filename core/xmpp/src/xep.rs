//! Typed payloads, one file per XEP.

pub mod delay;
