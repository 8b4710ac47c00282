//! `calypte circle`

use std::path::Path;

use super::{Exit, run_command};

/// Make groups of people who have each other as contacts
///
/// The running server keeps them with module `circles`. A circle may have a room, which is then among the
/// bookmarks of its people.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show all circles
    List,
    /// Show who is in a circle
    Show {
        /// Its name
        name: String,
    },
    /// Make a circle
    Create {
        /// Its name, which is that of the group of contacts
        name: String,
        /// The address of a room that is there
        #[arg(long, value_name = "ADDRESS")]
        room: Option<String>,
    },
    /// End a circle
    Delete {
        /// Its name
        name: String,
    },
    /// Add people to a circle
    Add {
        /// Its name
        name: String,
        /// The accounts
        #[arg(required = true, value_name = "ACCOUNT")]
        members: Vec<String>,
    },
    /// Remove people from a circle
    Remove {
        /// Its name
        name: String,
        /// The accounts
        #[arg(required = true, value_name = "ACCOUNT")]
        members: Vec<String>,
    },
    /// Give a circle another room, or none
    Room {
        /// Its name
        name: String,
        /// The address of a room that is there; without it: none
        address: Option<String>,
    },
}

pub(super) fn run(path: &Path, args: &Args) -> Exit {
    let (node, fields) = args.command.said();
    run_command(path, node, fields)
}

impl Command {
    /// Returns the command of the module, and its fields.
    fn said(&self) -> (&'static str, Vec<String>) {
        let named = |name: &str, rest: Vec<String>| {
            [format!("name={name}")].into_iter().chain(rest).collect::<Vec<_>>()
        };
        let room = |room: &Option<String>| {
            room.iter().map(|room| format!("room={room}")).collect::<Vec<_>>()
        };
        let people =
            |members: &[String]| members.iter().map(|one| format!("member={one}")).collect();
        match self {
            Self::List => ("circles", Vec::new()),
            Self::Show { name } => ("circle-show", named(name, Vec::new())),
            Self::Create { name, room: address } => ("circle-make", named(name, room(address))),
            Self::Delete { name } => ("circle-end", named(name, Vec::new())),
            Self::Add { name, members } => ("circle-join", named(name, people(members))),
            Self::Remove { name, members } => ("circle-leave", named(name, people(members))),
            Self::Room { name, address } => ("circle-room", named(name, room(address))),
        }
    }
}
