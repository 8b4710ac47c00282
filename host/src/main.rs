//! The Calypte XMPP server.

mod config;
mod hex;

fn main() {}
