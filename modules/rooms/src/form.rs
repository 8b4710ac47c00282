//! Data forms (XEP-0004).

use calypte::prelude::*;

/// The most fields of a form.
const FIELDS_MAX: usize = 64;
/// The most values of a field.
const VALUES_MAX: usize = 1000;

/// The fields of a form with their values.
pub(crate) type Fields = Vec<(String, Vec<String>)>;

/// Returns a field with values.
pub(crate) fn field(name: &str, values: &[String]) -> Element {
    let value = |value: &String| Element::new(ns::DATA_FORMS, "value").with_text(value);
    let field = Element::new(ns::DATA_FORMS, "field").with_attr("var", name);
    values.iter().map(value).fold(field, Element::with_child)
}

/// Returns a field with one value and what people read beside it.
pub(crate) fn labelled(name: &str, label: &str, value: &str) -> Element {
    field(name, &[value.to_owned()]).with_attr("label", label)
}

/// Returns a form of a type: `form` to fill in, `result` to read.
pub(crate) fn start(kind: &str, form_type: &str) -> Element {
    let hidden = field("FORM_TYPE", &[form_type.to_owned()]).with_attr("type", "hidden");
    Element::new(ns::DATA_FORMS, "x").with_attr("type", kind).with_child(hidden)
}

/// Reads a submitted form; one without fields may lack its type.
///
/// # Errors
///
/// `bad-request` when it is none, or one of another type.
pub(crate) fn read(x: Node<'_>, form_type: &str) -> Result<Fields, StanzaError> {
    let mut fields: Fields = Vec::new();
    let mut its_type = None;
    for field in x.children().filter(|node| node.is(ns::DATA_FORMS, "field")) {
        let Some(name) = field.attr("var") else {
            // Text between fields has no name.
            continue;
        };
        let values = field.children().filter(|node| node.is(ns::DATA_FORMS, "value"));
        let values: Vec<_> = values.map(|value| value.text().trim().to_owned()).collect();
        if name == "FORM_TYPE" {
            its_type = values.into_iter().next();
            continue;
        }
        let is_double = fields.iter().any(|(known, _)| *known == name);
        if is_double || fields.len() >= FIELDS_MAX || values.len() > VALUES_MAX {
            return Err(StanzaError::BAD_REQUEST);
        }
        fields.push((name.into_owned(), values));
    }
    let is_of_type = its_type.as_deref().map_or(fields.is_empty(), |name| name == form_type);
    if is_of_type { Ok(fields) } else { Err(StanzaError::BAD_REQUEST) }
}

/// Returns the first value of a field.
pub(crate) fn value<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(known, _)| known == name)?;
    found.1.first().map(String::as_str)
}
