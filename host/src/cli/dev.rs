//! `calypte dev`

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crypto::Secret;
use xmpp::Jid;

use super::{Exit, complain, fail, password, say};
use crate::accounts::{self, Accounts};
use crate::certs::{self, DevFiles};
use crate::check::Checked;
use crate::config::Config;
use crate::config::federation::With;
use crate::config::modules::Load;
use crate::config::origin::{Origin, Pages};
use crate::config::problem::Problems;
use crate::config::schema::Notes;
use crate::config::settings::{Fingerprint, Level};
use crate::modules::{Depth, Modules, rights};
use crate::server::Prepared;
use crate::start::Ports;
use crate::tls::Served;
use crate::{actors, log, modules, ports, start};

/// The accounts that are made.
const NAMES: [&str; 2] = ["ana", "ben"];

/// Start a throwaway server on this machine, to try things out
///
/// Makes a folder in the system's temporary folder with a store, a certificate authority of its own
/// and two accounts, prints how to connect, and removes everything on Ctrl-C. Nothing outside this
/// machine can reach it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The port for clients; 5222 or any free one without it
    #[arg(long)]
    port: Option<u16>,

    /// The domain of the accounts
    #[arg(long, default_value = "localhost")]
    domain: String,

    /// Load a module: its file, or the folder of its crate, which is built first
    #[arg(long = "module", value_name = "FILE OR FOLDER")]
    modules: Vec<PathBuf>,

    /// Serve a folder with a web chat
    #[arg(long, value_name = "FOLDER")]
    web: Option<PathBuf>,

    /// Keep the folder when the server stops
    #[arg(long)]
    keep: bool,

    /// Show the way of each stanza in the log
    #[arg(long, short)]
    verbose: bool,
}

pub(super) fn run(args: &Args) -> Exit {
    let folder = match temporary() {
        Ok(folder) => folder,
        Err(why) => return fail(why),
    };
    let outcome = try_run(args, &folder);
    let left = if args.keep {
        format!("{} is kept", folder.display())
    } else {
        match remove(&folder) {
            Ok(()) => "nothing is left of it".to_owned(),
            Err(error) => format!("{} cannot be removed: {error}", folder.display()),
        }
    };
    match outcome {
        Ok(()) => {
            say(format_args!("stopped; {left}"));
            Exit::Fine
        }
        Err(why) => fail(why),
    }
}

fn try_run(args: &Args, folder: &Path) -> Result<(), String> {
    let domain = Jid::parse(&args.domain).ok().filter(|jid| jid.local().is_none() && jid.is_bare());
    let domain = domain.ok_or_else(|| format!("{:?} is not a domain", args.domain))?;
    let mut config = Config::standard(domain.clone(), &folder.join("data"));
    config.log.level = if args.verbose { Level::Debug } else { Level::Warn };
    let ports = Ports {
        c2s: choose(args.port, 5222)?,
        c2s_tls: choose(None, 5223)?,
        s2s: Vec::new(),
        s2s_tls: Vec::new(),
        components: Vec::new(),
        http: choose(None, 5280)?,
        https: Vec::new(),
        alpn: Vec::new(),
        web: choose(None, 5281)?,
        http_acme: Vec::new(),
    };
    config.listen.c2s = addresses(&ports.c2s);
    config.listen.c2s_tls = addresses(&ports.c2s_tls);
    config.listen.http = addresses(&ports.http);
    config.listen.web = addresses(&ports.web);
    // Pages that are being written come from anywhere.
    config.web.origins = vec![Pages::Any];
    config.web.folder.clone_from(&args.web);
    let web = config.listen.web.first().map_or(0, SocketAddr::port);
    config.web.url = Origin::parse(&format!("http://127.0.0.1:{web}"));
    // Somebody who tries things out does not expect the world to be part of it.
    config.federation.with = With::Nobody;
    (config.listen.s2s, config.listen.s2s_tls) = (Vec::new(), Vec::new());
    for path in &args.modules {
        config.loads.push(load(path)?);
    }
    start::make_folder(&config.data)?;
    let certificate = certs::make_dev(folder, domain.domain())?;
    let served = Served::open(&certificate.server)?;
    let mut notes = Notes::default();
    let depth = start::modules_folder(&config);
    let modules = Modules::choose(&config, Depth::Open(&depth), &mut notes);
    if let Some(refused) = modules.refused.first() {
        return Err(refused.what.clone());
    }
    log::start(&config.log);
    let warnings = Problems::new(Path::new(""), "", Vec::new());
    let listen = config.listen.clone();
    let iterations = config.login.iterations;
    let checked = Checked { config, served: Some(served), modules, warnings };

    let mut passwords = Vec::new();
    for name in NAMES {
        passwords.push((accounts::address(name, &domain).map_err(text)?, password::random()));
    }
    let port = |list: &[SocketAddr]| list.first().map_or(0, SocketAddr::port);
    let numbers = [port(&listen.c2s), port(&listen.c2s_tls), port(&listen.http), port(&listen.web)];
    let hello = greeting(&passwords, numbers, &certificate);
    let ready = Box::new(move || say(hello));
    let prepared = start::prepare_on(ports, checked, ready)?;
    for (account, password) in &passwords {
        make_account(&prepared, account, password, iterations)?;
    }
    actors::serve(prepared)
}

