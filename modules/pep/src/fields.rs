//! How a node is configured (XEP-0060 §16.4.4): the fields that can be seen, and those among them that
//! can be changed.

use calypte::prelude::*;
use tables::{PepAccess, PepLast, PepNode};

use crate::Config;
use crate::form::Fields;

/// The type of the form.
pub(crate) const FORM_TYPE: &str = "http://jabber.org/protocol/pubsub#node_config";
/// The type of the form with what is known of a node (§5.4).
const META_TYPE: &str = "http://jabber.org/protocol/pubsub#meta-data";
/// The longest text for people.
const TEXT_BYTES_MAX: usize = 1023;
/// The most groups of a node.
const GROUPS_MAX: usize = 100;

const ACCESS: &[(&str, PepAccess)] = &[
    ("open", PepAccess::Open),
    ("presence", PepAccess::Presence),
    ("roster", PepAccess::Roster),
    ("whitelist", PepAccess::Whitelist),
];

const LAST: &[(&str, PepLast)] = &[
    ("never", PepLast::Never),
    ("on_sub", PepLast::OnSubscribe),
    ("on_sub_and_presence", PepLast::OnPresence),
];

/// A field of the configuration.
struct Field {
    name: &'static str,
    kind: &'static str,
    label: &'static str,
    options: &'static [&'static str],
    get: fn(&PepNode, &Config) -> Vec<String>,
    /// Changes the node; says whether the value can be.
    set: fn(&mut PepNode, &[String], &Config) -> bool,
}

/// Describes a field that is yes or no.
macro_rules! yes_no {
    ($name:literal, $label:literal, $field:ident) => {
        Field {
            name: $name,
            kind: "boolean",
            label: $label,
            options: &[],
            get: |node, _| vec![bit(node.$field)],
            set: |node, values, _| truth(values).map(|is| node.$field = is).is_some(),
        }
    };
}

/// Describes a field with a text for people.
macro_rules! text {
    ($name:literal, $label:literal, $field:ident) => {
        Field {
            name: $name,
            kind: "text-single",
            label: $label,
            options: &[],
            get: |node, _| vec![node.$field.clone()],
            set: |node, values, _| short(values).map(|text| node.$field = text).is_some(),
        }
    };
}

/// Describes a field that has one value for all nodes.
macro_rules! fixed {
    ($name:literal, $kind:literal, $label:literal, $value:literal) => {
        Field {
            name: $name,
            kind: $kind,
            label: $label,
            options: &[$value],
            get: |_, _| vec![$value.to_owned()],
            set: |_, values, _| same(values, $value),
        }
    };
}

const FIELDS: &[Field] = &[
    text!("pubsub#title", "A short name for the node", title),
    text!("pubsub#description", "What the node is for", description),
    text!("pubsub#type", "The namespace of the items", payload_type),
    Field {
        name: "pubsub#access_model",
        kind: "list-single",
        label: "Who may see and subscribe",
        options: &["open", "presence", "roster", "whitelist"],
        get: |node, _| vec![word(ACCESS, node.access)],
        set: |node, values, _| chosen(ACCESS, values).map(|is| node.access = is).is_some(),
    },
    Field {
        name: "pubsub#roster_groups_allowed",
        kind: "list-multi",
        label: "The groups of the roster that may, when that is who may",
        options: &[],
        get: |node, _| node.groups.clone(),
        set: |node, values, _| {
            let fits = values.len() <= GROUPS_MAX
                && values.iter().all(|group| group.len() <= TEXT_BYTES_MAX);
            if fits {
                node.groups = values.to_vec();
            }
            fits
        },
    },
    yes_no!("pubsub#persist_items", "Keep items", persist),
    Field {
        name: "pubsub#max_items",
        kind: "text-single",
        label: "How many items are kept; \"max\" for as many as there may be",
        options: &[],
        get: |node, _| vec![node.max_items.map_or_else(|| "max".to_owned(), |max| max.to_string())],
        set: |node, values, config| {
            let max = match values {
                [max] if max == "max" => Some(None),
                [max] => max.parse().ok().filter(|max| (1..=config.items).contains(max)).map(Some),
                _ => None,
            };
            max.map(|max| node.max_items = max).is_some()
        },
    },
    Field {
        name: "pubsub#send_last_published_item",
        kind: "list-single",
        label: "When the last item is sent to somebody who has not asked for it",
        options: &["never", "on_sub", "on_sub_and_presence"],
        get: |node, _| vec![word(LAST, node.send_last)],
        set: |node, values, _| chosen(LAST, values).map(|is| node.send_last = is).is_some(),
    },
    yes_no!("pubsub#deliver_notifications", "Tell of changes", notify),
    yes_no!("pubsub#deliver_payloads", "Tell what the items say", payloads),
    yes_no!("pubsub#notify_retract", "Tell of items that are taken back", notify_retract),
    yes_no!("pubsub#notify_delete", "Tell of the end of the node", notify_delete),
    yes_no!("pubsub#notify_config", "Tell of another configuration", notify_config),
    fixed!("pubsub#notify_sub", "boolean", "Tell of subscribers", "0"),
    fixed!("pubsub#notification_type", "list-single", "How changes are told", "headline"),
    fixed!("pubsub#publish_model", "list-single", "Who may publish", "publishers"),
    fixed!("pubsub#subscribe", "boolean", "Allow subscriptions", "1"),
    fixed!("pubsub#purge_offline", "boolean", "Purge when the publisher goes", "0"),
    fixed!("pubsub#presence_based_delivery", "boolean", "Tell only who is there", "0"),
    fixed!("pubsub#item_expire", "text-single", "After how many seconds an item goes", "max"),
    Field {
        name: "pubsub#max_payload_size",
        kind: "text-single",
        label: "The largest item in bytes",
        options: &[],
        get: |_, config| vec![config.item_bytes.bytes.to_string()],
        set: |_, values, config| same(values, &config.item_bytes.bytes.to_string()),
    },
];

