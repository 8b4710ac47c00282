//! One XMPP stream, without I/O: headers, STARTTLS, SASL, bind, resumption, limits.
