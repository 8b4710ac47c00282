//! The photo as it is published (XEP-0084), the same as in the card (XEP-0398).
//!
//! Each side is compared with the other before it is written, so that nothing goes round.

use bincode::{Decode, Encode};
use calypte::notice::{Notice, PepChanged, PepPublish};
use calypte::prelude::*;
use calypte::wire::Range;
use tables::{PEP_ITEMS, PEP_MEMBERS, PEP_NODES, PepAccess, PepMember, ROSTER};

use crate::photo::{self, Photo};
use crate::{SeenBy, Vcard, shown};

/// We tell it ourselves behind what module `pep` has to do first: it has the image, or not.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ImagePublished {
    id: String,
}

impl Notice for ImagePublished {
    const NAME: &'static str = "vcard.image-published";
}

/// Who may see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Audience {
    Everyone,
    Contacts,
    Own,
}

/// Returns who may see the photo, as far as that is no matter of single people: see [`may_see`].
pub(crate) fn audience(cx: &mut Context<'_, '_>) -> Result<Audience, StanzaError> {
    let mut audience = Audience::Everyone;
    for node in [ns::AVATAR_DATA, ns::AVATAR_METADATA] {
        let Some(node) = cx.get(&PEP_NODES, node)? else { continue };
        audience = audience.max(match node.access {
            PepAccess::Open => Audience::Everyone,
            PepAccess::Presence => Audience::Contacts,
            PepAccess::Roster | PepAccess::Whitelist => Audience::Own,
        });
    }
    Ok(audience)
}

