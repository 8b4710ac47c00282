//! What was read on one device is read on all (XEP-0490): a client that tells somebody that it has shown
//! a message says in the same breath up to where the conversation is read. The server takes that out
//! and publishes it for the account's other devices, by way of module `pep`.

use calypte::notice::PepPublish;
use calypte::prelude::*;

/// The longest mark that is published, in bytes; the longest name of an item is the same.
const BYTES_MAX: usize = 1023;

/// What was read on one device is read on all.
#[derive(Debug)]
pub struct Displayed;

calypte::export!(Displayed);

impl Module for Displayed {
    const NAME: &'static str = "displayed";
    const ABOUT: &'static str = "What was read on one device is read on all.";
    const XEPS: &'static [Xep] = &[Xep("0490", "1.0.1")];
    const FEATURES: &'static [Feature] = &[Feature::Account(ns::DISPLAYED_ASSIST)];
    const HOOKS: &'static [Hook<Self>] =
        // In front of the archive and of what other devices are given.
        &[Hook::payload(Place::Sent, Phase::Rewrite, ns::DISPLAYED, "displayed", Self::take)];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl Displayed {
    /// Takes the mark out of a message and publishes it (§4.5.3).
    fn take(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let is_mark = |node: Node<'_>| node.is(ns::DISPLAYED, "displayed");
        message.remove_where(is_mark);
        if message.kind != Kind::Message || message.is_error() {
            return Ok(Flow::Pass);
        }
        if message.payloads().all(is_mark) {
            // §4.5.3. Nobody is sent nothing only so that the account is told something.
            let why = "Publish it, when there is nothing else to say.";
            return Err(StanzaError::BAD_REQUEST.with_text(why));
        }
        let mark = message.child(ns::DISPLAYED, "displayed");
        let (Some(mark), Some(chat)) = (mark, message.to) else { return Ok(Flow::Pass) };
        let mut names = mark.children().filter(|node| node.is(ns::STANZA_ID, "stanza-id"));
        let is_whole = names.next().is_some() && names.next().is_none();
        let payload = Element::from_node(mark).to_xml("");
        if !is_whole || payload.len() > BYTES_MAX || chat.as_str().len() > BYTES_MAX {
            cx.count("unfit", 1)?;
            return Ok(Flow::Pass);
        }
        let config = [
            ("pubsub#access_model", "whitelist"),
            ("pubsub#persist_items", "1"),
            ("pubsub#max_items", "max"),
            ("pubsub#send_last_published_item", "never"),
        ];
        cx.tell(&PepPublish {
            node: ns::DISPLAYED.to_owned(),
            config: config.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            publish: vec![(chat.as_str().to_owned(), payload)],
            retract: Vec::new(),
        })?;
        Ok(Flow::Pass)
    }
}
