//! Whether the messages, their places by person and their count agree.

use calypte::prelude::*;
use calypte::wire::Range;

use crate::Archive;
use crate::rows::{self, MESSAGES, WITH};

/// Rows read at a time.
const PAGE: u32 = 500;

impl Archive {
    /// Reads the whole archive of an account.
    pub(crate) fn verify(&self, cx: &mut Context<'_, '_>) -> Result<Vec<String>, StanzaError> {
        let state = rows::state(cx)?;
        let (mut messages, mut bytes, mut last, mut unlisted) = (0_u64, 0_u64, 0, 0_u64);
        let range = Range { to: None, limit: PAGE, reverse: false };
        let mut from = Vec::new();
        loop {
            let rows = cx.scan(&MESSAGES, &from, &range)?;
            let Some((place, _)) = rows.last() else { break };
            last = *place;
            from = behind(MESSAGES.encode_key(place));
            for (place, kept) in &rows {
                messages = messages.saturating_add(1);
                bytes = bytes.saturating_add(kept.bytes());
                if cx.get(&WITH, &(kept.bare_peer(), *place))?.is_none() {
                    unlisted = unlisted.saturating_add(1);
                }
            }
        }
        let mut found = Vec::new();
        if unlisted > 0 {
            found.push(format!("{unlisted} of {messages} messages are not listed in archive.with"));
        }
        let stray = strays(cx)?;
        if stray > 0 {
            found.push(format!("{stray} rows of archive.with are of no message"));
        }
        if (state.messages, state.bytes) != (messages, bytes) {
            let (says, has) = (state.messages, state.bytes);
            found.push(format!(
                "archive.state says {says} messages of {has} bytes, there are {messages} of {bytes}"
            ));
        }
        if state.last < last {
            found.push("archive.state would give a place twice".to_owned());
        }
        Ok(found)
    }
}

/// Counts places by person at which there is no message with that person.
fn strays(cx: &mut Context<'_, '_>) -> Result<u64, StanzaError> {
    let range = Range { to: None, limit: PAGE, reverse: false };
    let (mut from, mut stray) = (Vec::new(), 0_u64);
    loop {
        let rows = cx.scan(&WITH, &from, &range)?;
        let Some((last, _)) = rows.last() else { return Ok(stray) };
        from = behind(WITH.encode_key(last));
        for ((peer, place), _) in &rows {
            let kept = cx.get(&MESSAGES, place)?;
            if kept.is_none_or(|kept| kept.bare_peer() != *peer) {
                stray = stray.saturating_add(1);
            }
        }
    }
}

/// Returns the first key behind one.
fn behind(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}
