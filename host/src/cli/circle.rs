//! `calypte circle`

use std::path::Path;

use super::{Exit, run_command};

/// Make groups of people who have each other as contacts
///
/// The running server keeps them with module `circles`. A circle has a room of its own, whose members its
/// people are and which is among their bookmarks, unless you say otherwise.
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
        /// The address of a room that is there already: it is among the bookmarks, and that is all
        #[arg(long, value_name = "ADDRESS", conflicts_with = "no_room")]
        room: Option<String>,
        /// It has no room
        #[arg(long)]
        no_room: bool,
    },
    /// End a circle, and its own room with all that was said there
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
    /// Give a circle another room, or none; its own room ends with all that was said there
    Room {
        /// Its name
        name: String,
        /// The address of a room that is there already; without it: none
        #[arg(conflicts_with = "own")]
        address: Option<String>,
        /// A new room of its own
        #[arg(long)]
        own: bool,
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
        let room = |room: &Option<String>, flag: &str, is_set: bool| {
            let room = room.iter().map(|room| format!("room={room}"));
            room.chain(is_set.then(|| format!("{flag}=1"))).collect::<Vec<_>>()
        };
        let people =
            |members: &[String]| members.iter().map(|one| format!("member={one}")).collect();
        match self {
            Self::List => ("circles", Vec::new()),
            Self::Show { name } => ("circle-show", named(name, Vec::new())),
            Self::Create { name, room: address, no_room } => {
                ("circle-make", named(name, room(address, "no-room", *no_room)))
            }
            Self::Delete { name } => ("circle-end", named(name, Vec::new())),
            Self::Add { name, members } => ("circle-join", named(name, people(members))),
            Self::Remove { name, members } => ("circle-leave", named(name, people(members))),
            Self::Room { name, address, own } => {
                ("circle-room", named(name, room(address, "own", *own)))
            }
        }
    }
}
