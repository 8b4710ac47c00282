//! The owner publishes and takes back (XEP-0060 §7), and other modules do for it.

use calypte::notice::PepPublish;
use calypte::prelude::*;
use tables::{PEP_NODES, PepAccess, PepNode};

use crate::errors::{fault, unsupported};
use crate::form::Fields;
use crate::{Pep, change, checked_name, fields, form, node_name, own, rows};

/// The type of the form with preconditions.
const OPTIONS_TYPE: &str = "http://jabber.org/protocol/pubsub#publish-options";

impl Pep {
    /// Publishes items (§7.1).
    pub(crate) fn publish(
        &self,
        request: &Request<'_>,
        action: Node<'_>,
        cx: &mut Context<'_, '_>,
    ) -> IqResult {
        own(request, cx)?;
        let name = node_name(action)?;
        let options = request.query()?.child(ns::PUBSUB, "publish-options");
        let options = options.and_then(|options| options.child(ns::DATA_FORMS, "x"));
        let options = options.map(|x| form::read(x, OPTIONS_TYPE)).transpose()?.flatten();
        let mut node = self.node_to_publish(&name, &options.unwrap_or_default(), cx)?;
        let items = self.items(action, &node, cx)?;
        self.keep_pace(items.len().max(1), cx)?;
        change::publish(&name, &mut node, &items, &self.0, cx)?;
        let mut published = Element::new(ns::PUBSUB, "publish").with_attr("node", &name);
        for (id, _) in &items {
            published.push_child(Element::new(ns::PUBSUB, "item").with_attr("id", id));
        }
        Ok(Reply::With(Element::new(ns::PUBSUB, "pubsub").with_child(published)))
    }

    /// Returns the node if it is as the client thinks; makes it when there is none (§7.1.4, §7.1.5).
    fn node_to_publish(
        &self,
        name: &str,
        options: &Fields,
        cx: &mut Context<'_, '_>,
    ) -> Result<PepNode, StanzaError> {
        let not_met = || fault(StanzaError::CONFLICT, "precondition-not-met");
        if let Some(node) = cx.get(&PEP_NODES, name)? {
            let is_met = fields::meets(&node, options, &self.0);
            return if is_met { Ok(node) } else { Err(not_met()) };
        }
        if !fields::are_known(options) {
            return Err(not_met());
        }
        let mut node = fields::default_node(cx.now_ms());
        fields::apply(&mut node, options, &self.0)?;
        rows::add_node(name, &node, self.0.nodes, cx)?;
        Ok(node)
    }

    /// Reads what is to be published: ids and contents (§7.1.3).
    fn items(
        &self,
        action: Node<'_>,
        node: &PepNode,
        cx: &mut Context<'_, '_>,
    ) -> Result<Vec<(String, String)>, StanzaError> {
        let bad = |condition| fault(StanzaError::BAD_REQUEST, condition);
        let given = action.children().filter(|child| child.is(ns::PUBSUB, "item"));
        let mut items: Vec<(String, String)> = Vec::new();
        for item in given {
            let mut contents = item.children();
            let payload = contents.next();
            let is_fitting = |payload: Node<'_>| {
                node.payload_type.is_empty() || payload.ns() == node.payload_type
            };
            if contents.next().is_some() || !payload.is_none_or(is_fitting) {
                return Err(bad("invalid-payload"));
            }
            if payload.is_none() && node.payloads {
                return Err(bad("payload-required"));
            }
            let id = match item.attr("id").filter(|id| !id.is_empty()) {
                Some(id) => checked_name(id.into_owned())?,
                None => cx.random_name(16)?,
            };
            items.retain(|(known, _)| *known != id);
            let payload = payload.map(|payload| Element::from_node(payload).to_xml(""));
            items.push((id, payload.unwrap_or_default()));
        }
        let is_bare_notice = !node.persist && !node.payloads;
        if is_bare_notice && !items.is_empty() {
            return Err(bad("item-forbidden"));
        }
        if !is_bare_notice && items.is_empty() {
            return Err(bad("item-required"));
        }
        let max = usize::try_from(change::max_items(node, &self.0)).unwrap_or(usize::MAX);
        if node.persist && items.len() > max {
            return Err(fault(StanzaError::NOT_ALLOWED, "max-items-exceeded"));
        }
        Ok(items)
    }

    /// Takes items back (§7.2).
    pub(crate) fn retract(
        &self,
        request: &Request<'_>,
        action: Node<'_>,
        cx: &mut Context<'_, '_>,
    ) -> IqResult {
        own(request, cx)?;
        let name = node_name(action)?;
        let mut node = rows::node(&name, cx)?;
        if !node.persist {
            return Err(unsupported("persistent-items"));
        }
        let mut ids = Vec::new();
        for item in action.children().filter(|child| child.is(ns::PUBSUB, "item")) {
            let id = item.attr("id").filter(|id| !id.is_empty());
            let id = id.ok_or_else(|| fault(StanzaError::BAD_REQUEST, "item-required"))?;
            if rows::item(&name, &id, cx)?.is_none() {
                return Err(StanzaError::ITEM_NOT_FOUND);
            }
            ids.push(id.into_owned());
        }
        if ids.is_empty() {
            return Err(fault(StanzaError::BAD_REQUEST, "item-required"));
        }
        self.keep_pace(1, cx)?;
        let is_told = match action.attr("notify").as_deref() {
            Some("1" | "true") => true,
            Some("0" | "false") => false,
            _ => node.notify_retract,
        };
        change::retract(&name, &mut node, ids, is_told, cx)?;
        Ok(Reply::Empty)
    }

    /// Publishes and takes back for another module.
    pub(crate) fn publish_for(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let PepPublish { node: name, config, publish, retract } = notified.read()?;
        let name = checked_name(name)?;
        let known = cx.get(&PEP_NODES, &name)?;
        let mut node = known.clone().unwrap_or_else(|| fields::default_node(cx.now_ms()));
        let wanted = config.into_iter().map(|(field, value)| (field, vec![value])).collect();
        fields::apply(&mut node, &wanted, &self.0)?;
        match known {
            None if publish.is_empty() => return Ok(()),
            None => rows::add_node(&name, &node, self.0.nodes, cx)?,
            Some(known) if known != node => {
                if node.access == PepAccess::Whitelist && known.access != node.access {
                    rows::clear_members(&name, cx)?;
                }
                cx.put(&PEP_NODES, &name, &node)?;
                let max = change::max_items(&node, &self.0);
                rows::trim(&name, &mut node, max, cx)?;
            }
            Some(_) => {}
        }
        let mut gone = Vec::new();
        for id in retract {
            if rows::item(&name, &id, cx)?.is_some() {
                gone.push(id);
            }
        }
        if !gone.is_empty() {
            let is_told = node.notify_retract;
            change::retract(&name, &mut node, gone, is_told, cx)?;
        }
        let mut items = Vec::new();
        for (id, payload) in publish {
            Flat::parse_ours(&payload, "").map_err(|_| StanzaError::INTERNAL)?;
            items.push((checked_name(id)?, payload));
        }
        if items.is_empty() {
            return Ok(());
        }
        change::publish(&name, &mut node, &items, &self.0, cx)
    }
}
