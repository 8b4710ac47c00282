//! The configuration: one TOML file, checked as a whole, every problem found in one run.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use xmpp::Jid;

mod acme;
pub(crate) mod components;
pub(crate) mod example;
pub(crate) mod federation;
pub(crate) mod modules;
pub(crate) mod origin;
pub(crate) mod problem;
pub(crate) mod schema;
pub(crate) mod settings;
pub(crate) mod units;
pub(crate) mod value;

use components::Component;
use modules::{Load, ModuleTables};
use problem::{Problem, Problems};
use schema::{Notes, Section, SectionKeys, Table};
use settings::{Acme, Federation, Limits, Listen, Log, Login, Modules, Server, Tls, Top, Web};

/// Where the file is when nobody says otherwise.
pub(crate) const PATH: &str = "/etc/calypte/calypte.toml";

/// The tables that have a fixed set of keys, in the order of the example.
pub(crate) const SECTIONS: &[SectionKeys] = &[
    Top::SECTION,
    Tls::SECTION,
    Acme::SECTION,
    Listen::SECTION,
    Modules::SECTION,
    settings::Load::SECTION,
    settings::Component::SECTION,
    Web::SECTION,
    Federation::SECTION,
    Limits::SECTION,
    Login::SECTION,
    Log::SECTION,
    Server::SECTION,
];

/// A configuration in which every value is acceptable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// The domain that the server speaks for.
    pub(crate) domain: Jid,
    /// Accounts that may administer it.
    pub(crate) admins: Vec<Jid>,
    /// The folder that holds everything.
    pub(crate) data: PathBuf,
    /// `[tls]`
    pub(crate) tls: Tls,
    /// `[acme]`
    pub(crate) acme: Acme,
    /// `[listen]`
    pub(crate) listen: Listen,
    /// `[modules]`
    pub(crate) modules: Modules,
    /// `[modules.NAME]`, as JSON by name.
    pub(crate) settings: ModuleTables,
    /// `[[modules.load]]`
    pub(crate) loads: Vec<Load>,
    /// `[[components]]`
    pub(crate) components: Vec<Component>,
    /// `[web]`
    pub(crate) web: Web,
    /// `[federation]`
    pub(crate) federation: Federation,
    /// `[limits]`
    pub(crate) limits: Limits,
    /// `[login]`
    pub(crate) login: Login,
    /// `[log]`
    pub(crate) log: Log,
    /// `[server]`
    pub(crate) server: Server,
}

/// A file that was read, with its text and the places of its keys, for checks that need more than
/// the file.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Where it was read from.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// The configuration, with defaults where the file is wrong.
    pub(crate) config: Option<Config>,
    /// Whether the file names a usable domain.
    pub(crate) has_domain: bool,
    /// What was found so far.
    pub(crate) notes: Notes,
}

impl Config {
    /// Returns the configuration of a server for `domain` that keeps its things in `data`.
    pub(crate) fn standard(domain: Jid, data: &Path) -> Self {
        let mut notes = Notes::default();
        let none = &mut notes;
        Self {
            domain,
            admins: Vec::new(),
            data: data.to_owned(),
            tls: Tls::read(&mut Table::new("", None, none)),
            acme: Acme::read(&mut Table::new("", None, none)),
            listen: Listen::read(&mut Table::new("", None, none)),
            modules: Modules::read(&mut Table::new("", None, none)),
            settings: ModuleTables::default(),
            loads: Vec::new(),
            components: Vec::new(),
            web: Web::read(&mut Table::new("", None, none)),
            federation: Federation::read(&mut Table::new("", None, none)),
            limits: Limits::read(&mut Table::new("", None, none)),
            login: Login::read(&mut Table::new("", None, none)),
            log: Log::read(&mut Table::new("", None, none)),
            server: Server::read(&mut Table::new("", None, none)),
        }
    }

