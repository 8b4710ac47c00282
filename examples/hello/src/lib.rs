//! A tutorial module: greets whoever asks.
