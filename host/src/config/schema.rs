//! The schema: each key is written once, and reading, explaining and the example come from there.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::problem::{Problem, nearest};
use super::value::{Value, describe};

/// What is known of one key. Its comment in `settings.rs` is the manual.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name inside the table.
    pub(crate) name: &'static str,
    /// Its documentation, line by line.
    pub(crate) doc: &'static [&'static str],
    /// What is expected, to follow "must be".
    pub(crate) kind: &'static str,
    /// The default as TOML; empty when there is none.
    pub(crate) default: &'static str,
    /// Whether `calypte reload` puts a change into force.
    pub(crate) live: bool,
}

/// A table of the file.
#[derive(Debug)]
pub(crate) struct SectionKeys {
    /// Its name; empty for the keys before the first table.
    pub(crate) path: &'static str,
    /// Its documentation, line by line.
    pub(crate) about: &'static [&'static str],
    /// Its keys in the order of the example.
    pub(crate) keys: &'static [Key],
}

/// A table of the file as a struct.
pub(crate) trait Section: Sized {
    /// Its schema.
    const SECTION: SectionKeys;

    /// Reads it; what is wrong is noted and replaced by the default.
    fn read(table: &mut Table<'_, '_>) -> Self;

    /// Returns each key with its value as text, to compare two configurations.
    fn entries(&self) -> Vec<(&'static str, String)>;
}

/// Declares a section: the comments are the manual, the text after `=` is the default in TOML.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $name:ident $path:literal {
            $(
                $(#[doc = $doc:literal])*
                $field:ident : $type:ty = $default:literal $(, $rule:expr)? ; $live:ident
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct $name {
            $( $(#[doc = $doc])* pub(crate) $field: $type, )*
        }

        impl $crate::config::schema::Section for $name {
            const SECTION: $crate::config::schema::SectionKeys = $crate::config::schema::SectionKeys {
                path: $path,
                about: &[$($about),*],
                keys: &[$(
                    $crate::config::schema::Key {
                        name: stringify!($field),
                        doc: &[$($doc),*],
                        kind: <$type as $crate::config::value::Value>::KIND,
                        default: $default,
                        live: $crate::config::schema::$live,
                    },
                )*],
            };

            fn read(table: &mut $crate::config::schema::Table<'_, '_>) -> Self {
                Self { $(
                    $field: table.value(stringify!($field), $default, &[$(&$rule)?]),
                )* }
            }

            fn entries(&self) -> Vec<(&'static str, String)> {
                vec![$( (stringify!($field), format!("{:?}", self.$field)) ),*]
            }
        }
    };
}
pub(crate) use section;

/// A change is in force after `calypte reload`.
pub(crate) const LIVE: bool = true;
/// A change needs a restart.
pub(crate) const RESTART: bool = false;

/// One table while it is read.
pub(crate) struct Table<'r, 'i> {
    /// The name of the table, for messages.
    pub(crate) path: String,
    table: Option<&'r DeTable<'i>>,
    notes: &'r mut Notes,
}

/// What the reading of a file found besides values.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
    /// Where each key that is set has its value, for later checks.
    places: Vec<(String, Range<usize>)>,
}

impl Notes {
    /// Returns where the value of `key` stands, or the start of the file.
    pub(crate) fn place(&self, key: &str) -> Range<usize> {
        let place = self.places.iter().find(|(name, _)| name == key);
        place.map_or(0..0, |(_, at)| at.clone())
    }

    /// Remembers where `key` stands.
    pub(crate) fn set_place(&mut self, key: String, at: Range<usize>) {
        self.places.push((key, at));
    }
}

/// Says whether a value is acceptable, and if not what is.
type Rule<'a, T> = &'a dyn Fn(&T) -> Result<(), String>;

impl<'r, 'i> Table<'r, 'i> {
    /// Starts reading `table`, which may be absent.
    pub(crate) fn new(path: &str, table: Option<&'r DeTable<'i>>, notes: &'r mut Notes) -> Self {
        Self { path: path.to_owned(), table, notes }
    }

    /// Reads `name`; notes what is wrong with it and then returns the default.
    pub(crate) fn value<T: Value>(
        &mut self,
        name: &str,
        default: &str,
        rules: &[Rule<'_, T>],
    ) -> T {
        let path = join(&self.path, name);
        let found = self.table.and_then(|table| table.get(name));
        if let Some(value) = found {
            self.notes.set_place(path.clone(), value.span());
            let (read, wrongs) = T::read_all(value);
            for wrong in wrongs {
                let what = format!("`{path}` must be {}, but is {}", T::KIND, wrong.is);
                let at = wrong.at.unwrap_or_else(|| value.span());
                self.notes.problems.push(Problem::error(at, what, wrong.hint));
            }
            if let Some(read) = read {
                let Some(hint) = rules.iter().find_map(|rule| rule(&read).err()) else {
                    return read;
                };
                let is = match value.get_ref() {
                    DeValue::Array(_) => "like this".to_owned(),
                    value => describe(value),
                };
                let what = format!("`{path}` cannot be {is}");
                self.notes.problems.push(Problem::error(value.span(), what, hint));
            }
        }
        fallback(default)
    }

    /// Notes every key that is neither in `keys` nor in `tables`.
    pub(crate) fn refuse_unknown(
        &mut self,
        keys: &SectionKeys,
        tables: &[&str],
        all: &[SectionKeys],
    ) {
        let Some(table) = self.table else { return };
        let own = || keys.keys.iter().map(|key| key.name).chain(tables.iter().copied());
        for (name, _) in table {
            let word: &str = name.get_ref();
            if own().any(|known| known == word) || word.starts_with("x-") {
                continue;
            }
            let hint = match (nearest(word, own()), elsewhere(word, all)) {
                (_, Some((section, key))) if section.path.is_empty() => {
                    format!("`{}` stands before the first [table]", key.name)
                }
                (_, Some((section, key))) => {
                    format!("write `{}` under [{}]", key.name, section.path)
                }
                (Some(near), None) => format!("did you mean `{near}`?"),
                (None, None) => format!("known here: {}", own().collect::<Vec<_>>().join(", ")),
            };
            let what = format!("unknown key `{}`", join(&self.path, word));
            self.notes.problems.push(Problem::error(name.span(), what, hint));
        }
    }
}

/// Finds the key that `word` is in another table: `stanza`, or `loglevel` for `level` in `[log]`.
fn elsewhere<'a>(word: &str, all: &'a [SectionKeys]) -> Option<(&'a SectionKeys, &'a Key)> {
    let letters = |text: &str| text.replace(['_', '-', '.'], "");
    let word = letters(word);
    let is_it = |section: &SectionKeys, key: &Key| {
        letters(key.name) == word || letters(&join(section.path, key.name)) == word
    };
    let mut keys =
        all.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)));
    keys.find(|(section, key)| is_it(section, key))
}

/// Returns `table.name`, or only `name` at the top.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Reads a default of the schema. A test reads them all, so it never fails in a release.
fn fallback<T: Value>(default: &str) -> T {
    let read = match default {
        "" => T::absent(),
        text => DeValue::parse(text).ok().and_then(|value| T::read(&value).ok()),
    };
    #[expect(clippy::expect_used, reason = "the defaults are constants that a test reads")]
    read.expect("a default of the schema")
}
