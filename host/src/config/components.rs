//! `[[components]]`: programs beside the server that speak for a domain of their own.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use xmpp::Jid;

use super::SECTIONS;
use super::problem::Problem;
use super::schema::{Notes, Section, Table};
use super::settings::Component as RawComponent;

/// A component that may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Component {
    /// What it speaks for.
    pub(crate) domain: Jid,
    /// The file with the secret that it shares with the server.
    pub(crate) secret_file: PathBuf,
}

/// Reads them all.
pub(crate) fn read(document: &DeTable<'_>, notes: &mut Notes) -> Vec<Component> {
    let Some(value) = document.get("components") else { return Vec::new() };
    let Some(items) = value.get_ref().as_array() else {
        no_list(value, notes);
        return Vec::new();
    };
    let mut all: Vec<Component> = Vec::new();
    for item in items {
        let Some(component) = read_one(item, notes) else { continue };
        if all.iter().any(|other| other.domain == component.domain) {
            let what = format!("the component {} is there twice", component.domain);
            let hint = "give each bridge a domain of its own";
            notes.problems.push(Problem::error(item.span(), what, hint));
        } else {
            notes.set_place(format!("components#{}", component.domain), item.span());
            all.push(component);
        }
    }
    all
}

fn no_list(value: &Spanned<DeValue<'_>>, notes: &mut Notes) {
    let what = "`components` must be a list of tables";
    let hint = "write [[components]] with two brackets, once for each component";
    notes.problems.push(Problem::error(value.span(), what, hint));
}

fn read_one(item: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Component> {
    let DeValue::Table(keys) = item.get_ref() else {
        no_list(item, notes);
        return None;
    };
    let mut table = Table::new("components", Some(keys), notes);
    table.refuse_unknown(&RawComponent::SECTION, &[], SECTIONS);
    let raw = RawComponent::read(&mut table);
    for (key, is_there, hint) in [
        ("domain", raw.domain.is_some(), "add: domain = \"irc.example.org\""),
        (
            "secret_file",
            raw.secret_file.is_some(),
            "add: secret_file = \"/etc/calypte/irc.secret\"",
        ),
    ] {
        if !is_there && !keys.contains_key(key) {
            let what = format!("[[components]] has no `{key}`");
            notes.problems.push(Problem::error(item.span(), what, hint));
        }
    }
    Some(Component { domain: raw.domain?.0, secret_file: raw.secret_file? })
}

/// Returns them with paths that are meant from the folder `base`.
pub(crate) fn based(components: Vec<Component>, base: &Path) -> Vec<Component> {
    let based = |one: Component| Component { secret_file: base.join(one.secret_file), ..one };
    components.into_iter().map(based).collect()
}

/// Notes components that are the domain of the server itself.
pub(crate) fn check(components: &[Component], domain: &Jid, notes: &mut Notes) {
    for component in components.iter().filter(|component| component.domain == *domain) {
        let at = notes.place(&format!("components#{domain}"));
        let what = format!("{} is the domain of the server itself", component.domain);
        let hint = "give the component a name below it, such as irc.example.org";
        notes.problems.push(Problem::error(at, what, hint));
    }
}