fn make_account(
    prepared: &Prepared,
    account: &Jid,
    password: &Secret,
    iterations: u32,
) -> Result<(), String> {
    let shared = &prepared.shared;
    let domain = &shared.config.load().domain;
    let record = accounts::record(password::text(password), iterations);
    Accounts::new(domain, &shared.store).add(account, &record.map_err(text)?).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Removes the folder. Threads that are still ending may write a last file into it meanwhile, so one
/// that was not empty is tried again.
#[expect(clippy::disallowed_methods, reason = "no arbiter runs any more")]
fn remove(folder: &Path) -> std::io::Result<()> {
    for _ in 0..20 {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            other => return other,
        }
    }
    std::fs::remove_dir_all(folder)
}

/// Makes a folder that only this user may look into.
fn temporary() -> Result<PathBuf, String> {
    let name = password::random();
    let name = password::text(&name).get(..11).unwrap_or("server").to_owned();
    let folder = std::env::temp_dir().join(format!("calypte-dev-{name}"));
    start::make_folder(&folder)?;
    Ok(folder)
}

/// Binds the port that was asked for, or the usual one, or any that is free.
fn choose(asked: Option<u16>, usual: u16) -> Result<Vec<TcpListener>, String> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if let Some(port) = asked {
        return ports::bind_all(&[at(port)]);
    }
    let free = ports::bind(at(usual)).or_else(|_| ports::bind(at(0)));
    free.map(|listener| vec![listener]).map_err(|error| format!("no free port: {error}"))
}

fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

/// Allows a module everything that it wants: this is a throwaway server.
fn load(path: &Path) -> Result<Load, String> {
    let file = if path.is_dir() { build(path)? } else { path.to_owned() };
    let bytes = modules::read(&file).map_err(|why| format!("{}: {why}", file.display()))?;
    let manifest = abi::Library::check_bytes(&bytes)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let read = engine::Manifest::read(manifest.as_str())?;
    let grant = rights::wanted(&read, manifest.as_str()).into_iter().collect();
    Ok(Load { number: 0, file, blake3: Fingerprint(crypto::hash(&bytes)), grant, required: true })
}

/// Builds the crate in `folder` and returns its library.
fn build(folder: &Path) -> Result<PathBuf, String> {
    complain(format_args!("building {}", folder.display()));
    let output = std::process::Command::new("cargo")
        .args(["build", "--message-format=json-render-diagnostics", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("{} does not build", folder.display()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut files = text.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let files = message.get("filenames")?.as_array()?;
        let file = files.iter().filter_map(|file| file.as_str());
        file.filter(|file| file.ends_with(".so")).map(PathBuf::from).next_back()
    });
    let file = files.next_back();
    file.ok_or_else(|| {
        format!("{} makes no library; add crate-type = [\"cdylib\"]", folder.display())
    })
}

/// What somebody needs who wants to try the server.
fn greeting(accounts: &[(Jid, Secret)], ports: [u16; 4], files: &DevFiles) -> String {
    let [c2s, c2s_tls, http, web] = ports;
    let authority = files.authority.display();
    let mut out = String::from("A throwaway server runs on this machine. Ctrl-C removes it.\n\n");
    for (account, password) in accounts {
        let password = password::text(password);
        out.push_str(&format!("  account    {account}   password {password}\n"));
    }
    out.push_str(&format!(
        "  ports      {c2s} (STARTTLS), {c2s_tls} (TLS), http://127.0.0.1:{http}/metrics\n\
         \x20 web        ws://127.0.0.1:{web}/xmpp-websocket, http://127.0.0.1:{web}/http-bind\n\
         \x20 authority  {authority}\n"
    ));
    let [Some((ana, word)), Some((ben, _))] = [accounts.first(), accounts.get(1)] else {
        return out;
    };
    let word = password::text(word);
    out.push_str(&format!(
        "\nProfanity: start `profanity`, then paste\n\
         \x20 /connect {ana} server 127.0.0.1 port {c2s} tls trust\n\
         \nGajim: paste, log in as {ana}, and under Advanced Settings give 127.0.0.1, port {c2s}, \
         START TLS\n\
         \x20 gajim --separate --profile calypte-dev\n\
         \nslixmpp: paste; it sends a message to {ben}\n\
         python3 - <<'END'\n\
         import slixmpp\n\
         me = slixmpp.ClientXMPP('{ana}', '{word}')\n\
         me.ca_certs = '{authority}'\n\
         async def started(event):\n\
         \x20   me.send_presence()\n\
         \x20   me.send_message('{ben}', 'Hello from slixmpp', mtype='chat')\n\
         \x20   me.disconnect()\n\
         me.add_event_handler('session_start', started)\n\
         me.connect('127.0.0.1', {c2s})\n\
         me.loop.run_until_complete(me.disconnected)\n\
         END\n"
    ));
    out
}
