//! Restricted XML as XMPP uses it: a flat stanza buffer, a strict reader with limits, a small builder.
