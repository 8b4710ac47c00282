//! `calypte check`

use std::path::Path;

use super::{Exit, complain, no_config, say};
use crate::check::{self, Tolerance};
use crate::modules::Depth;

/// Check that the server could start
///
/// Reads the configuration, the certificates and the manifests of all modules, with the code that
/// the start uses. Needs no network, no running server and no special rights. Finds every problem in
/// one run. Exits with 0 when all is well, 1 for warnings under --strict, 2 after printing what to
/// change, and 3 when there is nothing to check.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Take warnings as seriously as errors
    #[arg(long)]
    strict: bool,

    /// Print nothing when all is well
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(path: &Path, args: &Args) -> Exit {
    let checked = match check::open(path, Depth::Manifest, Tolerance::None) {
        Ok(checked) => checked,
        Err(failure) => return no_config(&failure),
    };
    let warned = !checked.warnings.is_empty();
    if warned {
        complain(checked.warnings.for_terminal());
    }
    if !args.quiet {
        let config = &checked.config;
        let modules: Vec<&str> =
            checked.modules.list.iter().map(|module| module.manifest.name.as_str()).collect();
        let modules = if modules.is_empty() { "no modules".to_owned() } else { modules.join(", ") };
        say(format_args!("{} can start", config.domain));
        say(format_args!("  data         {}", config.data.display()));
        say(match &checked.served {
            Some(served) => format!("  certificate  valid for {} days", served.days_left()),
            None => format!("  certificate  none yet; {} is asked", config.acme.directory),
        });
        say(format_args!("  modules      {modules}"));
    }
    if warned && args.strict { Exit::Warnings } else { Exit::Fine }
}
