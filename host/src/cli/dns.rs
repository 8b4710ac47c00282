//! `calypte dns`

use std::path::Path;

use serde_json::json;

use super::{Exit, fail, no_config, say};
use crate::acme;
use crate::admin::{self, AdminReply, AdminRequest};
use crate::check;
use crate::config::Config;
use crate::dns::{self, Known};
use crate::tls::{Files, Served};

/// Print the DNS records for this server, as a zone file with a reason for each
///
/// One record is needed: the address of the machine. The others make things faster or safer. With a
/// running server, what its modules publish is among them. Nothing is looked up and nothing is
/// changed; `calypte doctor` looks whether the records are there.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of the machine, when the domain itself leads to another one (a web site, say)
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(path: &Path, args: &Args) -> Exit {
    let config = match check::glance(path) {
        Ok(config) => config,
        Err(failure) => return no_config(&failure),
    };
    if let Some(host) = args.host.as_ref().filter(|host| host.contains(['/', ':', ' '])) {
        return fail(format_args!("{host:?} is no name of a machine"));
    }
    // What cannot be read is left out here; `calypte check` says why.
    let served = Files::of(&config).and_then(|files| Served::open(&files)).ok();
    let known = Known {
        host: args.host.as_deref(),
        served: served.as_ref(),
        policy: policy(&config),
        account: acme::account(&config),
        below: check::served(&config),
    };
    let records = dns::records(&config, &known);
    if args.json {
        say(json!(records));
    } else {
        say(dns::zone_file(&config.domain.ascii_domain(), &records).trim_end());
    }
    Exit::Fine
}

/// Asks the running server for the text of the module that requires TLS.
fn policy(config: &Config) -> Option<String> {
    let request = AdminRequest::Command {
        node: "tls-own".to_owned(),
        account: None,
        fields: vec!["format=json".to_owned()],
    };
    let reply = admin::ask(&config.admin_socket(), &request, &mut |_, _| {}).ok()??;
    let AdminReply::Done { text, .. } = reply else { return None };
    let own: serde_json::Value = serde_json::from_str(&text).ok()?;
    own.get("dns")?.as_str().map(str::to_owned)
}
