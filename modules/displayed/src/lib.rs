//! What was read on one device is read on all (XEP-0490): a client that tells somebody that it has shown
//! a message says in the same breath up to where the conversation is read. The server takes that out
//! and publishes it for the account's other devices, by way of module `pep`.

use bincode::{Decode, Encode};
use calypte::notice::{Notice, PepPublish};
use calypte::prelude::*;
use tables::PEP_ITEMS;

/// The longest mark that is published, in bytes; the longest name of an item is the same.
const BYTES_MAX: usize = 1023;

/// We tell it ourselves behind what module `pep` has to do first: it has the mark, or not.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Asked {
    chat: String,
    mark: String,
}

impl Notice for Asked {
    const NAME: &'static str = "displayed.asked";
}

/// What was read on one device is read on all.
#[derive(Debug)]
pub struct Displayed;

calypte::export!(Displayed);

impl Module for Displayed {
    const NAME: &'static str = "displayed";
    const ABOUT: &'static str = "What was read on one device is read on all.";
    const XEPS: &'static [Xep] = &[Xep("0490", "1.0.1")];
    const HOOKS: &'static [Hook<Self>] = &[
        // In front of the archive and of what other devices are given.
        Hook::payload(Place::Sent, Phase::Rewrite, ns::DISPLAYED, "displayed", Self::take),
        Hook::notice(Asked::NAME, Self::look),
        Hook::account_info(Self::feature),
    ];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl Displayed {
    /// Says that marks are taken, where there is a module that keeps them.
    fn feature(&self, asked: &Discovery<'_>, cx: &mut Context<'_, '_>) -> Shown {
        if asked.node.is_some() || !has_pep(cx)? {
            return Ok(None);
        }
        let feature = Element::new(ns::DISCO_INFO, "feature");
        Ok(Some(vec![feature.with_attr("var", ns::DISPLAYED_ASSIST)]))
    }

    /// Takes the mark out of a message and publishes it (§4.5.3).
    fn take(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        if !has_pep(cx)? {
            return Ok(Flow::Pass);
        }
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
            publish: vec![(chat.as_str().to_owned(), payload.clone())],
            retract: Vec::new(),
        })?;
        cx.tell(&Asked { chat: chat.as_str().to_owned(), mark: payload })?;
        Ok(Flow::Pass)
    }

    /// Module `pep` was asked to publish a mark. The message is on its way, whatever it did.
    fn look(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let Asked { chat, mark } = notified.read()?;
        let item = cx.get(&PEP_ITEMS, &(ns::DISPLAYED.to_owned(), chat))?;
        if item.is_some_and(|item| item.payload == mark) { Ok(()) } else { cx.count("refused", 1) }
    }
}

/// Tells whether there is a module that keeps and tells what is published.
fn has_pep(cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    Ok(cx.features(false)?.iter().any(|feature| feature == ns::PUBSUB))
}
