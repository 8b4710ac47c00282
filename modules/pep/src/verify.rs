//! Whether items, their places and their counts agree.

use std::collections::BTreeMap;

use calypte::prelude::*;
use calypte::wire::Range;
use tables::{PEP_ITEMS, PEP_NODES};

use crate::Pep;
use crate::rows::{self, ORDER, Total};

/// Rows read at a time: an item may have half a megabyte.
const PAGE: u32 = 64;

/// What is there of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    items: u32,
    bytes: u64,
    last: u64,
}

impl Pep {
    /// Reads all that an account has published.
    pub(crate) fn verify(&self, cx: &mut Context<'_, '_>) -> Result<Vec<String>, StanzaError> {
        let mut found = Vec::new();
        let (mut sums, unlisted) = items(cx)?;
        if unlisted > 0 {
            found.push(format!("{unlisted} items are not listed in pep.order"));
        }
        let stray = strays(cx)?;
        if stray > 0 {
            found.push(format!("{stray} rows of pep.order are of no item"));
        }
        let bytes = sums.values().fold(0_u64, |all, sum| all.saturating_add(sum.bytes));
        let (mut nodes, mut wrong, mut twice) = (0_u32, 0_u32, 0_u32);
        for (name, node) in cx.all(&PEP_NODES, u32::MAX)? {
            nodes = nodes.saturating_add(1);
            let sum = sums.remove(&name).unwrap_or_default();
            wrong =
                wrong.saturating_add(u32::from((node.items, node.bytes) != (sum.items, sum.bytes)));
            twice = twice.saturating_add(u32::from(node.last < sum.last));
        }
        if wrong > 0 {
            found.push(format!("pep.nodes says another count of items or bytes of {wrong} nodes"));
        }
        if twice > 0 {
            found.push(format!("pep.nodes would give a place twice in {twice} nodes"));
        }
        if !sums.is_empty() {
            found
                .push(format!("there are items of {} nodes that are not in pep.nodes", sums.len()));
        }
        let total = rows::total(cx)?;
        if total != (Total { nodes, bytes }) {
            let Total { nodes: says, bytes: has } = total;
            found.push(format!(
                "pep.total says {says} nodes with {has} bytes, there are {nodes} with {bytes}"
            ));
        }
        Ok(found)
    }
}

/// Adds up the items of each node, and counts those that are not where they say.
fn items(cx: &mut Context<'_, '_>) -> Result<(BTreeMap<String, Sum>, u64), StanzaError> {
    let range = Range { to: None, limit: PAGE, reverse: false };
    let (mut sums, mut unlisted, mut from) = (BTreeMap::<String, Sum>::new(), 0_u64, Vec::new());
    loop {
        let rows = cx.scan(&PEP_ITEMS, &from, &range)?;
        let Some((last, _)) = rows.last() else { return Ok((sums, unlisted)) };
        from = behind(PEP_ITEMS.encode_key(last));
        for ((name, id), item) in rows {
            let placed = cx.get(&ORDER, &(name.clone(), item.place))?;
            if placed.is_none_or(|placed| placed.id != id) {
                unlisted = unlisted.saturating_add(1);
            }
            let sum = sums.entry(name).or_default();
            sum.items = sum.items.saturating_add(1);
            sum.bytes = sum.bytes.saturating_add(rows::bytes(&id, &item));
            sum.last = sum.last.max(item.place);
        }
    }
}

