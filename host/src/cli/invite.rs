//! `calypte invite`

use std::path::Path;

use super::{Exit, run_command};

/// Make a link that invites somebody to an account, or list and take back such links
///
/// The running server makes it with module `invites`; `policy` of module `register` has to be "invite"
/// or "open". Whoever has the link can use it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// The name of the new account, which is kept free as long; none: who uses the link chooses
    #[arg(long = "for", value_name = "NAME")]
    name: Option<String>,

    /// The account that becomes a contact of the new one
    #[arg(long, value_name = "NAME")]
    from: Option<String>,

    /// The circle that the new account is taken into; see `calypte circle`
    #[arg(long, value_name = "NAME")]
    circle: Option<String>,

    /// How long the link is good for, such as "3 days"
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,

    /// How many may use it
    #[arg(long, value_name = "NUMBER")]
    reuse: Option<u32>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the links that are open
    List,
    /// Take a link back
    Revoke {
        /// What `calypte invite list` calls it
        id: String,
    },
}

pub(super) fn run(path: &Path, args: &Args) -> Exit {
    let (node, fields) = match &args.command {
        Some(Command::List) => ("all-invitations", Vec::new()),
        Some(Command::Revoke { id }) => ("revoke-any-invitation", vec![format!("id={id}")]),
        None => ("urn:xmpp:invite#create-account", args.fields()),
    };
    run_command(path, node, fields)
}

impl Args {
    fn fields(&self) -> Vec<String> {
        let field = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{name}={value}"))
        };
        let uses = self.reuse.map(|uses| uses.to_string());
        let fields = [
            field("username", &self.name),
            field("from", &self.from),
            field("expires", &self.expires),
            field("uses", &uses),
            field("circle", &self.circle),
        ];
        fields.into_iter().flatten().collect()
    }
}