/// Returns a node as it is when nobody says anything (XEP-0163 §5).
pub(crate) fn default_node(now_ms: u64) -> PepNode {
    PepNode {
        access: PepAccess::Presence,
        groups: Vec::new(),
        persist: true,
        max_items: Some(1),
        send_last: PepLast::OnPresence,
        notify: true,
        payloads: true,
        notify_retract: true,
        notify_delete: true,
        notify_config: false,
        title: String::new(),
        description: String::new(),
        payload_type: String::new(),
        created_ms: now_ms,
        last: 0,
        items: 0,
        bytes: 0,
    }
}

/// Returns the configuration as a form to fill in, or as a result to be read.
pub(crate) fn form(node: &PepNode, config: &Config, kind: &str) -> Element {
    let mut form = empty_form(kind, FORM_TYPE);
    for field in FIELDS {
        let mut element = Element::new(ns::DATA_FORMS, "field")
            .with_attr("var", field.name)
            .with_attr("type", field.kind)
            .with_attr("label", field.label);
        if field.kind == "list-single" {
            for option in field.options {
                let value = Element::new(ns::DATA_FORMS, "value").with_text(option);
                element.push_child(Element::new(ns::DATA_FORMS, "option").with_child(value));
            }
        }
        for value in (field.get)(node, config).iter().filter(|value| !value.is_empty()) {
            element.push_child(Element::new(ns::DATA_FORMS, "value").with_text(value));
        }
        form.push_child(element);
    }
    form
}

/// Returns what is known of a node to everybody who may see it (§5.4).
pub(crate) fn about(node: &PepNode, owner: &str) -> Element {
    let created = xep::delay::date_time(node.created_ms);
    let items = node.items.to_string();
    let access = word(ACCESS, node.access);
    let all = [
        ("pubsub#title", node.title.as_str()),
        ("pubsub#description", &node.description),
        ("pubsub#type", &node.payload_type),
        ("pubsub#access_model", &access),
        ("pubsub#creation_date", &created),
        ("pubsub#creator", owner),
        ("pubsub#owner", owner),
        ("pubsub#publish_model", "publishers"),
        ("pubsub#num_items", &items),
    ];
    let mut form = empty_form("result", META_TYPE);
    for (name, value) in all.into_iter().filter(|(_, value)| !value.is_empty()) {
        form.push_child(
            Element::new(ns::DATA_FORMS, "field")
                .with_attr("var", name)
                .with_child(Element::new(ns::DATA_FORMS, "value").with_text(value)),
        );
    }
    form
}

