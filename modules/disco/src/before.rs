//! What the domain said of itself before. Who was shown a hash may ask for it for a while (XEP-0390
//! §5.1), and the answer has to be the one that was hashed.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::hashes::Hashes;

/// What was said, by when it was said first, in milliseconds since 1970.
const SAID: Table<u64, Said> = Table::domain("disco.said");
/// How many are remembered, with the one of now.
const SAID_MAX: usize = 3;

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Said {
    /// The nodes under which it is found.
    nodes: Vec<String>,
    /// The answer as text, which says its own namespaces.
    xml: String,
}

record!(Said, 1);

/// Remembers what is said now, if it is new.
pub(crate) fn remember(answer: &Element, cx: &mut Context<'_, '_>) -> Done {
    let nodes = Hashes::of(answer, cx)?.nodes();
    let said = cx.all(&SAID, u32::MAX)?;
    if nodes.is_empty() || said.last().is_some_and(|(_, said)| said.nodes == nodes) {
        return Ok(());
    }
    // What comes again is the newest.
    let (again, others): (Vec<_>, Vec<_>) =
        said.iter().partition(|(_, before)| before.nodes == nodes);
    let too_many = others.len().saturating_sub(SAID_MAX.saturating_sub(1));
    for (at_ms, _) in again.into_iter().chain(others.into_iter().take(too_many)) {
        cx.delete(&SAID, at_ms)?;
    }
    let last_ms = said.last().map_or(0, |(at_ms, _)| at_ms.saturating_add(1));
    cx.put(&SAID, &last_ms.max(cx.now_ms()), &Said { nodes, xml: answer.to_xml("") })
}

/// Returns what was said under a node of before.
pub(crate) fn find(node: &str, cx: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
    for (_, said) in cx.all(&SAID, u32::MAX)? {
        if said.nodes.iter().any(|known| known == node) {
            let read = Flat::parse_ours(&said.xml, "").map_err(|_| StanzaError::INTERNAL)?;
            return Ok(Some(Element::from_node(read.root()).with_attr("node", node)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_keeps_its_bytes() {
        let said = Said { nodes: vec!["a#b".to_owned()], xml: "<q/>".to_owned() };
        assert_eq!(SAID.encode(&said), b"\x01\x01\x03a#b\x04<q/>");
        assert_eq!(SAID.name, "disco.said");
    }
}