    /// Returns the path of the socket for `calypte user`, `reload` and `status`.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.listen.admin.clone().unwrap_or_else(|| self.data.join("admin.sock"))
    }

    /// Returns the folder of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// Returns how many shards to start on this machine.
    pub(crate) fn shards(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let chosen = self.server.shards.0.and_then(|shards| usize::try_from(shards).ok());
        chosen.unwrap_or_else(processors).clamp(1, 64)
    }

    /// Returns the keys that differ in `new`, each with whether a reload puts it into force.
    pub(crate) fn changes(&self, new: &Self) -> Vec<(String, bool)> {
        let mut changes = Vec::new();
        if self.domain != new.domain {
            changes.push(("domain".to_owned(), false));
        }
        if self.admins != new.admins {
            changes.push(("admins".to_owned(), true));
        }
        if self.data != new.data {
            changes.push(("data".to_owned(), false));
        }
        compare(&self.tls, &new.tls, &mut changes);
        compare(&self.acme, &new.acme, &mut changes);
        compare(&self.listen, &new.listen, &mut changes);
        compare(&self.modules, &new.modules, &mut changes);
        compare(&self.web, &new.web, &mut changes);
        compare(&self.federation, &new.federation, &mut changes);
        compare(&self.limits, &new.limits, &mut changes);
        compare(&self.login, &new.login, &mut changes);
        compare(&self.log, &new.log, &mut changes);
        compare(&self.server, &new.server, &mut changes);
        if self.loads != new.loads {
            changes.push(("modules.load".to_owned(), true));
        }
        if self.components != new.components {
            changes.push(("components".to_owned(), false));
        }
        for name in self.settings.keys().chain(new.settings.keys()) {
            let key = format!("modules.{name}");
            if self.settings.get(name) != new.settings.get(name)
                && !changes.iter().any(|(known, _)| *known == key)
            {
                changes.push((key, true));
            }
        }
        changes
    }
}

fn compare<S: Section>(old: &S, new: &S, changes: &mut Vec<(String, bool)>) {
    let pairs = old.entries().into_iter().zip(new.entries()).zip(S::SECTION.keys);
    for (((name, old), (_, new)), key) in pairs {
        if old != new {
            changes.push((schema::join(S::SECTION.path, name), key.live));
        }
    }
}

impl Draft {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// A sentence when there is no such file or it cannot be read. What is wrong inside it is in
    /// the notes.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        // Far beyond any configuration, and small enough to read whole.
        const BYTES_MAX: u64 = 4 << 20;
        let told = path.display();
        let facts = std::fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!(
                "there is no configuration at {told}; name one with --config, or see `calypte config example`"
            ),
            _ => format!("{told} cannot be read: {error}"),
        })?;
        if facts.len() > BYTES_MAX {
            return Err(format!("{told} is larger than 4 MiB and surely no configuration"));
        }
        let bytes =
            std::fs::read(path).map_err(|error| format!("{told} cannot be read: {error}"))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| format!("{told} is not UTF-8 text: {}", error.utf8_error()))?;
        Ok(Self::read(path, text))
    }

    /// Reads `text` as the file at `path`.
    pub(crate) fn read(path: &Path, text: String) -> Self {
        let mut notes = Notes::default();
        let (document, faults) = DeTable::parse_recoverable(&text);
        for fault in faults {
            let at = fault.span().unwrap_or(0..0);
            let what = fault.message().lines().collect::<Vec<_>>().join("; ");
            let (what, hint) = match (what.as_str(), text.get(at.clone())) {
                ("duplicate key", Some(key)) => {
                    (format!("`{key}` is given twice"), "leave one of them out")
                }
                _ => (what, "this is not TOML"),
            };
            notes.problems.push(Problem::error(at, what, hint));
        }
        let (config, has_domain) = match read(document.get_ref(), path, &mut notes) {
            Some((config, has_domain)) => (Some(config), has_domain),
            None => (None, false),
        };
        Self { path: path.to_owned(), text, config, has_domain, notes }
    }

    /// Returns the configuration with its warnings.
    ///
    /// # Errors
    ///
    /// All problems, when one of them is an error.
    pub(crate) fn finish(self) -> Result<(Config, Problems), Problems> {
        let problems = Problems::new(&self.path, &self.text, self.notes.problems);
        match self.config {
            Some(config) if problems.only_warnings() => Ok((config, problems)),
            _ => Err(problems),
        }
    }
}

