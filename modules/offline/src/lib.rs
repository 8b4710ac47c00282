//! Messages wait for people who are away.
