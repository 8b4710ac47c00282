//! `calypte doctor`

use std::path::Path;

use serde_json::{Value, json};

use super::{Exit, fail, no_config, say};
use crate::admin::{self, AdminReply, AdminRequest};
use crate::check;
use crate::config::Config;
use crate::doctor::{Doctor, Finding, Mark};

/// Look whether the server is found, reached and believed, or whether another domain is
///
/// Without DOMAIN: our DNS records, ports, certificate, data folder and federation settings, as seen
/// from this machine. With DOMAIN: an attempt to reach it, stage by stage; a running server makes it
/// to the end (`calypte peer trace` does the same), without one it goes as far as the certificate.
/// No message is sent.
///
/// Exits with 0 when all is well, 2 when something is wrong, and 3 when something could not be
/// looked at.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The other domain
    domain: Option<String>,

    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(path: &Path, args: &Args) -> Exit {
    let config = match check::glance(path) {
        Ok(config) => config,
        Err(failure) => return no_config(&failure),
    };
    let domain = match args.domain.as_deref().map(xmpp::Jid::parse).transpose() {
        Ok(Some(domain)) if domain.local().is_some() || !domain.is_bare() => {
            return fail(format_args!("{domain} is not a domain"));
        }
        Ok(domain) => domain.filter(|domain| *domain != config.domain),
        Err(_) => return fail(format_args!("{:?} is not a domain", args.domain)),
    };
    if let Some(exit) = domain.as_ref().and_then(|domain| ask(&config, domain.domain(), args.json))
    {
        return exit;
    }
    let doctor = match Doctor::new(config) {
        Ok(doctor) => doctor,
        Err(why) => return fail(why),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("it cannot be looked: {error}")),
    };
    let mut all = Vec::new();
    let mut tell = |finding: Finding| {
        if !args.json {
            say(finding.line());
        }
        all.push(finding);
    };
    runtime.block_on(async {
        match &domain {
            Some(domain) => doctor.look_at(domain.domain(), &mut tell).await,
            None => doctor.look_at_own(&mut tell).await,
        }
    });
    if args.json {
        say(json!(all));
    }
    exit(&all)
}

/// What could not be looked at has not passed.
fn exit(all: &[Finding]) -> Exit {
    let any = |mark| all.iter().any(|finding| finding.mark == mark);
    match (any(Mark::Wrong), any(Mark::Unseen)) {
        (true, _) => Exit::Errors,
        (false, true) => Exit::Unknown,
        (false, false) => Exit::Fine,
    }
}

/// Lets the running server make the attempt. `None` when none runs.
fn ask(config: &Config, domain: &str, is_json: bool) -> Option<Exit> {
    let request = AdminRequest::PeerTrace { domain: domain.to_owned() };
    match admin::ask(&config.admin_socket(), &request, &mut |_, _| {}) {
        Ok(Some(AdminReply::Done { text, data })) => {
            let is_fine = data.get("fine").and_then(Value::as_bool) == Some(true);
            say(if is_json { data.to_string() } else { text });
            Some(if is_fine { Exit::Fine } else { Exit::Errors })
        }
        Ok(Some(AdminReply::Failed { why })) => Some(fail(why)),
        Ok(_) => None,
        Err(why) => Some(fail(why)),
    }
}
