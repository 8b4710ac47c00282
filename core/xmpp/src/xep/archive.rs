//! XEP-0313: what is asked of an archive, and how its messages are shown.

use xml::{Element, Node};

use crate::xep::{delay, rsm};
use crate::{Jid, StanzaError, ns};

/// The most ids in one query.
const IDS_MAX: usize = 250;

/// The fields of a query's form (§4.1); those that were not given are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// With whom, or from whom.
    pub with: Option<Jid>,
    /// Not before this time, in milliseconds since 1970.
    pub start_ms: Option<u64>,
    /// Not after this time.
    pub end_ms: Option<u64>,
    /// In front of the message with this name.
    pub before_id: Option<String>,
    /// Behind the message with this name.
    pub after_id: Option<String>,
    /// Only these messages, 250 at most.
    pub ids: Vec<String>,
}

impl Filter {
    /// Reads the form of a query.
    ///
    /// # Errors
    ///
    /// `bad-request` for what is no such form, `jid-malformed`, `policy-violation` for too many ids,
    /// `feature-not-implemented` for fields that nobody knows here.
    pub fn read(x: Node<'_>) -> Result<Self, StanzaError> {
        if x.attr("type").as_deref() != Some("submit") {
            return Err(StanzaError::BAD_REQUEST);
        }
        let mut filter = Self::default();
        let mut seen = Vec::new();
        for field in x.children().filter(|node| node.is(ns::DATA_FORMS, "field")) {
            let name = field.attr("var").ok_or(StanzaError::BAD_REQUEST)?;
            if seen.contains(&name) {
                return Err(StanzaError::BAD_REQUEST);
            }
            filter.take(&name, field)?;
            seen.push(name);
        }
        let is_named = seen.iter().any(|name| name == "FORM_TYPE");
        if is_named { Ok(filter) } else { Err(StanzaError::BAD_REQUEST) }
    }

    fn take(&mut self, name: &str, field: Node<'_>) -> Result<(), StanzaError> {
        let values = field.children().filter(|node| node.is(ns::DATA_FORMS, "value"));
        let mut values: Vec<_> = values.map(|value| value.text().trim().to_owned()).collect();
        if name == "ids" {
            self.ids = values;
            return if self.ids.len() > IDS_MAX {
                Err(StanzaError::POLICY_VIOLATION)
            } else {
                Ok(())
            };
        }
        let value = values.pop().filter(|_| values.is_empty()).ok_or(StanzaError::BAD_REQUEST)?;
        let time = || delay::read_date_time(&value).ok_or(StanzaError::BAD_REQUEST);
        match name {
            "FORM_TYPE" if value == ns::ARCHIVE => {}
            "FORM_TYPE" => return Err(StanzaError::BAD_REQUEST),
            "with" => {
                self.with = Some(Jid::parse(&value).map_err(|_| StanzaError::JID_MALFORMED)?);
            }
            "start" => self.start_ms = Some(time()?),
            "end" => self.end_ms = Some(time()?),
            "before-id" => self.before_id = Some(value),
            "after-id" => self.after_id = Some(value),
            // An archive has what was said in rooms, or it has not.
            "include-groupchat" if matches!(&*value, "true" | "false" | "1" | "0") => {}
            "include-groupchat" => return Err(StanzaError::BAD_REQUEST),
            _ => return Err(StanzaError::FEATURE_NOT_IMPLEMENTED),
        }
        Ok(())
    }

