//! The owner makes, configures, empties and deletes nodes (XEP-0060 §8).

use calypte::notice::PepChanged;
use calypte::prelude::*;
use tables::PEP_NODES;

use crate::errors::unsupported;
use crate::{Pep, change, checked_name, events, fields, form, node_name, own, rows};

impl Pep {
    /// Makes a node (§8.1).
    pub(crate) fn create(
        &self,
        request: &Request<'_>,
        action: Node<'_>,
        cx: &mut Context<'_, '_>,
    ) -> IqResult {
        own(request, cx)?;
        let given = action.attr("node").filter(|name| !name.is_empty());
        let is_instant = given.is_none();
        let name = match given {
            Some(name) => checked_name(name.into_owned())?,
            None => cx.random_name(24)?,
        };
        if cx.get(&PEP_NODES, &name)?.is_some() {
            return Err(StanzaError::CONFLICT);
        }
        self.keep_pace(1, cx)?;
        let mut node = fields::default_node(cx.now_ms());
        let configure = request.query()?.child(ns::PUBSUB, "configure");
        if let Some(x) = configure.and_then(|configure| configure.child(ns::DATA_FORMS, "x")) {
            let wanted = form::read(x, fields::FORM_TYPE)?.unwrap_or_default();
            fields::apply(&mut node, &wanted, &self.0)?;
        }
        rows::add_node(&name, &node, self.0.nodes, cx)?;
        if !is_instant {
            return Ok(Reply::Empty);
        }
        let create = Element::new(ns::PUBSUB, "create").with_attr("node", &name);
        Ok(Reply::With(Element::new(ns::PUBSUB, "pubsub").with_child(create)))
    }

    /// Shows how a node is configured (§8.2.1).
    pub(crate) fn configuration(&self, action: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let name = node_name(action)?;
        let node = rows::node(&name, cx)?;
        let configure = Element::new(ns::PUBSUB_OWNER, "configure")
            .with_attr("node", &name)
            .with_child(fields::form(&node, &self.0, "form"));
        Ok(Reply::With(Element::new(ns::PUBSUB_OWNER, "pubsub").with_child(configure)))
    }

    /// Shows how a node is when nobody says anything (§8.3).
    pub(crate) fn default_configuration(&self, cx: &Context<'_, '_>) -> Reply {
        let node = fields::default_node(cx.now_ms());
        let default = Element::new(ns::PUBSUB_OWNER, "default");
        let default = default.with_child(fields::form(&node, &self.0, "form"));
        Reply::With(Element::new(ns::PUBSUB_OWNER, "pubsub").with_child(default))
    }

    /// Configures a node (§8.2.4).
    pub(crate) fn configure(&self, action: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let name = node_name(action)?;
        let before = rows::node(&name, cx)?;
        let x = action.child(ns::DATA_FORMS, "x").ok_or(StanzaError::BAD_REQUEST)?;
        let Some(wanted) = form::read(x, fields::FORM_TYPE)? else { return Ok(Reply::Empty) };
        let mut node = before.clone();
        fields::apply(&mut node, &wanted, &self.0)?;
        if node == before {
            return Ok(Reply::Empty);
        }
        self.keep_pace(1, cx)?;
        cx.put(&PEP_NODES, &name, &node)?;
        let max = if node.persist { change::max_items(&node, &self.0) } else { 0 };
        rows::trim(&name, &mut node, max, cx)?;
        events::configured(&name, &node, &self.0, cx)?;
        if before.items > 0 && node.items == 0 {
            return emptied(name, cx);
        }
        Ok(Reply::Empty)
    }
}

/// Deletes all items of a node (§8.5).
pub(crate) fn purge(action: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
    let name = node_name(action)?;
    let mut node = rows::node(&name, cx)?;
    if !node.persist {
        return Err(unsupported("persistent-items"));
    }
    rows::empty(&name, &mut node, cx)?;
    events::purged(&name, &node, cx)?;
    emptied(name, cx)
}

/// Deletes a node (§8.4).
pub(crate) fn delete(action: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
    let name = node_name(action)?;
    let node = rows::node(&name, cx)?;
    let redirect = action.child(ns::PUBSUB_OWNER, "redirect").and_then(|redirect| {
        let uri = redirect.attr("uri")?;
        Some(Element::new(ns::PUBSUB_EVENT, "redirect").with_attr("uri", &uri))
    });
    // While it is known who is to be told.
    events::deleted(&name, &node, redirect, cx)?;
    rows::delete_node(&name, cx)?;
    emptied(name, cx)
}

fn emptied(node: String, cx: &mut Context<'_, '_>) -> IqResult {
    cx.tell(&PepChanged { node, published: vec![], retracted: vec![], is_emptied: true })?;
    Ok(Reply::Empty)
}
