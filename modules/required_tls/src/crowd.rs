//! Counts of rows: all of a table, and those below one parent. Who has a domain has any number of names
//! below it, and gets a bounded share.

use bincode::{Decode, Encode};
use calypte::prelude::*;

/// The most domains with the same [`parent`] in one table.
pub(crate) const CROWD_MAX: u64 = 64;

/// A count of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Rows(pub(crate) u64);

record!(Rows, 1);

/// Where the rows of a table are counted.
pub(crate) type Counts = Table<str, Rows>;

/// Returns the last two labels of a name.
pub(crate) fn parent(name: &str) -> &str {
    match name.rmatch_indices('.').nth(1) {
        Some((at, _)) => name.get(at.saturating_add(1)..).unwrap_or(name),
        None => name,
    }
}

/// Returns the name under which the rows below the parent of a name are counted.
fn below(name: &str) -> String {
    format!("below {}", parent(name))
}

/// Tells whether as many as may be have the parent of a name.
pub(crate) fn is_crowded(
    counts: &Counts,
    name: &str,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let Rows(crowd) = cx.get(counts, &below(name))?.unwrap_or_default();
    Ok(crowd >= CROWD_MAX)
}

/// Counts a row that comes (1) or goes (-1), under `all` and under its parent.
pub(crate) fn step(
    counts: &Counts,
    (all, name): (&str, &str),
    more: i64,
    cx: &mut Context<'_, '_>,
) -> Done {
    for of in [all, &below(name)] {
        let Rows(before) = cx.get(counts, of)?.unwrap_or_default();
        match before.saturating_add_signed(more) {
            0 => cx.delete(counts, of)?,
            count => cx.put(counts, of, &Rows(count))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_two_labels() {
        let names = ["a.example", "x.a.example", "y.x.a.example", "host", ""];
        let parents = ["a.example", "a.example", "a.example", "host", ""];
        assert_eq!(names.map(parent), parents);
    }
}
