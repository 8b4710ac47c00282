//! A server as its users see it.

use std::net::SocketAddr;

use crate::Authority;

/// A server of ours or of others.
pub trait Host {
    /// Returns its domain.
    fn domain(&self) -> &str;

    /// Returns where clients begin in the clear.
    fn c2s(&self) -> SocketAddr;

    /// Returns where clients begin with TLS.
    fn c2s_tls(&self) -> SocketAddr;

    /// Returns the authority that its clients trust.
    fn authority(&self) -> &Authority;

    /// Returns how its users log in.
    fn how(&self) -> crate::How {
        crate::How::default()
    }

    /// Returns what it wrote to its log.
    fn log(&self) -> String;
}
