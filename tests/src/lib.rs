//! Whole-server, boundary and source tests.
