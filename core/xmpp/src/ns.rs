//! Names of namespaces.

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
    };
}

names! {
    /// RFC 6120: stanzas between client and server.
    CLIENT = "jabber:client";
    /// RFC 6120: stanzas between servers.
    SERVER = "jabber:server";
    /// RFC 6120: the stream element and its features.
    STREAMS = "http://etherx.jabber.org/streams";
    /// RFC 6120: stream error conditions.
    STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams";
    /// RFC 6120: stanza error conditions.
    STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas";
    /// RFC 6120: STARTTLS.
    TLS = "urn:ietf:params:xml:ns:xmpp-tls";
    /// RFC 6120: SASL.
    SASL = "urn:ietf:params:xml:ns:xmpp-sasl";
    /// RFC 7395: the stream over WebSocket.
    FRAMING = "urn:ietf:params:xml:ns:xmpp-framing";
    /// XEP-0124: requests and answers of BOSH.
    HTTP_BIND = "http://jabber.org/protocol/httpbind";
    /// XEP-0206: what XMPP adds to them.
    XBOSH = "urn:xmpp:xbosh";
    /// RFC 6120: resource binding.
    BIND = "urn:ietf:params:xml:ns:xmpp-bind";
    /// RFC 3921: session establishment, a leftover that clients still ask for.
    SESSION = "urn:ietf:params:xml:ns:xmpp-session";
    /// RFC 6121: the roster.
    ROSTER = "jabber:iq:roster";
    /// RFC 6121: roster versioning.
    ROSTER_VERSIONING = "urn:xmpp:features:rosterver";
    /// RFC 6121: subscription pre-approval.
    PRE_APPROVAL = "urn:xmpp:features:pre-approval";
    /// The `xml:` prefix.
    XML = "http://www.w3.org/XML/1998/namespace";
    /// XEP-0004: data forms.
    DATA_FORMS = "jabber:x:data";
    /// XEP-0012: last activity.
    LAST = "jabber:iq:last";
    /// XEP-0030: what an entity can do.
    DISCO_INFO = "http://jabber.org/protocol/disco#info";
    /// XEP-0030: what an entity has.
    DISCO_ITEMS = "http://jabber.org/protocol/disco#items";
    /// XEP-0033: whom a stanza is for, and whom to answer.
    ADDRESSES = "http://jabber.org/protocol/address";
    /// XEP-0045: entering rooms.
    MUC = "http://jabber.org/protocol/muc";
    /// XEP-0045: roles and affiliations.
    MUC_ADMIN = "http://jabber.org/protocol/muc#admin";
    /// XEP-0045: what only owners of rooms do.
    MUC_OWNER = "http://jabber.org/protocol/muc#owner";
    /// XEP-0045: the form of people who register with a room.
    MUC_REGISTER = "http://jabber.org/protocol/muc#register";
    /// XEP-0045: the form of those who ask for voice.
    MUC_REQUEST = "http://jabber.org/protocol/muc#request";
    /// XEP-0045: the form of a room's settings.
    MUC_ROOMCONFIG = "http://jabber.org/protocol/muc#roomconfig";
    /// XEP-0045: what service discovery tells of a room.
    MUC_ROOMINFO = "http://jabber.org/protocol/muc#roominfo";
    /// XEP-0045: that messages keep their ids.
    MUC_STABLE_ID = "http://jabber.org/protocol/muc#stable_id";
    /// XEP-0045: which payloads a room lets through.
    MUC_TRAFFIC = "http://jabber.org/protocol/muc#traffic";
    /// XEP-0045: what rooms say to people.
    MUC_USER = "http://jabber.org/protocol/muc#user";
    /// XEP-0027: messages encrypted with OpenPGP, the old way.
    PGP = "jabber:x:encrypted";
    /// XEP-0048: the list of bookmarks.
    OLD_BOOKMARKS = "storage:bookmarks";
    /// XEP-0049: what clients keep for themselves.
    PRIVATE = "jabber:iq:private";
    /// XEP-0050: ad-hoc commands.
    COMMANDS = "http://jabber.org/protocol/commands";
    /// XEP-0054: what people tell of themselves.
    VCARD = "vcard-temp";
    /// XEP-0059: result sets.
    RSM = "http://jabber.org/protocol/rsm";
    /// XEP-0077: accounts made, changed and removed by clients.
    REGISTER = "jabber:iq:register";
    /// XEP-0077: its stream feature.
    REGISTER_FEATURE = "http://jabber.org/features/iq-register";
    /// XEP-0084: the image of an avatar.
    AVATAR_DATA = "urn:xmpp:avatar:data";
    /// XEP-0084: what is said of an avatar.
    AVATAR_METADATA = "urn:xmpp:avatar:metadata";
    /// XEP-0085: typing notifications.
    CHAT_STATES = "http://jabber.org/protocol/chatstates";
    /// XEP-0092: software version.
    VERSION = "jabber:iq:version";
    /// XEP-0060: publishing, subscribing, reading.
    PUBSUB = "http://jabber.org/protocol/pubsub";
    /// XEP-0060: what is wrong with a request.
    PUBSUB_ERRORS = "http://jabber.org/protocol/pubsub#errors";
    /// XEP-0060: what only an owner does.
    PUBSUB_OWNER = "http://jabber.org/protocol/pubsub#owner";
    /// XEP-0060: what is said together with what is published.
    PUBSUB_PUBLISH_OPTIONS = "http://jabber.org/protocol/pubsub#publish-options";
    /// XEP-0060: what somebody published.
    PUBSUB_EVENT = "http://jabber.org/protocol/pubsub#event";
    /// XEP-0114: stanzas between a component and its server.
    COMPONENT = "jabber:component:accept";
    /// XEP-0115: entity capabilities.
    CAPS = "http://jabber.org/protocol/caps";
    /// XEP-0122: what a field may hold.
    VALIDATE = "http://jabber.org/protocol/xdata-validate";
    /// XEP-0157: whom to write to about a server.
    SERVER_INFO = "http://jabber.org/network/serverinfo";
    /// XEP-0153: presence that tells of a photo.
    VCARD_UPDATE = "vcard-temp:x:update";
    /// XEP-0160: the feature name of offline storage.
    OFFLINE = "msgoffline";
    /// XEP-0166: calls and files.
    JINGLE = "urn:xmpp:jingle:1";
    /// XEP-0172: nicknames.
    NICK = "http://jabber.org/protocol/nick";
    /// XEP-0184: receipts.
    RECEIPTS = "urn:xmpp:receipts";
    /// XEP-0191: whom an account does not hear.
    BLOCKING = "urn:xmpp:blocking";
    /// XEP-0191: that somebody is blocked.
    BLOCKING_ERRORS = "urn:xmpp:blocking:errors";
    /// XEP-0198: stream management.
    SM = "urn:xmpp:sm:3";
    /// XEP-0199: ping.
    PING = "urn:xmpp:ping";
    /// XEP-0202: entity time.
    TIME = "urn:xmpp:time";
    /// XEP-0203: delayed delivery.
    DELAY = "urn:xmpp:delay";
    /// XEP-0215: services outside.
    EXTDISCO = "urn:xmpp:extdisco:2";
    /// XEP-0363: HTTP file upload.
    UPLOAD = "urn:xmpp:http:upload:0";
    /// XEP-0363: what a file is for.
    UPLOAD_PURPOSE = "urn:xmpp:http:upload:purpose:0";
    /// XEP-0220: dialback.
    DIALBACK = "jabber:server:dialback";
    /// XEP-0220: the stream feature of dialback with errors.
    DIALBACK_FEATURE = "urn:xmpp:features:dialback";
    /// XEP-0224: a nudge.
    ATTENTION = "urn:xmpp:attention:0";
    /// XEP-0249: invitations from person to person.
    CONFERENCE = "jabber:x:conference";
    /// XEP-0280: carbons.
    CARBONS = "urn:xmpp:carbons:2";
    /// XEP-0280 §6.2: the rules of what is copied.
    CARBONS_RULES = "urn:xmpp:carbons:rules:0";
    /// XEP-0288: stanzas both ways between two servers.
    BIDI = "urn:xmpp:bidi";
    /// XEP-0288: its stream feature.
    BIDI_FEATURE = "urn:xmpp:features:bidi";
    /// XEP-0297: forwarded stanzas.
    FORWARD = "urn:xmpp:forward:0";
    /// XEP-0300: hashes.
    HASHES = "urn:xmpp:hashes:2";
    /// XEP-0313: archives of messages.
    ARCHIVE = "urn:xmpp:mam:2";
    /// XEP-0313: that archives know more than the first clients asked for.
    ARCHIVE_EXTENDED = "urn:xmpp:mam:2#extended";
    /// XEP-0313: that archives know whether a client wants to see what was said in rooms.
    ARCHIVE_GROUPCHAT = "urn:xmpp:mam:2#groupchat-field";
    /// XEP-0333: what was displayed.
    MARKERS = "urn:xmpp:chat-markers:0";
    /// XEP-0334: processing hints.
    HINTS = "urn:xmpp:hints";
    /// XEP-0352: client state indication.
    CSI = "urn:xmpp:csi:0";
    /// XEP-0353: calls that are announced.
    JINGLE_MESSAGE = "urn:xmpp:jingle-message:0";
    /// XEP-0357: push notifications.
    PUSH = "urn:xmpp:push:0";
    /// XEP-0357: what a notification sums up.
    PUSH_SUMMARY = "urn:xmpp:push:summary";
    /// XEP-0359: stanza ids.
    STANZA_ID = "urn:xmpp:sid:0";
    /// XEP-0373: messages encrypted with OpenPGP.
    OPENPGP = "urn:xmpp:openpgp:0";
    /// XEP-0377: reports of abuse.
    REPORTING = "urn:xmpp:reporting:1";
    /// XEP-0379: pre-authenticated roster subscription.
    PARS = "urn:xmpp:pars:0";
    /// XEP-0380: how a message is encrypted.
    ENCRYPTION = "urn:xmpp:eme:0";
    /// XEP-0386: Bind 2.
    BIND2 = "urn:xmpp:bind:0";
    /// XEP-0390: hashes of what an entity can do.
    CAPS_HASHES = "urn:xmpp:caps";
    /// XEP-0480: upgrades of what is known of a password.
    SASL_UPGRADE = "urn:xmpp:sasl:upgrade:0";
    /// XEP-0480: those of SCRAM.
    SCRAM_UPGRADE = "urn:xmpp:scram-upgrade:0";
    /// XEP-0484: tokens in place of passwords.
    FAST = "urn:xmpp:fast:0";
    /// XEP-0494: which apps may use an account.
    CLIENTS = "urn:xmpp:cam:0";
    /// XEP-0388: SASL2.
    SASL2 = "urn:xmpp:sasl:2";
    /// XEP-0398: that avatars and photos of cards are the same.
    AVATAR_CONVERSION = "urn:xmpp:pep-vcard-conversion:0";
    /// XEP-0317: hats.
    HATS = "urn:xmpp:hats:0";
    /// XEP-0317: commands about them.
    HATS_COMMANDS = "urn:xmpp:hats:commands";
    /// XEP-0372: what a message refers to.
    REFERENCE = "urn:xmpp:reference:0";
    /// XEP-0433: rooms found by words.
    SEARCH = "urn:xmpp:channel-search:0:search";
    /// XEP-0433: the form of a search.
    SEARCH_PARAMS = "urn:xmpp:channel-search:0:search-params";
    /// XEP-0452: that somebody who is away was mentioned in a room.
    MENTIONS = "urn:xmpp:mmn:0";
    /// XEP-0410: that a room answers a client which asks whether it is in.
    SELF_PING = "http://jabber.org/protocol/muc#self-ping-optimization";
    /// XEP-0421: that an occupant is the same person as before.
    OCCUPANT_ID = "urn:xmpp:occupant-id:0";
    /// XEP-0424: messages that are taken back.
    RETRACT = "urn:xmpp:message-retract:1";
    /// XEP-0424: that archives note that a message was.
    RETRACT_TOMBSTONE = "urn:xmpp:message-retract:1#tombstone";
    /// XEP-0425: messages that a moderator takes back.
    MODERATE = "urn:xmpp:message-moderate:1";
    /// XEP-0402: bookmarks, an item for each.
    BOOKMARKS = "urn:xmpp:bookmarks:1";
    /// XEP-0402: that they are the same in private storage.
    BOOKMARKS_COMPAT = "urn:xmpp:bookmarks:1#compat";
    /// XEP-0402: that they are the same as the list that is published.
    BOOKMARKS_COMPAT_PEP = "urn:xmpp:bookmarks:1#compat-pep";
    /// XEP-0411: that both lists of bookmarks are the same.
    BOOKMARKS_CONVERSION = "urn:xmpp:bookmarks-conversion:0";
    /// XEP-0440: channel-binding types.
    CHANNEL_BINDING = "urn:xmpp:sasl-cb:0";
    /// XEP-0445: registration with a token, a stream feature.
    IBR_TOKEN = "urn:xmpp:ibr-token:0";
    /// XEP-0474: downgrade protection.
    SSDP = "urn:xmpp:ssdp:0";
    /// XEP-0478: stream limits.
    STREAM_LIMITS = "urn:xmpp:stream-limits:0";
    /// XEP-0482: calls that people are invited to.
    CALL_INVITES = "urn:xmpp:call-invites:0";
    /// XEP-0490: up to where a conversation is read.
    DISPLAYED = "urn:xmpp:mds:displayed:0";
    /// XEP-0490: that a server publishes that by itself.
    DISPLAYED_ASSIST = "urn:xmpp:mds:server-assist:0";
}
