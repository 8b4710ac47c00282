//! `[modules]`, `[modules.NAME]` and `[[modules.load]]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::schema::{Notes, Section, Table};
use super::settings::{Fingerprint, Load as RawLoad, Modules};
use super::{SECTIONS, table};

/// The settings of each module by its name.
pub(crate) type ModuleTables = BTreeMap<String, Map<String, Json>>;

/// A module from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Its place among the [[modules.load]] of the file, from 0.
    pub(crate) number: usize,
    /// The library.
    pub(crate) file: PathBuf,
    /// What its bytes must hash to.
    pub(crate) blake3: Fingerprint,
    /// What it may do of what it asks for.
    pub(crate) grant: Vec<String>,
    /// Whether the server must not start without it.
    pub(crate) required: bool,
}

/// Reads everything under `[modules]`.
pub(crate) fn read(
    document: &DeTable<'_>,
    notes: &mut Notes,
) -> (Modules, ModuleTables, Vec<Load>) {
    let found = table(document, "modules", notes);
    let mut settings = ModuleTables::new();
    let mut loads = Vec::new();
    let mut tables = vec!["load"];
    for (name, value) in found.into_iter().flatten() {
        let name: &str = name.get_ref();
        if let ("load", value) = (name, value) {
            loads = read_loads(value, notes);
        } else if let DeValue::Table(keys) = value.get_ref() {
            tables.push(name);
            notes.set_place(format!("modules.{name}"), value.span());
            settings.insert(name.to_owned(), read_settings(name, keys, notes));
        }
    }
    for key in ["enable", "disable", "order"] {
        let Some(value) = found.and_then(|table| table.get(key)) else { continue };
        let items = value.get_ref().as_array().map(|items| items.iter().collect());
        for item in items.unwrap_or_else(|| vec![value]) {
            let name = item.get_ref().as_str().unwrap_or("");
            notes.set_place(format!("modules.{key}#{name}"), item.span());
        }
    }
    let mut list = Table::new("modules", found, notes);
    list.refuse_unknown(&Modules::SECTION, &tables, SECTIONS);
    let modules = Modules::read(&mut list);
    (modules, settings, loads)
}

fn read_loads(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Vec<Load> {
    let DeValue::Array(items) = value.get_ref() else {
        let what = "`modules.load` must be a list of tables";
        let hint = "write [[modules.load]] with two brackets, once for each file";
        notes.problems.push(Problem::error(value.span(), what, hint));
        return Vec::new();
    };
    items.iter().enumerate().filter_map(|(number, item)| read_load(number, item, notes)).collect()
}

fn read_load(number: usize, item: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Load> {
    let DeValue::Table(keys) = item.get_ref() else {
        let what = "`modules.load` must be a list of tables";
        let hint = "write [[modules.load]] with two brackets, once for each file";
        notes.problems.push(Problem::error(item.span(), what, hint));
        return None;
    };
    let mut table = Table::new("modules.load", Some(keys), notes);
    table.refuse_unknown(&RawLoad::SECTION, &[], SECTIONS);
    let raw = RawLoad::read(&mut table);
    for key in ["file", "blake3", "grant", "required"] {
        let at = keys.get(key).map_or_else(|| item.span(), Spanned::span);
        notes.set_place(format!("modules.load.{number}.{key}"), at);
    }
    if raw.file.is_none() && !keys.contains_key("file") {
        let what = "[[modules.load]] names no file";
        notes.problems.push(Problem::error(
            item.span(),
            what,
            "add: file = \"/path/to/module.so\"",
        ));
    }
    if raw.blake3.is_none() && !keys.contains_key("blake3") {
        let what =
            "[[modules.load]] has no hash, so anybody who can write the file could replace it";
        let hint = "`calypte module add FILE` writes the whole table";
        notes.problems.push(Problem::error(item.span(), what, hint));
    }
    Some(Load {
        number,
        file: raw.file?,
        blake3: raw.blake3?,
        grant: raw.grant,
        required: raw.required,
    })
}

/// Turns the keys of a module's table into JSON, which is what a module gets.
fn read_settings(name: &str, keys: &DeTable<'_>, notes: &mut Notes) -> Map<String, Json> {
    let mut settings = Map::new();
    for (key, value) in keys {
        let path = format!("modules.{name}.{}", key.get_ref());
        notes.set_place(path.clone(), value.span());
        notes.set_place(format!("{path}#key"), key.span());
        match json(value) {
            Some(value) => drop(settings.insert(key.get_ref().to_string(), value)),
            None => {
                let what = format!("`{path}` cannot be given to a module");
                let hint = "use texts, numbers, true, false and lists";
                notes.problems.push(Problem::error(value.span(), what, hint));
            }
        }
    }
    settings
}

fn json(value: &Spanned<DeValue<'_>>) -> Option<Json> {
    Some(match value.get_ref() {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Boolean(flag) => Json::from(*flag),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            Json::from(i64::from_str_radix(&digits, number.radix()).ok()?)
        }
        DeValue::Float(number) => Json::from(number.as_str().replace('_', "").parse::<f64>().ok()?),
        DeValue::Array(items) => Json::Array(items.iter().map(json).collect::<Option<_>>()?),
        DeValue::Table(keys) => {
            let pair = |(key, value): (&Spanned<_>, _)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                Some((key.to_string(), json(value)?))
            };
            Json::Object(keys.iter().map(pair).collect::<Option<_>>()?)
        }
        DeValue::Datetime(_) => return None,
    })
}
