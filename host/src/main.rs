//! The Calypte XMPP server.

mod accounts;
mod acme;
mod actors;
mod admin;
mod certs;
mod check;
mod cli;
mod clock;
mod components;
mod config;
mod dns;
mod doctor;
mod fault;
mod federation;
mod files;
mod hex;
mod http;
mod log;
mod metrics;
mod modules;
mod operate;
mod ports;
mod reach;
mod reload;
mod secret_key;
mod server;
mod start;
mod text;
mod tls;
mod watch;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
