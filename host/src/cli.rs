//! The command line. Each command's comment is its help; nothing starts by accident.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::admin::{self, AdminReply, AdminRequest};
use crate::check::{self as checking, Failure};
use crate::config;

mod backup;
mod check;
mod circle;
mod command;
mod config_cmd;
mod dev;
mod dns;
mod doctor;
mod invite;
mod module;
mod module_add;
mod module_check;
mod module_new;
mod password;
mod peer;
mod reload;
mod run;
mod status;
mod tls;
mod user;
mod user_import;

/// A federated XMPP server in which every feature is a module
///
/// To try it: `calypte dev` starts a throwaway server on this machine and says how to connect.
/// For real: write a configuration (`calypte config example`), check it (`calypte check`), make
/// accounts (`calypte user add NAME`), and start it (`calypte run`).
///
/// Commands exit with 0 when all is well, 1 for warnings under --strict, 2 for errors, and 3 when
/// they could not look.
#[derive(Debug, Parser)]
#[command(name = "calypte", version, propagate_version = true)]
#[command(arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    /// The configuration
    #[arg(long, short, global = true, value_name = "FILE", env = "CALYPTE_CONFIG")]
    #[arg(default_value = config::PATH)]
    config: PathBuf,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Dev(dev::Args),
    Check(check::Args),
    Reload(reload::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    Dns(dns::Args),
    #[command(subcommand)]
    Peer(peer::Command),
    #[command(subcommand)]
    Tls(tls::Command),
    #[command(name = "command")]
    Ask(command::Args),
    #[command(subcommand)]
    User(user::Command),
    Invite(invite::Args),
    Circle(circle::Args),
    #[command(subcommand)]
    Module(module::Command),
    Backup(backup::BackupArgs),
    Verify(backup::VerifyArgs),
    Restore(backup::RestoreArgs),
    #[command(subcommand)]
    Config(config_cmd::Command),
}

/// What a command comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Fine,
    /// There are warnings, and somebody asked to be strict.
    Warnings,
    /// Something is wrong.
    Errors,
    /// It could not be found out.
    Unknown,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = &cli.config;
    let exit = match cli.command {
        Command::Run(args) => run::run(config, &args),
        Command::Dev(args) => dev::run(&args),
        Command::Check(args) => check::run(config, &args),
        Command::Reload(args) => reload::run(config, &args),
        Command::Status(args) => status::run(config, &args),
        Command::Doctor(args) => doctor::run(config, &args),
        Command::Dns(args) => dns::run(config, &args),
        Command::Peer(command) => peer::run(config, &command),
        Command::Tls(command) => tls::run(config, &command),
        Command::Ask(args) => command::run(config, &args),
        Command::User(command) => user::run(config, &command),
        Command::Invite(args) => invite::run(config, &args),
        Command::Circle(args) => circle::run(config, &args),
        Command::Module(command) => module::run(config, &command),
        Command::Backup(args) => backup::backup(config, &args),
        Command::Verify(args) => backup::verify(config, &args),
        Command::Restore(args) => backup::restore(config, &args),
        Command::Config(command) => config_cmd::run(&command),
    };
    exit.into()
}

/// Prints to standard output. A reader that went away (`| head`) is no fault.
fn say(text: impl Display) {
    drop(writeln!(stdout(), "{text}"));
}

/// Prints to standard error, without the marks of colour where nobody sees them.
fn complain(text: impl Display) {
    drop(writeln!(stderr(), "{text}"));
}

/// Prints an error and returns its exit.
fn fail(why: impl Display) -> Exit {
    complain(format_args!("error: {why}"));
    Exit::Errors
}

/// Asks the running server, and returns its answer for people and for programs.
fn ask(path: &Path, request: &AdminRequest) -> Result<(String, serde_json::Value), Exit> {
    let config = checking::glance(path).map_err(|failure| no_config(&failure))?;
    match admin::ask(&config.admin_socket(), request, &mut |_, _| {}) {
        Ok(Some(AdminReply::Done { text, data })) => Ok((text, data)),
        Ok(Some(AdminReply::Failed { why })) => Err(fail(why)),
        Ok(_) => {
            complain(format_args!("no server runs for {}; `calypte run` starts it", config.domain));
            Err(Exit::Unknown)
        }
        Err(why) => Err(fail(why)),
    }
}

/// Has the running server run a command of the operator, and prints what it says.
fn run_command(path: &Path, node: &str, fields: Vec<String>) -> Exit {
    let request = AdminRequest::Command { node: node.to_owned(), account: None, fields };
    match ask(path, &request) {
        Ok((text, _)) => {
            say(text.trim_end());
            Exit::Fine
        }
        Err(exit) => exit,
    }
}

/// Prints why there is no configuration.
fn no_config(failure: &Failure) -> Exit {
    let (text, code) = failure.told();
    complain(text);
    if code == 3 { Exit::Unknown } else { Exit::Errors }
}

/// Returns a progress function that shows how far something is, on a terminal only.
fn progress(what: &'static str) -> impl FnMut(u64, u64) {
    use std::io::IsTerminal;

    let shown = stderr().is_terminal();
    let mut last = None;
    move |done, total| {
        let percent = done.saturating_mul(100).checked_div(total);
        if !shown || (last == Some(percent) && percent.is_some()) {
            return;
        }
        last = Some(percent);
        let text = match percent {
            Some(percent) => format!("\r{what}: {percent} %"),
            None => format!("\r{what}: {done}"),
        };
        let end = if total != 0 && done >= total { "\n" } else { "" };
        drop(write!(stderr(), "{text}{end}"));
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
