//! Everything that can be known before a start: `calypte check`, the start and a reload use it, so
//! what passes the check also starts.

use std::path::Path;

use xmpp::Jid;

use crate::acme;
use crate::components;
use crate::config::federation::With;
use crate::config::problem::{Problem, Problems};
use crate::config::schema::Notes;
use crate::config::{Config, Draft};
use crate::federation::identity::Roots;
use crate::federation::resolve;
use crate::modules::{Depth, Modules, Refused};
use crate::reach;
use crate::tls::{self, Files, Served};

/// A configuration with everything it names.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The configuration.
    pub(crate) config: Config,
    /// Its certificate; none while the authority of `[acme]` has issued none.
    pub(crate) served: Option<Served>,
    /// Its modules.
    pub(crate) modules: Modules,
    /// What somebody should look at.
    pub(crate) warnings: Problems,
}

/// What to do about a module that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tolerance {
    /// Every refused module is a problem: an operator is looking.
    None,
    /// Only one that the server must not be without: better to serve than to wait.
    Optional,
}

/// Returns the domains below ours that modules serve, by their manifests.
pub(crate) fn served(config: &Config) -> Vec<String> {
    let modules = Modules::choose(config, Depth::Manifest, &mut Notes::default());
    let domain = config.domain.ascii_domain();
    let labels = modules.served_labels().into_iter();
    labels.map(|label| format!("{label}.{domain}")).collect()
}

/// Tells of services that other servers cannot believe: the certificate does not name them.
fn check_served(config: &Config, served: Option<&Served>, modules: &Modules, draft: &mut Draft) {
    let Some(served) = served.filter(|_| config.federation.with != With::Nobody) else { return };
    let domain = config.domain.ascii_domain();
    for label in modules.served_labels() {
        let name = format!("{label}.{domain}");
        // What is wrong with the domain itself was said already.
        if served.covers(&domain) && !served.covers(&name) {
            let what = format!("the certificate does not name {name}");
            let hint = match config.acme.agree {
                true => format!(
                    "people of other servers cannot use it; write [acme] names = [\"{name}\"]"
                ),
                false => format!(
                    "people of other servers cannot use it; get one for {domain} and {name}"
                ),
            };
            draft.notes.problems.push(Problem::warning(0..0, what, hint));
        }
    }
}

/// Checks a file that was read with all that it names.
///
/// # Errors
///
/// All problems, when one of them is an error.
pub(crate) fn check(
    mut draft: Draft,
    depth: Depth<'_>,
    tolerance: Tolerance,
) -> Result<Checked, Problems> {
    let Some(config) = draft.config.clone() else {
        return match draft.finish() {
            Err(problems) => Err(problems),
            Ok((_, problems)) => Err(problems),
        };
    };
    check_data(&config, &mut draft);
    let served = check_tls(&config, &mut draft);
    check_federation(&config, &mut draft);
    check_components(&config, &mut draft);
    check_web(&config, &mut draft);
    let modules = Modules::choose(&config, depth, &mut draft.notes);
    check_served(&config, served.as_ref(), &modules, &mut draft);
    for label in modules.served_labels() {
        let domain = format!("{label}.{}", config.domain);
        if config.components.iter().any(|component| component.domain.as_str() == domain) {
            let at = draft.notes.place(&format!("components#{domain}"));
            let what = format!("a module serves {domain} already");
            let hint = "give the component another domain, or disable the module";
            draft.notes.problems.push(Problem::error(at, what, hint));
        }
    }
    for refused in &modules.refused {
        let Refused { at, what, hint, is_required } = refused.clone();
        let problem = match tolerance {
            Tolerance::Optional if !is_required => Problem::warning(at, what, hint),
            _ => Problem::error(at, what, hint),
        };
        draft.notes.problems.push(problem);
    }
    let (config, warnings) = draft.finish()?;
    // Without a certificate there was an error above, except with [acme].
    Ok(Checked { config, served, modules, warnings })
}

fn check_tls(config: &Config, draft: &mut Draft) -> Option<Served> {
    if config.acme.agree {
        return kept(config, draft);
    }
    let places = ["tls.certificate", "tls.certificates", "tls.key"];
    let place = |draft: &Draft, key: &str| draft.notes.place(key);
    let any = places.iter().map(|key| place(draft, key)).find(|at| !at.is_empty()).unwrap_or(0..0);
    let has_key = |key: &Option<std::path::PathBuf>| key.is_some();
    let half = has_key(&config.tls.certificate) != has_key(&config.tls.key);
    if half {
        // Said already, where the table was read.
        return None;
    }
    // Certificates and their folders have names of DNS.
    let name = config.domain.ascii_domain();
    let files = match Files::find(&config.tls, &name) {
        Ok(files) => files,
        Err(why) => {
            let hint = match any.is_empty() {
                true => "add [tls] with certificate and key; to try things out use `calypte dev`",
                false => "name a folder such as \"/etc/letsencrypt/live\"",
            };
            draft.notes.problems.push(Problem::error(any, why, hint));
            return None;
        }
    };
    match Served::open(&files) {
        Ok(served) => {
            let domain = draft.has_domain.then_some(&*name);
            for (what, hint) in tls::warnings(&served, &files, domain) {
                draft.notes.problems.push(Problem::warning(any.clone(), what, hint));
            }
            Some(served)
        }
        Err(why) => {
            let key = place(draft, "tls.key");
            let names_key = why.contains(&files.key.display().to_string());
            let at = if names_key && !key.is_empty() { key } else { any };
            let hint = "the server must be able to read both files, in PEM form";
            draft.notes.problems.push(Problem::error(at, why, hint));
            None
        }
    }
}

