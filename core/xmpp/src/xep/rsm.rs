//! XEP-0059: parts of a long result.

use xml::{Element, Node};

use crate::{StanzaError, ns};

/// Which part of a result is wanted (§2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// How many items at most; 0: only how many there are.
    pub max: Option<u32>,
    /// What is in front of this item, the last of it first. Empty: the end of the result.
    pub before: Option<String>,
    /// What is behind this item. Empty is as if it were not there.
    pub after: Option<String>,
}

impl Part {
    /// Reads a `<set/>` of a request.
    ///
    /// # Errors
    ///
    /// `bad-request` for a `max` that is no number, `feature-not-implemented` for an `index`: nobody
    /// counts how many are in front of a place (§2.6).
    pub fn read(set: Node<'_>) -> Result<Self, StanzaError> {
        if set.has_child(ns::RSM, "index") {
            return Err(StanzaError::FEATURE_NOT_IMPLEMENTED);
        }
        let text = |name| set.child_text(ns::RSM, name).map(|text| text.trim().to_owned());
        let max = text("max").map(|max| max.parse().map_err(|_| StanzaError::BAD_REQUEST));
        let after = text("after").filter(|after| !after.is_empty());
        Ok(Self { max: max.transpose()?, before: text("before"), after })
    }
}

/// Returns the `<set/>` of an answer: the names of the first and the last item, `None` for both in an
/// answer without items, and of how many they are a part, where that is known.
#[must_use]
pub fn given(ends: Option<(&str, &str)>, count: Option<u64>) -> Element {
    let mut set = Element::new(ns::RSM, "set");
    if let Some((first, last)) = ends {
        set.push_child(Element::new(ns::RSM, "first").with_text(first));
        set.push_child(Element::new(ns::RSM, "last").with_text(last));
    }
    if let Some(count) = count {
        set.push_child(Element::new(ns::RSM, "count").with_text(&count.to_string()));
    }
    set
}

#[cfg(test)]
mod tests {
    use xml::Flat;

    use super::*;

    fn read(content: &str) -> Result<Part, StanzaError> {
        let xml = format!("<set xmlns='{}'>{content}</set>", ns::RSM);
        Part::read(Flat::parse(&xml, "").unwrap().root())
    }

    #[test]
    fn reads_which_part_is_wanted() {
        assert_eq!(read("").unwrap(), Part::default());
        let part = read("<max> 10 </max><after>a</after><before/>").unwrap();
        let (before, after) = (Some(String::new()), Some("a".to_owned()));
        assert_eq!(part, Part { max: Some(10), before, after });
        assert_eq!(read("<after/>").unwrap().after, None);
        assert_eq!(read("<max>many</max>"), Err(StanzaError::BAD_REQUEST));
        assert_eq!(read("<max>-1</max>"), Err(StanzaError::BAD_REQUEST));
        assert_eq!(read("<index>3</index>"), Err(StanzaError::FEATURE_NOT_IMPLEMENTED));
    }

    #[test]
    fn says_which_part_is_given() {
        let set = given(Some(("a", "b")), Some(7)).to_xml("");
        assert!(set.contains("<first>a</first><last>b</last><count>7</count>"), "{set}");
        assert!(given(None, None).children().next().is_none());
    }
}
