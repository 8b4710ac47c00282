//! Ping, version, time and last activity.
