//! Service discovery and entity capabilities.