/// Tells whether somebody else may see the photo: who may see both nodes where it is published (XEP-0398
/// §7), where there are such.
pub(crate) fn may_see(who: JidRef<'_>, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    for name in [ns::AVATAR_DATA, ns::AVATAR_METADATA] {
        let Some(node) = cx.get(&PEP_NODES, name)? else { continue };
        let bare = who.bare_str().to_owned();
        let may = match cx.get(&PEP_MEMBERS, &(name.to_owned(), bare))? {
            Some(place) => place == PepMember::Member,
            None if node.access == PepAccess::Open => true,
            None => cx.get(&ROSTER, who.bare_str())?.is_some_and(|contact| {
                let is_in = contact.groups.iter().any(|group| node.groups.contains(group));
                let is_for = match node.access {
                    PepAccess::Open | PepAccess::Presence => true,
                    PepAccess::Roster => is_in,
                    PepAccess::Whitelist => false,
                };
                contact.from && is_for
            }),
        };
        if !may {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Vcard {
    /// Something was published or taken back, by a client or by us.
    pub(crate) fn avatar_changed(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let change: PepChanged = notified.read()?;
        if change.node == ns::AVATAR_DATA {
            // An image may come after what is said of it.
            return match current(cx)? {
                Some(info) if change.published.contains(&info.id) => self.take(&info, cx),
                _ => Ok(()),
            };
        }
        if change.node != ns::AVATAR_METADATA {
            return Ok(());
        }
        if let Some(id) = change.published.last() {
            return match cx.get(&PEP_ITEMS, &(change.node, id.clone()))? {
                Some(item) => self.take_said(&item.payload, cx),
                None => Ok(()),
            };
        }
        // The item may have had another id than the image.
        let is_last = !change.retracted.is_empty() && current(cx)?.is_none();
        let is_gone = change.is_emptied || is_last || change.retracted.contains(&shown::id(cx)?);
        if is_gone { shown::keep(None, cx) } else { Ok(()) }
    }

    /// Takes over the image that an item of the metadata node speaks of.
    fn take_said(&self, metadata: &str, cx: &mut Context<'_, '_>) -> Done {
        let Ok(metadata) = Flat::parse_ours(metadata, "") else { return Ok(()) };
        let metadata = metadata.root();
        if !metadata.is(ns::AVATAR_METADATA, "metadata") {
            return Ok(());
        }
        if metadata.child(ns::AVATAR_METADATA, "info").is_none() {
            // XEP-0084 §4.3. It is shown no more.
            return shown::keep(None, cx);
        }
        Info::read(metadata).map_or(Ok(()), |info| self.take(&info, cx))
    }

    /// Takes over an image that is published. One that is not what its name says, or is too large,
    /// leaves the card as it is.
    fn take(&self, info: &Info, cx: &mut Context<'_, '_>) -> Done {
        if info.id.eq_ignore_ascii_case(&shown::id(cx)?) {
            return Ok(());
        }
        let key = (ns::AVATAR_DATA.to_owned(), info.id.clone());
        let Some(item) = cx.get(&PEP_ITEMS, &key)? else { return Ok(()) };
        let Ok(payload) = Flat::parse_ours(&item.payload, "") else { return Ok(()) };
        let text = payload.root().text();
        let Ok(Some(data)) = photo::decode(&text, self.0.photo.bytes) else { return Ok(()) };
        let media_type = photo::media_type(&data, &info.media_type);
        let photo = Photo { media_type, data };
        let is_right =
            payload.root().is(ns::AVATAR_DATA, "data") && photo.id().eq_ignore_ascii_case(&info.id);
        if is_right { shown::keep(Some(photo), cx) } else { Ok(()) }
    }

    /// Publishes the photo of the card, or that there is none (XEP-0398 §3.2).
    pub(crate) fn publish(&self, photo: Option<&Photo>, cx: &mut Context<'_, '_>) -> Done {
        let before = current(cx)?.map(|info| info.id);
        let Some(photo) = photo else {
            return before.map_or(Ok(()), |before| self.publish_none(before, cx));
        };
        let id = photo.id();
        // What is no known image is nothing that can be published.
        if photo.media_type.is_empty() || before.is_some_and(|it| it.eq_ignore_ascii_case(&id)) {
            return Ok(());
        }
        let data = Element::new(ns::AVATAR_DATA, "data").with_text(&photo.text());
        self.put(ns::AVATAR_DATA, (&id, &data), cx)?;
        cx.tell(&ImagePublished { id })
    }

    /// Module `pep` was asked to publish an image. Only if it did, contacts are told of it.
    pub(crate) fn announce(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let ImagePublished { id } = notified.read()?;
        let key = (ns::AVATAR_DATA.to_owned(), id.clone());
        let is_there = cx.get(&PEP_ITEMS, &key)?.is_some();
        let Some(photo) = shown::photo(cx)?.filter(|photo| is_there && photo.id() == id) else {
            return Ok(());
        };
        let mut info = Element::new(ns::AVATAR_METADATA, "info")
            .with_attr("bytes", &photo.data.len().to_string())
            .with_attr("id", &id)
            .with_attr("type", &photo.media_type);
        if let Some((width, height)) = photo.size() {
            info.push_attr("width", &width.to_string());
            info.push_attr("height", &height.to_string());
        }
        let metadata = Element::new(ns::AVATAR_METADATA, "metadata").with_child(info);
        self.put(ns::AVATAR_METADATA, (&id, &metadata), cx)
    }

    fn publish_none(&self, before: String, cx: &mut Context<'_, '_>) -> Done {
        let none = Element::new(ns::AVATAR_METADATA, "metadata");
        let id = cx.random_name(16)?;
        self.put(ns::AVATAR_METADATA, (&id, &none), cx)?;
        let (node, retract) = (ns::AVATAR_DATA.to_owned(), vec![before]);
        cx.tell(&PepPublish { node, config: vec![], publish: vec![], retract })
    }

    /// Publishes an item. A new node is for those for whom the other one is, and where there is none for
    /// those who may see the card; one that is there stays for whom it is.
    fn put(&self, node: &str, (id, content): (&str, &Element), cx: &mut Context<'_, '_>) -> Done {
        let mut config = vec![];
        if cx.get(&PEP_NODES, node)?.is_none() {
            let is_data = node == ns::AVATAR_DATA;
            let other = if is_data { ns::AVATAR_METADATA } else { ns::AVATAR_DATA };
            let access = match (cx.get(&PEP_NODES, other)?.map(|node| node.access), self.0.seen_by)
            {
                (Some(PepAccess::Open), _) | (None, SeenBy::Everyone) => "open",
                (Some(PepAccess::Presence), _) | (None, SeenBy::Contacts) => "presence",
                // Which groups of the roster may is the owner's to say.
                (Some(PepAccess::Roster | PepAccess::Whitelist), _) => "whitelist",
            };
            config.push(("pubsub#access_model".to_owned(), access.to_owned()));
        }
        let publish = vec![(id.to_owned(), content.to_xml(""))];
        cx.tell(&PepPublish { node: node.to_owned(), config, publish, retract: vec![] })
    }
}

/// What is said of an image that is published.
struct Info {
    id: String,
    media_type: String,
}

impl Info {
    /// Reads what is said of the image that is published itself, not at some address (XEP-0398 §3.1).
    fn read(metadata: Node<'_>) -> Option<Self> {
        let infos = metadata.children().filter(|info| info.is(ns::AVATAR_METADATA, "info"));
        let info =
            infos.into_iter().find(|info| info.attr("url").is_none_or(|url| url.is_empty()))?;
        let media_type = info.attr("type").unwrap_or_default().into_owned();
        Some(Self { id: info.attr("id")?.into_owned(), media_type })
    }
}

/// Tells whether nothing at all is published of a photo, not even that there is none.
pub(crate) fn is_unpublished(cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    Ok(cx.get(&PEP_NODES, ns::AVATAR_METADATA)?.is_none_or(|node| node.items == 0))
}

/// Returns what the account published last of its photo.
fn current(cx: &mut Context<'_, '_>) -> Result<Option<Info>, StanzaError> {
    let from = [ns::AVATAR_METADATA.as_bytes(), &[0]].concat();
    let to = [ns::AVATAR_METADATA.as_bytes(), &[1]].concat();
    let range = Range { to: Some(to), limit: u32::MAX, reverse: false };
    let items = cx.scan(&PEP_ITEMS, &from, &range)?;
    let Some((_, last)) = items.into_iter().max_by_key(|(_, item)| item.place) else {
        return Ok(None);
    };
    let metadata = Flat::parse_ours(&last.payload, "").ok();
    Ok(metadata.and_then(|metadata| Info::read(metadata.root())))
}
