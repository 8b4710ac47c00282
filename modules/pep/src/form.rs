//! Data forms (XEP-0004) as they come.

use calypte::prelude::*;

/// The most fields of a form.
const FIELDS_MAX: usize = 64;

/// The fields of a form with their values.
pub(crate) type Fields = Vec<(String, Vec<String>)>;

/// Reads a submitted form of this type; `None` when it was cancelled.
pub(crate) fn read(x: Node<'_>, form_type: &str) -> Result<Option<Fields>, StanzaError> {
    match x.attr("type").as_deref() {
        Some("cancel") => return Ok(None),
        Some("submit") => {}
        _ => return Err(StanzaError::BAD_REQUEST),
    }
    let mut fields: Fields = Vec::new();
    let mut is_of_type = false;
    for field in x.children().filter(|node| node.is(ns::DATA_FORMS, "field")) {
        let name = field.attr("var").ok_or(StanzaError::BAD_REQUEST)?;
        let values = field.children().filter(|node| node.is(ns::DATA_FORMS, "value"));
        let values: Vec<_> = values.map(|value| value.text().trim().to_owned()).collect();
        if name == "FORM_TYPE" {
            is_of_type = values == [form_type];
            continue;
        }
        if fields.len() >= FIELDS_MAX || fields.iter().any(|(known, _)| *known == name) {
            return Err(StanzaError::BAD_REQUEST);
        }
        fields.push((name.into_owned(), values));
    }
    if is_of_type { Ok(Some(fields)) } else { Err(StanzaError::BAD_REQUEST) }
}
