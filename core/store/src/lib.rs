//! The store: tables on sled, one writer, group commit, backup.