    /// Tells whether all messages are meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Returns the `<query/>` that says which fields a query may have (§4.1.5).
#[must_use]
pub fn form() -> Element {
    let field = |ty: &str, var: &str| {
        Element::new(ns::DATA_FORMS, "field").with_attr("type", ty).with_attr("var", var)
    };
    let value = Element::new(ns::DATA_FORMS, "value").with_text(ns::ARCHIVE);
    let open = Element::new(ns::VALIDATE, "validate")
        .with_attr("datatype", "xs:string")
        .with_child(Element::new(ns::VALIDATE, "open"));
    let form = Element::new(ns::DATA_FORMS, "x")
        .with_attr("type", "form")
        .with_child(field("hidden", "FORM_TYPE").with_child(value))
        .with_child(field("jid-single", "with"))
        .with_child(field("text-single", "start"))
        .with_child(field("text-single", "end"))
        .with_child(field("text-single", "before-id"))
        .with_child(field("text-single", "after-id"))
        .with_child(field("list-multi", "ids").with_child(open))
        .with_child(field("boolean", "include-groupchat"));
    Element::new(ns::ARCHIVE, "query").with_child(form)
}

/// Returns the `<result/>` with a message (§4.2): its name, when it came, and the stanza as it was
/// written, in the namespace of clients.
#[must_use]
pub fn result(name: &str, query_id: Option<&str>, stamp_ms: u64, xml: &str) -> Element {
    let stamp = delay::date_time(stamp_ms);
    let delay = Element::new(ns::DELAY, "delay").with_attr("stamp", &stamp);
    // Inside, the message says its namespace itself.
    let original = xml.replacen("<message", "<message xmlns=\"jabber:client\"", 1);
    let forwarded = Element::new(ns::FORWARD, "forwarded").with_child(delay).with_raw(original);
    let mut result = Element::new(ns::ARCHIVE, "result").with_attr("id", name);
    if let Some(query_id) = query_id {
        result.push_attr("queryid", query_id);
    }
    result.with_child(forwarded)
}

/// Says that a page is over, where it began and ended, and of how many messages it is a part, where
/// that is known (§4.3).
#[must_use]
pub fn fin(ends: Option<(&str, &str)>, count: Option<u64>, has_more: bool) -> Element {
    let fin = Element::new(ns::ARCHIVE, "fin").with_child(rsm::given(ends, count));
    if has_more { fin } else { fin.with_attr("complete", "true") }
}

/// Returns the `<metadata/>` of an archive (§5): the names and times of its first and last message.
#[must_use]
pub fn metadata(ends: Option<[(&str, u64); 2]>) -> Element {
    let mut metadata = Element::new(ns::ARCHIVE, "metadata");
    for (end, (name, stamp_ms)) in ["start", "end"].into_iter().zip(ends.into_iter().flatten()) {
        let end = Element::new(ns::ARCHIVE, end).with_attr("id", name);
        metadata.push_child(end.with_attr("timestamp", &delay::date_time(stamp_ms)));
    }
    metadata
}

/// The name of a message in an archive (XEP-0359): where it is, and 64 random bits.
///
/// It carries its place, so that it needs no table of its own, and the bits have to be those of the
/// message: nobody can name a message that was not shown, and nobody can count by names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// Where it is in the archive.
    pub place: u64,
    /// The bits.
    pub tail: u64,
}

impl Name {
    /// Reads what [`Name::write`] wrote, `None` for anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return None;
        }
        let (hidden, tail) = text.split_at_checked(16)?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (hidden, tail) = (number(hidden)?, number(tail)?);
        Some(Self { place: hidden ^ tail, tail })
    }

    /// Writes it as 32 digits.
    #[must_use]
    pub fn write(self) -> String {
        format!("{:016x}{:016x}", self.place ^ self.tail, self.tail)
    }
}

#[cfg(test)]
mod tests {
    use xml::Flat;

    use super::*;

    fn read(fields: &str) -> Result<Filter, StanzaError> {
        let kind = format!("<field var='FORM_TYPE'><value>{}</value></field>", ns::ARCHIVE);
        let xml = format!("<x xmlns='{}' type='submit'>{kind}{fields}</x>", ns::DATA_FORMS);
        Filter::read(Flat::parse(&xml, "").unwrap().root())
    }

    #[test]
    fn reads_what_is_asked() {
        assert!(read("").unwrap().is_empty());
        let filter = read(
            "<field var='with'><value>a@b.example</value></field><field \
             var='start'><value>1970-01-01T00:00:01Z</value></field>",
        );
        let filter = filter.unwrap();
        assert_eq!((filter.start_ms, filter.is_empty()), (Some(1000), false));
        assert_eq!(filter.with.unwrap().as_str(), "a@b.example");
        let twice = "<field var='end'><value>x</value></field>".repeat(2);
        assert_eq!(read(&twice), Err(StanzaError::BAD_REQUEST));
        let unknown = "<field var='withtext'><value>x</value></field>";
        assert_eq!(read(unknown), Err(StanzaError::FEATURE_NOT_IMPLEMENTED));
    }

    #[test]
    fn names_come_back() {
        let name = Name { place: 0x0123_4567_89ab_cdef, tail: 0xfedc_ba98_7654_3210 };
        assert_eq!(name.write(), "fffffffffffffffffedcba9876543210");
        assert_eq!(Name::read(&name.write()), Some(name));
        for bad in ["", "1", "FFFFFFFFFFFFFFFFFEDCBA9876543210", "+000000000000000fedcba9876543210"]
        {
            assert_eq!(Name::read(bad), None, "{bad}");
        }
        assert_eq!(Name::read(&"é".repeat(16)), None);
    }
}
