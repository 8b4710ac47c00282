//! What service discovery shows of nodes, to those who may see them (XEP-0060 §5).

use calypte::prelude::*;
use tables::PEP_NODES;

use crate::{Pep, access, fields, rows};

impl Pep {
    /// Shows what a node is and what is known of it (§5.3, §5.4).
    pub(crate) fn show_node(&self, asked: &Discovery<'_>, cx: &mut Context<'_, '_>) -> Shown {
        let Some(name) = asked.node else { return Ok(None) };
        let Some(node) = cx.get(&PEP_NODES, name)? else { return Ok(None) };
        access::admit(name, &node, asked.from, cx)?;
        let identity = Element::new(ns::DISCO_INFO, "identity")
            .with_attr("category", "pubsub")
            .with_attr("type", "leaf");
        let feature = Element::new(ns::DISCO_INFO, "feature").with_attr("var", ns::PUBSUB);
        Ok(Some(vec![identity, feature, fields::about(&node, cx.owner().as_str())]))
    }

    /// Shows the nodes (§5.2), or the items of one (§5.5).
    pub(crate) fn show_items(&self, asked: &Discovery<'_>, cx: &mut Context<'_, '_>) -> Shown {
        let owner = cx.owner_jid();
        let item = || Element::new(ns::DISCO_ITEMS, "item").with_attr("jid", owner.as_str());
        let mut shown = Vec::new();
        if let Some(name) = asked.node {
            let Some(node) = cx.get(&PEP_NODES, name)? else { return Ok(None) };
            access::admit(name, &node, asked.from, cx)?;
            for (_, id) in rows::places(name, (0, u64::MAX), u32::MAX, false, cx)? {
                shown.push(item().with_attr("name", &id));
            }
            return Ok(Some(shown));
        }
        for (name, node) in cx.all(&PEP_NODES, u32::MAX)? {
            if access::admit(&name, &node, asked.from, cx).is_err() {
                continue;
            }
            let mut item = item().with_attr("node", &name);
            if !node.title.is_empty() {
                item.push_attr("name", &node.title);
            }
            shown.push(item);
        }
        Ok(Some(shown))
    }
}
