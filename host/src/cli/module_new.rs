//! `calypte module new`

use std::path::{Path, PathBuf};

use super::{Exit, fail, say};

/// Write a new module
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its name: small letters, digits and hyphens
    name: String,
    /// Where Calypte's source is; found by itself inside a checkout
    #[arg(long, value_name = "FOLDER")]
    source: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Exit {
    let _ = (&args.name, &args.source, Path::new(""));
    say("");
    fail("not yet")
}
