//! Scenes: transcripts that are tests.