fn read(document: &DeTable<'_>, path: &Path, notes: &mut Notes) -> Option<(Config, bool)> {
    let tables: Vec<&str> =
        SECTIONS.iter().map(|section| section.path).filter(|path| is_table(path)).collect();
    let mut top = Table::new("", Some(document), notes);
    top.refuse_unknown(&Top::SECTION, &tables, SECTIONS);
    let general = Top::read(&mut top);
    if general.domain.is_none() && document.get("domain").is_none() {
        let what = "`domain` is missing; it is the only key that is needed";
        let hint = "write at the top: domain = \"chat.example.org\"";
        notes.problems.push(Problem::error(0..0, what, hint));
    }
    let tls = section::<Tls>(document, notes);
    check_tls(&tls, document, notes);
    let acme = section::<Acme>(document, notes);
    let listen = section::<Listen>(document, notes);
    let (modules, settings, loads) = modules::read(document, notes);
    let components = components::read(document, notes);
    let web = section::<Web>(document, notes);
    let federation = section::<Federation>(document, notes);
    let limits = section::<Limits>(document, notes);
    let login = section::<Login>(document, notes);
    let log = section::<Log>(document, notes);
    let server = section::<Server>(document, notes);
    let has_domain = general.domain.is_some();
    let domain = match general.domain {
        Some(domain) => {
            check_admins(&general.admins, &domain.0, notes);
            components::check(&components, &domain.0, notes);
            federation::check(&federation, Some(&domain.0), notes);
            domain.0
        }
        None => {
            federation::check(&federation, None, notes);
            crate::check::placeholder()?
        }
    };
    // A path in the file is meant from the folder of the file, wherever the server is started.
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let based = |path: Option<PathBuf>| path.map(|path| base.join(path));
    let tls = Tls {
        certificate: based(tls.certificate),
        key: based(tls.key),
        certificates: based(tls.certificates),
    };
    let acme = Acme { trust: based(acme.trust), ..acme };
    acme::check(&acme, &tls, &listen, document, notes);
    let listen = Listen { admin: based(listen.admin), ..listen };
    let loads = loads.into_iter().map(|load| Load { file: base.join(load.file), ..load }).collect();
    let data = base.join(general.data);
    let admins = general.admins;
    let config = Config {
        domain,
        admins,
        data,
        tls,
        acme,
        listen,
        modules,
        settings,
        loads,
        components: components::based(components, base),
        web: Web { folder: based(web.folder.clone()), ..web },
        federation: federation::based(federation, base),
        limits,
        login,
        log,
        server,
    };
    Some((config, has_domain))
}

fn is_table(path: &str) -> bool {
    !path.is_empty() && !path.contains('.')
}

/// Reads one table with a fixed set of keys.
fn section<S: Section>(document: &DeTable<'_>, notes: &mut Notes) -> S {
    let path = S::SECTION.path;
    let found = table(document, path, notes);
    let mut table = Table::new(path, found, notes);
    table.refuse_unknown(&S::SECTION, &[], SECTIONS);
    S::read(&mut table)
}

/// Returns the table `name`, noting when something else stands there.
pub(crate) fn table<'d, 'i>(
    document: &'d DeTable<'i>,
    name: &str,
    notes: &mut Notes,
) -> Option<&'d DeTable<'i>> {
    let value = document.get(name)?;
    if let DeValue::Table(table) = value.get_ref() {
        return Some(table);
    }
    let what = format!("`{name}` must be a table, but is {}", value::describe(value.get_ref()));
    let hint = format!("write [{name}] on a line of its own and the keys below it");
    notes.problems.push(Problem::error(value.span(), what, hint));
    None
}

fn check_tls(tls: &Tls, document: &DeTable<'_>, notes: &mut Notes) {
    let (what, hint) = match (&tls.certificate, &tls.key, &tls.certificates) {
        (None, None, None) if document.get("tls").is_some_and(|tls| tls.get_ref().is_table()) => {
            ("[tls] names no certificate", "give certificate and key, or certificates")
        }
        (Some(_), None, _) => ("`tls.certificate` needs `tls.key`", "add the line with the key"),
        (None, Some(_), _) => {
            ("`tls.key` needs `tls.certificate`", "add the line with the certificate")
        }
        (Some(_), Some(_), Some(_)) => {
            ("both `tls.certificate` and `tls.certificates` are given", "leave one of them out")
        }
        _ => return,
    };
    let place = ["tls.certificate", "tls.key"].map(|key| notes.place(key));
    let table = || document.get("tls").map_or(0..0, toml::Spanned::span);
    let at = place.into_iter().find(|at| !at.is_empty()).unwrap_or_else(table);
    notes.problems.push(Problem::error(at, what, hint));
}

fn check_admins(admins: &[Jid], domain: &Jid, notes: &mut Notes) {
    for admin in admins.iter().filter(|admin| admin.domain() != domain.domain()) {
        let what = format!("the administrator {admin} is not an account of {domain}");
        notes.problems.push(Problem::error(
            notes.place("admins"),
            what,
            "name accounts of this server",
        ));
    }
}
