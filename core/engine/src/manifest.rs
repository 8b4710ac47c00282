//! What a module says about itself.

use std::collections::BTreeMap;

/// A manifest, as read from a binary or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The name of the module.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence.
    pub about: String,
    /// Whether it fails closed and is never switched off.
    pub is_security: bool,
    /// Specification and version.
    pub xeps: Vec<(String, String)>,
    /// Whose feature (`domain`, `account`, `everywhere`) and its name.
    pub features: Vec<(String, String)>,
    /// Whose identity (`domain`, `account`), and its category and type, separated by a space.
    pub identities: Vec<(String, String)>,
    /// Settings: kind, default and sentence, by name.
    pub keys: BTreeMap<String, [String; 3]>,
    /// Registrations, in the order of their numbers.
    pub hooks: Vec<HookLine>,
}

/// A registration: what it is, and up to five words about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookLine {
    /// The words.
    pub words: [String; 6],
}

impl Manifest {
    /// Reads the lines. Lines of a newer version that are not understood are passed over.
    ///
    /// # Errors
    ///
    /// A sentence, when it is no manifest.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some("calypte-manifest 1") {
            return Err("the manifest has no first line that this server knows".to_owned());
        }
        let mut manifest = Self::default();
        for line in lines {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            manifest.take(key, value);
        }
        if manifest.name.is_empty() {
            return Err("the manifest gives no name".to_owned());
        }
        Ok(manifest)
    }

    /// Takes from the operator's settings, by their names, what hooks are to be called by.
    #[must_use]
    pub fn with_settings(mut self, setting: impl Fn(&str) -> Option<String>) -> Self {
        for hook in self.hooks.iter_mut().filter(|hook| hook.kind() == "serve") {
            if let Some(label) = setting(hook.word(2))
                && let Some(word) = hook.words.get_mut(1)
            {
                *word = label;
            }
        }
        self
    }

    fn take(&mut self, key: &str, value: &str) {
        let pair = || {
            let (first, second) = value.split_once(' ').unwrap_or((value, ""));
            (first.to_owned(), second.to_owned())
        };
        match key {
            "name" => value.clone_into(&mut self.name),
            "version" => value.clone_into(&mut self.version),
            "about" => value.clone_into(&mut self.about),
            "security" => self.is_security = value == "yes",
            "xep" => self.xeps.push(pair()),
            "feature" => self.features.push(pair()),
            "identity" => self.identities.push(pair()),
            "config" => {
                let mut words = value.split('\t').map(str::to_owned);
                let mut next = || words.next().unwrap_or_default();
                let name = next();
                self.keys.insert(name, [next(), next(), next()]);
            }
            "hook" => {
                let mut words = value.split('\t').map(str::to_owned);
                let words = std::array::from_fn(|_| words.next().unwrap_or_default());
                self.hooks.push(HookLine { words });
            }
            _ => {}
        }
    }
}

impl HookLine {
    /// Returns a word; empty when it says nothing.
    #[must_use]
    pub fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// Returns what it is.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.word(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_modules_write() {
        let text = "calypte-manifest 1\nname hello\nabout Greets whoever asks.\nsecurity no\n\
                    xep 0030 2.5\nfeature domain urn:x\nconfig a\ttext\t\"b\"\tSays c.\n\
                    hook iq-get\tdomain\turn:x\thello\t-\t-\nfuture thing\n";
        let manifest = Manifest::read(text).unwrap();
        assert_eq!(manifest.name, "hello");
        assert_eq!(manifest.xeps, [("0030".to_owned(), "2.5".to_owned())]);
        assert_eq!(manifest.hooks.first().map(|hook| hook.word(3)), Some("hello"));
        assert_eq!(manifest.keys.get("a").map(|key| key[2].as_str()), Some("Says c."));
        assert!(Manifest::read("something else").is_err());
        let text = "calypte-manifest 1\nname a\nhook serve\trooms\tlabel\t-\t-\t-\n";
        let label = |key: &str| (key == "label").then(|| "chat".to_owned());
        let manifest = Manifest::read(text).unwrap().with_settings(label);
        assert_eq!(manifest.hooks.first().map(|hook| hook.word(1)), Some("chat"));
        assert!(Manifest::read("calypte-manifest 1\n").is_err());
    }
}
