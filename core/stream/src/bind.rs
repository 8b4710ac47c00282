//! Binding to a resource: RFC 6120 §7, and XEP-0386 together with the login.

use xml::{Element, Flat, Node};
use xmpp::{Jid, StanzaError, StreamError, ns};

use crate::machine::{Question, Stage, Stream};
use crate::sm::is_true;
use crate::{Inline, StreamEvent, Token, TokenWish};

/// The most that a client may ask to be done inline.
const INLINE_MAX: usize = 8;
/// The longest name of a software that a resource begins with, in bytes.
const TAG_BYTES_MAX: usize = 64;

/// What a client wants bound while it logs in.
#[derive(Clone, Debug)]
pub(crate) struct BindRequest {
    tag: Option<String>,
    /// Whether acknowledgements are asked for, and whether to come back.
    enable: Option<bool>,
    inline: Vec<Inline>,
}

impl BindRequest {
    pub(crate) fn read(node: Node<'_>) -> Self {
        let tag = node.child_text(ns::BIND2, "tag").map(|tag| {
            tag.chars().filter(|c| c.is_ascii_alphanumeric() || "-_. ".contains(*c)).collect()
        });
        let tag = tag.filter(|tag: &String| !tag.is_empty() && tag.len() <= TAG_BYTES_MAX);
        let enable = node.child(ns::SM, "enable");
        let is_other = |child: &Node<'_>| child.ns() != ns::BIND2 && child.ns() != ns::SM;
        let own = |child: Node<'_>| {
            let xml = Element::from_node(child).to_xml("");
            Flat::parse(&xml, "").ok().map(Inline)
        };
        Self {
            tag,
            enable: enable.map(|enable| is_true(enable.attr("resume").as_deref())),
            inline: node.children().filter(is_other).take(INLINE_MAX).filter_map(own).collect(),
        }
    }
}

/// What became of what a client asked for while it bound.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// Elements that say their own namespaces.
    pub inline: Vec<String>,
    /// With acknowledgements: the name to come back by, where that is possible.
    pub enabled: Option<Option<String>>,
    /// A token for the next login.
    pub token: Option<Token>,
}

impl Stream {
    /// An iq came before the session was bound: only a bind request is right.
    pub(crate) fn take_bind(&mut self, stanza: Node<'_>) {
        let id = stanza.attr("id").map(std::borrow::Cow::into_owned);
        let bind = stanza.child(ns::BIND, "bind");
        let is_set = stanza.attr("type").as_deref() == Some("set");
        let (Some(bind), Some(id), true) = (bind, id, is_set) else {
            return self.fail(StreamError::NotAuthorized);
        };
        let resource = bind.child_text(ns::BIND, "resource");
        let resource = resource.filter(|text| !text.is_empty()).map(|text| text.into_owned());
        let event =
            StreamEvent::Bind { resource, tag: None, inline: None, enable: None, token: None };
        self.ask(Question::Bind { id }, event);
    }

    /// The login asks for a resource too.
    pub(crate) fn bind_inline(&mut self, request: BindRequest, token: Option<TokenWish>) {
        let BindRequest { tag, enable, inline } = request;
        let event = StreamEvent::Bind { resource: None, tag, inline: Some(inline), enable, token };
        self.ask(Question::BindInline, event);
    }

    /// Answers [`StreamEvent::Bind`] with the full address, or says why not.
    ///
    /// `told` says what became of what the client asked for in the same breath. Only a client that
    /// binds while it logs in is told.
    pub fn answer_bind(&mut self, bound: Result<Jid, StanzaError>, told: Bound) {
        match (self.question.take(), bound) {
            (Some(Question::Bind { id }), Ok(jid)) => {
                let address = Element::new(ns::BIND, "jid").with_text(jid.as_str());
                let bind = Element::new(ns::BIND, "bind").with_child(address);
                let result = Element::new(ns::CLIENT, "iq")
                    .with_attr("type", "result")
                    .with_attr("id", &id)
                    .with_child(bind);
                self.session = Some(jid);
                self.stage = Stage::Bound;
                self.write_element(&result);
            }
            (Some(Question::Bind { id }), Err(error)) => {
                let reply = Element::new(ns::CLIENT, "iq")
                    .with_attr("type", "error")
                    .with_attr("id", &id)
                    .with_child(error.to_element());
                self.write_element(&reply);
            }
            (Some(Question::BindInline), Ok(jid)) => {
                self.stage = Stage::Bound;
                let mut bound = Element::new(ns::BIND2, "bound");
                for answer in told.inline {
                    bound.push_raw(answer);
                }
                if let Some(name) = told.enabled {
                    bound.push_child(self.begin_counting(name.as_deref()));
                }
                self.session = Some(jid.clone());
                self.finish_login(&jid, None, Some(bound), told.token);
            }
            (Some(Question::BindInline), Err(_)) => {
                self.fail(StreamError::InternalServerError);
            }
            (question, _) => self.question = question,
        }
    }

    /// A client still asks for what RFC 3921 called a session.
    pub(crate) fn take_session(&mut self, stanza: Node<'_>) -> bool {
        let is_set = stanza.name() == "iq" && stanza.attr("type").as_deref() == Some("set");
        // One that is counted has to be counted and answered like any other.
        if !is_set || self.has_acks() || !stanza.has_child(ns::SESSION, "session") {
            return false;
        }
        let mut result = Element::new(ns::CLIENT, "iq").with_attr("type", "result");
        if let Some(id) = stanza.attr("id") {
            result.push_attr("id", &id);
        }
        self.write_element(&result);
        true
    }
}
