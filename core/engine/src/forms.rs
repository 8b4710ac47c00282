//! Forms of commands: what clients are shown, what they fill in, and the same on the command line.

use calypte::command::{CommandReply, Field, FieldKind, Form, Outcome};
use calypte::wire::decode;
use xml::{Element, Node};
use xmpp::{ErrorKind, Jid, StanzaError, ns};

/// The most bytes that may be filled in at one stage.
const FILLED_BYTES_MAX: usize = 64 << 10;

/// Writes a form for a client.
pub(crate) fn ask(form: &Form) -> Element {
    let mut x = Element::new(ns::DATA_FORMS, "x").with_attr("type", "form");
    for (name, text) in [("title", &form.title), ("instructions", &form.instructions)] {
        if !text.is_empty() {
            x.push_child(Element::new(ns::DATA_FORMS, name).with_text(text));
        }
    }
    fill(x, form.form_type.as_deref(), &form.fields, true)
}

/// Writes what became of a command for a client: a form of results, and a note.
pub(crate) fn done(outcome: &Outcome) -> Vec<Element> {
    let mut parts = Vec::new();
    if !outcome.text.is_empty() {
        let kind = if outcome.is_error { "error" } else { "info" };
        let note = Element::new(ns::COMMANDS, "note").with_attr("type", kind);
        parts.push(note.with_text(&outcome.text));
    }
    if !outcome.fields.is_empty() {
        let x = Element::new(ns::DATA_FORMS, "x").with_attr("type", "result");
        parts.push(fill(x, outcome.form_type.as_deref(), &outcome.fields, false));
    }
    parts
}

fn fill(mut x: Element, form_type: Option<&str>, fields: &[Field], is_asked: bool) -> Element {
    let value = |text: &str| Element::new(ns::DATA_FORMS, "value").with_text(text);
    if let Some(form_type) = form_type {
        let field = Element::new(ns::DATA_FORMS, "field").with_attr("var", "FORM_TYPE");
        x.push_child(field.with_attr("type", "hidden").with_child(value(form_type)));
    }
    for one in fields {
        let mut field = Element::new(ns::DATA_FORMS, "field")
            .with_attr("var", &one.name)
            .with_attr("type", kind(&one.kind));
        if !one.label.is_empty() {
            field.push_attr("label", &one.label);
        }
        if is_asked && one.is_required {
            field.push_child(Element::new(ns::DATA_FORMS, "required"));
        }
        one.values.iter().for_each(|text| field.push_child(value(text)));
        if let FieldKind::Choice(options) = &one.kind {
            for (text, label) in options {
                let option = Element::new(ns::DATA_FORMS, "option").with_attr("label", label);
                field.push_child(option.with_child(value(text)));
            }
        }
        x.push_child(field);
    }
    x
}

const fn kind(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text-single",
        FieldKind::Private => "text-private",
        FieldKind::Lines => "text-multi",
        FieldKind::Flag => "boolean",
        FieldKind::Address => "jid-single",
        FieldKind::Addresses => "jid-multi",
        FieldKind::Choice(_) => "list-single",
    }
}

/// Reads what a client filled in: one `name=value` a line.
///
/// # Errors
///
/// `bad-payload` when it is too much.
pub(crate) fn filled(payload: Node<'_>) -> Result<String, StanzaError> {
    let mut out = String::new();
    let form = payload.child(ns::DATA_FORMS, "x");
    for field in form.into_iter().flat_map(Node::children) {
        let Some(name) = field.attr("var") else { continue };
        for value in field.children().filter(|node| node.is(ns::DATA_FORMS, "value")) {
            // Neither a name nor a value may make a line of its own.
            let clean = |text: &str| text.replace(['\n', '\r'], " ");
            out.push_str(&format!("{}={}\n", clean(&name), clean(&value.text())));
        }
    }
    if out.len() > FILLED_BYTES_MAX {
        return Err(bad_payload("the form is too long"));
    }
    Ok(out)
}

/// Checks what was filled in against the form that asked for it.
///
/// # Errors
///
/// `bad-payload` with a sentence.
pub(crate) fn check(form: &Form, filled: &str) -> Result<(), StanzaError> {
    for field in &form.fields {
        let lines = filled.lines().filter_map(|line| line.split_once('='));
        let values: Vec<&str> =
            lines.filter(|(name, _)| *name == field.name).map(|(_, value)| value).collect();
        let is_empty = values.iter().all(|value| value.is_empty());
        if is_empty && field.is_required {
            return Err(bad_payload(&format!("{} is missing", name_of(field))));
        }
        let fits = |value: &&str| match &field.kind {
            FieldKind::Flag => matches!(*value, "0" | "1" | "true" | "false"),
            FieldKind::Address | FieldKind::Addresses => Jid::parse(value).is_ok(),
            FieldKind::Choice(options) => options.iter().any(|(option, _)| option == value),
            FieldKind::Text | FieldKind::Private | FieldKind::Lines => true,
        };
        if !is_empty && !values.iter().all(fits) {
            return Err(bad_payload(&format!("{} cannot be that", name_of(field))));
        }
    }
    Ok(())
}

fn name_of(field: &Field) -> &str {
    if field.label.is_empty() { &field.name } else { &field.label }
}

/// Returns what the command line is told of a command with forms.
///
/// # Errors
///
/// What is missing, or why it failed, in a sentence.
pub(crate) fn on_a_line(reply: &[u8]) -> Result<Vec<u8>, StanzaError> {
    match decode(reply).ok_or(StanzaError::INTERNAL)? {
        CommandReply::Ask(form) => Err(missing(&form)),
        CommandReply::Done(outcome) => told(outcome),
        CommandReply::Later => Err(StanzaError::INTERNAL),
    }
}

/// Says what is missing.
fn missing(form: &Form) -> StanzaError {
    let one = |field: &Field| {
        let need = if field.is_required { "" } else { ", if wanted" };
        format!("{}=… ({}{need})", field.name, name_of(field))
    };
    let all: Vec<_> = form.fields.iter().map(one).collect();
    StanzaError::BAD_REQUEST.with_text(format!("it needs {}", all.join(" ")))
}

/// Says what became of it.
fn told(outcome: Outcome) -> Result<Vec<u8>, StanzaError> {
    if outcome.is_error {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text(outcome.text));
    }
    let line = |field: &Field| format!("{}: {}", name_of(field), field.values.join(", "));
    let text = Some(outcome.text).filter(|text| !text.is_empty());
    let lines = text.into_iter().chain(outcome.fields.iter().map(line));
    Ok(lines.collect::<Vec<_>>().join("\n").into_bytes())
}

/// An error with what XEP-0050 §4.4 adds to it.
pub(crate) fn error(error: StanzaError, detail: &str) -> StanzaError {
    error.with_detail(&Element::new(ns::COMMANDS, detail))
}

fn bad_payload(why: &str) -> StanzaError {
    let bad = StanzaError { kind: ErrorKind::Modify, ..StanzaError::BAD_REQUEST };
    error(bad.with_text(why.to_owned()), "bad-payload")
}
