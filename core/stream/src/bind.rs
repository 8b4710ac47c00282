//! Binding to a resource: RFC 6120 §7, and XEP-0386 together with the login.

use xml::{Element, Flat, Node};
use xmpp::{Jid, StanzaError, StreamError, ns};

use crate::machine::{Question, Stage, Stream};
use crate::sm::is_true;
use crate::{Inline, StreamEvent};

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
        let event = StreamEvent::Bind { resource, tag: None, inline: None };
        self.ask(Question::Bind { id }, event);
    }

    /// The login asks for a resource too.
    pub(crate) fn bind_inline(&mut self, request: BindRequest) {
        let BindRequest { tag, enable, inline } = request;
        let event = StreamEvent::Bind { resource: None, tag, inline: Some(inline) };
        self.ask(Question::BindInline { enable }, event);
    }

    /// Answers [`StreamEvent::Bind`] with the full address, or says why not.
    ///
    /// `inline` says what became of what the client asked for in the same breath: elements that
    /// say their own namespaces. Only a client that binds while it logs in gets them.
    pub fn answer_bind(&mut self, bound: Result<Jid, StanzaError>, inline: Vec<String>) {
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
            (Some(Question::BindInline { enable }), Ok(jid)) => {
                self.session = Some(jid);
                self.stage = Stage::Bound;
                match enable {
                    Some(resume) => {
                        let question = Question::Enable { inline: Some(inline) };
                        self.ask(question, StreamEvent::Enable { resume });
                    }
                    None => self.bound_inline(inline, None),
                }
            }
            (Some(Question::BindInline { .. }), Err(_)) => {
                self.fail(StreamError::InternalServerError);
            }
            (question, _) => self.question = question,
        }
    }

    /// The resource is there, with or without acknowledgements: the login is done.
    pub(crate) fn bound_inline(&mut self, inline: Vec<String>, enabled: Option<Element>) {
        let Some(jid) = self.session.clone() else { return };
        let mut bound = Element::new(ns::BIND2, "bound");
        for answer in inline {
            bound.push_raw(answer);
        }
        if let Some(enabled) = enabled {
            bound.push_child(enabled);
        }
        self.finish_login(&jid, None, Some(bound));
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
