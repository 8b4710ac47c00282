//! What the probe shows to service discovery.

use calypte::prelude::*;

use crate::act::{ACCOUNT, Text};
use crate::{Probe, act_panic};

const NODE: &str = "urn:example:node";

impl Probe {
    /// Adds a form, where the operator gave it a mark, and has a node that says who asks.
    pub(crate) fn info(&self, asked: &Discovery<'_>, cx: &mut Context<'_, '_>) -> Shown {
        let identity = Element::new(ns::DISCO_INFO, "identity");
        match asked.node {
            None if self.0.mark.is_empty() => Ok(None),
            None if self.0.mark == "broken" => Err(StanzaError::INTERNAL),
            None => {
                let who = asked.from.map_or("nobody", |from| from.as_str());
                let values =
                    [("FORM_TYPE", "urn:example:form"), ("mark", &self.0.mark), ("who", who)];
                let mut form = Element::new(ns::DATA_FORMS, "x").with_attr("type", "result");
                for (name, value) in values {
                    let kind = if name == "FORM_TYPE" { "hidden" } else { "text-single" };
                    let field = Element::new(ns::DATA_FORMS, "field");
                    let value = Element::new(ns::DATA_FORMS, "value").with_text(value);
                    let field = field.with_attr("var", name).with_attr("type", kind);
                    form.push_child(field.with_child(value));
                }
                Ok(Some(vec![form]))
            }
            Some(NODE) => {
                let who = asked.from.map_or("nobody", |from| from.as_str());
                let is_own = if cx.session_jid().is_some() { "own" } else { "other" };
                let identity = identity.with_attr("category", "example").with_attr("type", is_own);
                Ok(Some(vec![identity.with_attr("name", who)]))
            }
            Some("urn:example:refused") => {
                let detail = Element::new("urn:example:probe", "why");
                Err(StanzaError::FORBIDDEN.with_detail(&detail))
            }
            Some("urn:example:panics") => act_panic().map(|()| None),
            Some("urn:example:writes") => {
                cx.put(&ACCOUNT, "k", &Text("v".to_owned())).map(|()| None)
            }
            Some(_) => Ok(None),
        }
    }

    /// Has its node as an item, which has an item.
    pub(crate) fn items(&self, asked: &Discovery<'_>, cx: &mut Context<'_, '_>) -> Shown {
        let item = Element::new(ns::DISCO_ITEMS, "item").with_attr("jid", cx.owner().as_str());
        match asked.node {
            None => Ok(Some(vec![item.with_attr("node", NODE)])),
            Some(NODE) => Ok(Some(vec![item.with_attr("name", "one")])),
            Some("urn:example:empty") => Ok(Some(Vec::new())),
            Some(_) => Ok(None),
        }
    }
}