fn check_federation(config: &Config, draft: &mut Draft) {
    let federation = &config.federation;
    if let Some(Err(why)) = federation.dnssec_anchor.as_deref().map(resolve::read_anchors) {
        let hint = "a line is: example.org. IN DNSKEY 257 3 13 …";
        let at = draft.notes.place("federation.dnssec_anchor");
        draft.notes.problems.push(Problem::error(at, why, hint));
    }
    match Roots::load(federation) {
        Ok(roots) if roots.is_empty() && federation.with != With::Nobody => {
            let what = "no authority is trusted, so no other server can prove its domain";
            let hint = "install the package ca-certificates, or name files in federation.trust";
            draft.notes.problems.push(Problem::warning(0..0, what, hint));
        }
        Ok(_) => {}
        Err(why) => {
            let at = draft.notes.place("federation.trust");
            let hint = "the server must be able to read certificates in PEM form there";
            draft.notes.problems.push(Problem::error(at, why, hint));
        }
    }
}

fn check_components(config: &Config, draft: &mut Draft) {
    if let Err((component, why)) = components::secrets(config) {
        let at = draft.notes.place(&format!("components#{}", component.domain));
        let hint =
            "make one: (umask 027; openssl rand -hex 32 > FILE), and give it to the component";
        draft.notes.problems.push(Problem::error(at, why, hint));
    }
}

/// Returns the certificate that the authority issued at another time. One that is of no use is not
/// a problem: the start gets another one.
fn kept(config: &Config, draft: &mut Draft) -> Option<Served> {
    if let Some(trust) = config.acme.trust.as_ref().filter(|trust| !trust.is_file()) {
        let (at, what) = (draft.notes.place("acme.trust"), trust.display());
        let what = format!("there is no file {what}");
        draft.notes.problems.push(Problem::error(at, what, "name a PEM file, or leave it out"));
    }
    let served = Served::open(&acme::certificate(config)).ok()?;
    if !acme::is_usable(&served, config) {
        return None;
    }
    let days = served.days_left();
    if days < 14 {
        let at = draft.notes.place("acme.agree");
        let what = format!("the certificate is valid for {days} days and was not renewed");
        draft.notes.problems.push(Problem::warning(at, what, "`calypte status` says why"));
    }
    Some(served)
}

fn check_web(config: &Config, draft: &mut Draft) {
    let (listen, web) = (&config.listen, &config.web);
    let mut warn = |key: &str, what: String, hint: &str| {
        let at = draft.notes.place(key);
        draft.notes.problems.push(Problem::warning(at, what, hint));
    };
    if let Some(folder) = web.folder.as_ref().filter(|folder| !folder.is_dir()) {
        let what = format!("there is no folder {}", folder.display());
        warn("web.folder", what, "name the one with index.html in it, or leave it out");
    }
    let is_open = [&listen.https, &listen.web, &listen.alpn].iter().any(|list| !list.is_empty());
    if web.folder.is_some() && !is_open {
        let what = "nothing serves `web.folder`".to_owned();
        warn("web.folder", what, "set `listen.https`, `listen.alpn` or `listen.web`");
    }
    if reach::web_url(config).is_none() && is_open {
        let what = "nobody is told how to come to `listen.web`".to_owned();
        warn("listen.web", what, "set `web.url` to what the web server in front serves");
    }
}

fn check_data(config: &Config, draft: &mut Draft) {
    let (data, at) = (&config.data, draft.notes.place("data"));
    let told = data.display();
    let (what, hint) = if data.is_dir() {
        return;
    } else if data.exists() {
        (format!("{told} is not a folder"), "name a folder that the server may fill".to_owned())
    } else if data.parent().is_some_and(|parent| parent.as_os_str().is_empty() || parent.is_dir()) {
        // The server makes the last folder itself.
        return;
    } else {
        let parent = data.parent().unwrap_or_else(|| Path::new("/")).display();
        (format!("the folder for {told} is not there"), format!("make it: mkdir -p {parent}"))
    };
    draft.notes.problems.push(Problem::error(at, what, hint));
}

/// Reads and checks the file at `path`.
///
/// # Errors
///
/// See [`Failure`].
pub(crate) fn open(
    path: &Path,
    depth: Depth<'_>,
    tolerance: Tolerance,
) -> Result<Checked, Failure> {
    let draft = Draft::open(path).map_err(Failure::Unreadable)?;
    check(draft, depth, tolerance).map_err(Failure::Broken)
}

/// Reads the file without looking at the certificates and modules that it names: what a command
/// needs that works on a server.
///
/// # Errors
///
/// See [`Failure`].
pub(crate) fn glance(path: &Path) -> Result<Config, Failure> {
    let draft = Draft::open(path).map_err(Failure::Unreadable)?;
    draft.finish().map(|(config, _)| config).map_err(Failure::Broken)
}

/// Why there is no usable configuration.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The file cannot be read.
    Unreadable(String),
    /// The file has problems.
    Broken(Problems),
}

impl Failure {
    /// Returns the text for a terminal and the exit code.
    pub(crate) fn told(&self) -> (String, u8) {
        match self {
            Self::Unreadable(why) => (format!("error: {why}"), 3),
            Self::Broken(problems) => (problems.for_terminal(), 2),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(why) => f.write_str(why),
            Self::Broken(problems) => problems.fmt(f),
        }
    }
}

/// The domain that stands in while the file names none, so that the rest can be checked.
pub(crate) fn placeholder() -> Option<Jid> {
    Jid::parse("domain.invalid").ok()
}
