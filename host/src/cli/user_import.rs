//! `calypte user import`

use std::io::{BufRead, BufReader, Read, stdin};
use std::path::{Path, PathBuf};

use crypto::Secret;
use xmpp::Jid;

use super::user::carry_out;
use super::{password, say};
use crate::admin::AdminRequest;
use crate::config::Config;
use crate::{accounts, operate};

/// Accounts in one request, which the socket bounds in bytes.
const CHUNK: usize = 64;
/// The longest file.
const BYTES_MAX: u64 = 64 << 20;

/// Which file
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Lines of a name, a space and the password, or what another server keeps of it as RFC 5803
    /// writes that: SCRAM-SHA-1$4096:SALT$STOREDKEY:SERVERKEY; `-` reads standard input
    file: PathBuf,
}

pub(super) fn run(config: &Config, args: &Args) -> Result<(), String> {
    let wanted = read(&args.file, &config.domain)?;
    let (mut made, mut known) = (0_usize, Vec::new());
    for chunk in wanted.chunks(CHUNK) {
        let mut list = Vec::with_capacity(chunk.len());
        for (account, secret) in chunk {
            let text = password::text(secret);
            let record = accounts::record_of_form(text)
                .map_or_else(|| accounts::record(text, config.login.iterations), Ok)
                .map_err(|error| format!("{account}: {error}"))?;
            list.push((account.to_string(), operate::encode(&record)));
        }
        let (_, data) = carry_out(config, AdminRequest::UserImport { accounts: list })?;
        let there: Vec<String> = serde_json::from_value(data).unwrap_or_default();
        made = made.saturating_add(chunk.len().saturating_sub(there.len()));
        known.extend(there);
    }
    let accounts = if made == 1 { "account" } else { "accounts" };
    say(format_args!("{made} {accounts} can log in now"));
    if known.is_empty() {
        return Ok(());
    }
    Err(format!("these exist already and were left as they are: {}", known.join(", ")))
}

/// Reads the whole file before anything is made, so that a wrong line makes nothing.
fn read(file: &Path, domain: &Jid) -> Result<Vec<(Jid, Secret)>, String> {
    let told = file.display();
    let cannot = |error: std::io::Error| format!("{told} cannot be read: {error}");
    let from: Box<dyn Read> = if file == Path::new("-") {
        Box::new(stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(cannot)?)
    };
    let mut wanted = Vec::new();
    for (line, number) in BufReader::new(from.take(BYTES_MAX)).lines().zip(1_u32..) {
        let line = Secret::from(line.map_err(cannot)?);
        let text = password::text(&line).trim_end_matches('\r');
        if text.is_empty() {
            continue;
        }
        let (name, secret) = text
            .split_once([' ', '\t'])
            .filter(|(_, secret)| !secret.is_empty())
            .ok_or_else(|| format!("{told}, line {number}: a name, a space and a password"))?;
        let account = accounts::address(name, domain)
            .map_err(|error| format!("{told}, line {number}: {error}"))?;
        wanted.push((account, Secret::from(secret.to_owned())));
    }
    Ok(wanted)
}
