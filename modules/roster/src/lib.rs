//! The contact list and its subscriptions.