fn empty_form(kind: &str, form_type: &str) -> Element {
    let value = Element::new(ns::DATA_FORMS, "value").with_text(form_type);
    let hidden = Element::new(ns::DATA_FORMS, "field")
        .with_attr("var", "FORM_TYPE")
        .with_attr("type", "hidden")
        .with_child(value);
    Element::new(ns::DATA_FORMS, "x").with_attr("type", kind).with_child(hidden)
}

/// Configures a node. Fields that nobody knows say nothing (XEP-0068 §3.4).
///
/// # Errors
///
/// `not-acceptable` when a field cannot have that value.
pub(crate) fn apply(node: &mut PepNode, fields: &Fields, config: &Config) -> Done {
    for (name, values) in fields {
        let Some(field) = FIELDS.iter().find(|field| field.name == name) else { continue };
        if !(field.set)(node, values, config) {
            let why = format!("{} cannot have that value.", field.name);
            return Err(StanzaError::NOT_ACCEPTABLE.with_text(why));
        }
    }
    Ok(())
}

/// Tells whether a node is as somebody thinks that it is (§7.1.5). Of what nobody knows it is not.
pub(crate) fn meets(node: &PepNode, fields: &Fields, config: &Config) -> bool {
    fields.iter().all(|(name, values)| {
        let mut wanted = node.clone();
        let field = FIELDS.iter().find(|field| field.name == name);
        field.is_some_and(|field| (field.set)(&mut wanted, values, config)) && wanted == *node
    })
}

/// Tells whether all fields are known.
pub(crate) fn are_known(fields: &Fields) -> bool {
    fields.iter().all(|(name, _)| FIELDS.iter().any(|field| field.name == name))
}

fn bit(is: bool) -> String {
    if is { "1" } else { "0" }.to_owned()
}

fn truth(values: &[String]) -> Option<bool> {
    match values {
        [value] if value == "1" || value == "true" => Some(true),
        [value] if value == "0" || value == "false" => Some(false),
        _ => None,
    }
}

/// Returns a text that is no longer than it may be; without a value it is empty.
fn short(values: &[String]) -> Option<String> {
    match values {
        [] => Some(String::new()),
        [text] if text.len() <= TEXT_BYTES_MAX => Some(text.clone()),
        _ => None,
    }
}

fn same(values: &[String], fixed: &str) -> bool {
    match values {
        [value] if value == fixed => true,
        _ => truth(values).is_some_and(|is| bit(is) == fixed),
    }
}

fn word<T: Copy + PartialEq>(words: &[(&str, T)], of: T) -> String {
    let found = words.iter().find(|(_, its)| *its == of);
    found.map(|(word, _)| (*word).to_owned()).unwrap_or_default()
}

fn chosen<T: Copy>(words: &[(&str, T)], values: &[String]) -> Option<T> {
    let [value] = values else { return None };
    words.iter().find(|(word, _)| word == value).map(|(_, its)| *its)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Fields {
        vec![(name.to_owned(), vec![value.to_owned()])]
    }

    #[test]
    fn a_node_meets_what_it_was_made_with() {
        let config = Config::default();
        for (name, value) in [
            ("pubsub#access_model", "whitelist"),
            ("pubsub#max_items", "max"),
            ("pubsub#max_items", "1000"),
            ("pubsub#persist_items", "false"),
            ("pubsub#send_last_published_item", "never"),
            ("pubsub#purge_offline", "false"),
            ("pubsub#notification_type", "headline"),
            ("pubsub#max_payload_size", "262144"),
        ] {
            let mut node = default_node(0);
            let wish = one(name, value);
            assert!(apply(&mut node, &wish, &config).is_ok(), "{name}={value}");
            assert!(meets(&node, &wish, &config), "{name}={value}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let config = Config::default();
        for (name, value) in [
            ("pubsub#access_model", "authorize"),
            ("pubsub#max_items", "1001"),
            ("pubsub#max_items", "0"),
            ("pubsub#persist_items", "maybe"),
            ("pubsub#publish_model", "open"),
            ("pubsub#title", &"x".repeat(1024)),
        ] {
            let mut node = default_node(0);
            assert!(apply(&mut node, &one(name, value), &config).is_err(), "{name}={value}");
            assert!(!meets(&node, &one(name, value), &config), "{name}={value}");
        }
        assert!(!meets(&default_node(0), &one("pubsub#unheard_of", "1"), &config));
        assert!(apply(&mut default_node(0), &one("pubsub#unheard_of", "1"), &config).is_ok());
    }
}
