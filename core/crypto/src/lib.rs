//! Hashes, keyed hashes, SCRAM primitives, sealing.
