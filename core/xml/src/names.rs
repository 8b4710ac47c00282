//! The namespaces of one element, each once, and those of its stream.

use std::collections::BTreeMap;

/// Names that are looked through one by one. More are found by a map, or the work would grow with
/// the square of their number.
const FEW: usize = 16;

/// Names, by the place where they were first met.
pub(crate) struct Names<'a> {
    pub(crate) all: Vec<&'a str>,
    /// Where each name stands, but for the first [`FEW`].
    places: BTreeMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    /// Returns those that are always there.
    pub(crate) fn new(first: &[&'a str]) -> Self {
        Self { all: first.to_vec(), places: BTreeMap::new() }
    }

    /// Returns the place of a name, which it has from now on.
    pub(crate) fn intern(&mut self, name: &'a str) -> usize {
        let few = self.all.iter().take(FEW).position(|known| *known == name);
        if let Some(known) = few.or_else(|| self.places.get(name).copied()) {
            return known;
        }
        let place = self.all.len();
        self.all.push(name);
        if place >= FEW {
            self.places.insert(name, place);
        }
        place
    }
}

/// What the root of a stream declared.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamNames {
    pub(crate) default: String,
    pub(crate) prefixes: Vec<(String, String)>,
    /// A namespace, and the one that it is read as.
    pub(crate) read_as: Option<(&'static str, &'static str)>,
}

impl StreamNames {
    /// Returns the names of an element that stands alone.
    pub(crate) fn of_default(default: &str) -> Self {
        Self { default: default.to_owned(), ..Self::default() }
    }

    /// Returns what a namespace is read as.
    pub(crate) fn read<'a>(&self, ns: &'a str) -> &'a str {
        match self.read_as {
            Some((from, to)) if from == ns => to,
            _ => ns,
        }
    }
}
