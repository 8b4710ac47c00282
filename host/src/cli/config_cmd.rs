//! `calypte config`

use super::{Exit, complain, say};
use crate::config::example;

/// Explain the configuration
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say what a key does, its default, and when a change is in force
    Explain {
        /// A key such as limits.stanza, or a table such as limits; all of them without it
        key: Option<String>,
    },

    /// Print a configuration with every key, its manual and its default
    Example,
}

pub(super) fn run(command: &Command) -> Exit {
    match command {
        Command::Example => {
            say(example::example().trim_end());
            Exit::Fine
        }
        Command::Explain { key } => match example::explain(key.as_deref()) {
            Ok(text) => {
                say(text.trim_end());
                Exit::Fine
            }
            Err(why) => {
                complain(format_args!("error: {why}"));
                Exit::Errors
            }
        },
    }
}