/// Counts places at which there is no item that says so.
fn strays(cx: &mut Context<'_, '_>) -> Result<u64, StanzaError> {
    let range = Range { to: None, limit: PAGE, reverse: false };
    let (mut from, mut stray) = (Vec::new(), 0_u64);
    loop {
        let rows = cx.scan(&ORDER, &from, &range)?;
        let Some((last, _)) = rows.last() else { return Ok(stray) };
        from = behind(ORDER.encode_key(last));
        for ((name, place), placed) in rows {
            if rows::item(&name, &placed.id, cx)?.is_none_or(|item| item.place != place) {
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

#[cfg(test)]
mod tests {
    use calypte::abi::Instance;
    use calypte::crypto::Secret;
    use calypte::tables::{ACCOUNTS, Account, PepItem};
    use engine::{Engine, Limits, Manifest, Pipeline, Setup};
    use table::{Batch, Key, Memory, full_key};

    use super::*;
    use crate::fields::default_node;
    use crate::rows::Placed;

    const ANA: &str = "ana@a.example";

    fn verify(batch: &Batch) -> Vec<String> {
        let mut store = Memory::default();
        store.apply(batch);
        let mut pipeline = Pipeline::default();
        let module = &crate::MODULE;
        let instance = Instance::bundled(module, "").unwrap();
        pipeline.add(instance, Manifest::read(module.manifest()).unwrap());
        let setup = Setup {
            domain: Jid::parse("a.example").unwrap(),
            shard: 0,
            shards: 1,
            limits: Limits::default(),
            software: (String::new(), String::new()),
            started_ms: 0,
            admins: Vec::new(),
            components: Vec::new(),
            web_url: None,
            seed: [0; 32],
            secret: Secret::new(vec![0; 32]),
        };
        Engine::verify(setup, pipeline, &store, 0).unwrap()
    }

    fn put<K: Key + ?Sized, V: Record>(batch: &mut Batch, table: &Table<K, V>, key: &K, value: &V) {
        let key = full_key(table.name, ANA, &table.encode_key(key));
        batch.put(key, table.encode(value));
    }

    /// An account with two items in a node.
    fn account() -> Batch {
        let mut batch = Batch::default();
        let key = ACCOUNTS.encode_key("ana");
        batch.put(full_key(ACCOUNTS.name, "", &key), ACCOUNTS.encode(&Account::default()));
        let (mut node, mut total) = (default_node(0), Total { nodes: 1, bytes: 0 });
        for (place, id) in [(1, "one"), (2, "two")] {
            let (publisher, payload) = (ANA.to_owned(), "<a/>".to_owned());
            let item = PepItem { place, stamp_ms: 0, publisher, payload };
            total.bytes += rows::bytes(id, &item);
            let name = "n".to_owned();
            put(&mut batch, &PEP_ITEMS, &(name.clone(), id.to_owned()), &item);
            put(&mut batch, &ORDER, &(name, place), &Placed { id: id.to_owned() });
        }
        (node.items, node.bytes, node.last) = (2, total.bytes, 2);
        put(&mut batch, &PEP_NODES, "n", &node);
        put(&mut batch, &rows::TOTAL, rows::TOTAL_KEY, &total);
        batch
    }

    #[test]
    fn what_agrees_is_not_named() {
        assert_eq!(verify(&account()), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_agree_is_named() {
        let mut batch = account();
        put(&mut batch, &ORDER, &("n".to_owned(), 2), &Placed { id: "one".to_owned() });
        let said = |text: &str| format!("pep, {ANA}: {text}");
        let unlisted = said("1 items are not listed in pep.order");
        assert_eq!(verify(&batch), [unlisted, said("1 rows of pep.order are of no item")]);
        let mut batch = account();
        let mut node = default_node(0);
        (node.items, node.last) = (2, 1);
        put(&mut batch, &PEP_NODES, "n", &node);
        put(&mut batch, &rows::TOTAL, rows::TOTAL_KEY, &Total { nodes: 1, bytes: 7 });
        let count = said("pep.nodes says another count of items or bytes of 1 nodes");
        let place = said("pep.nodes would give a place twice in 1 nodes");
        let total = said("pep.total says 1 nodes with 7 bytes, there are 1 with 168");
        assert_eq!(verify(&batch), [count, place, total]);
        let mut batch = account();
        let key = full_key(PEP_NODES.name, ANA, &PEP_NODES.encode_key("n"));
        batch.delete(key);
        let stray = said("there are items of 1 nodes that are not in pep.nodes");
        let total = said("pep.total says 1 nodes with 168 bytes, there are 0 with 168");
        assert_eq!(verify(&batch), [stray, total]);
    }
}
