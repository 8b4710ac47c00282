//! Figures: stanza path, hooks, memory, the whole server beside Prosody.
