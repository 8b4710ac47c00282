//! What a route keeps, in which order, and what it refuses.

use std::time::Duration;

use super::*;
use crate::federation::trouble::Failed;

const MANY: usize = 1 << 20;

fn entry(text: &str, since_ms: u64) -> Entry {
    let xml = format!("<message to='b@b.example'><body>{text}</body></message>");
    let row = Some(Row { shard: 0, key: text.into() });
    Entry { stanza: Stanza::parse(&xml).unwrap(), row, since_ms, refusals: 0 }
}

fn route() -> Route {
    Route::new("a.example", "b.example", Arc::default())
}

#[track_caller]
fn put(route: &Route, text: &str) {
    assert!(matches!(route.push(entry(text, 0), MANY, MANY), Pushed::Waits | Pushed::Attend));
}

fn take_all(route: &Route, id: u64) -> Vec<Entry> {
    std::iter::from_fn(|| route.take(id, Waker::noop())).collect()
}

fn texts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.stanza.view().body().unwrap().into_owned()).collect()
}

#[test]
fn what_was_not_acknowledged_goes_out_first() {
    let route = route();
    for text in ["1", "2", "3"] {
        put(&route, text);
    }
    assert!(route.attach(7));
    let mut taken = take_all(&route, 7);
    put(&route, "4");
    let acknowledged = taken.remove(0);
    route.forget([&acknowledged]);
    route.detach(7, taken);
    assert_eq!(route.need(), Need::Connection);
    assert!(route.attach(8));
    assert_eq!(texts(&take_all(&route, 8)), ["2", "3", "4"]);
}

#[test]
fn one_connection_carries_at_a_time() {
    let route = route();
    put(&route, "1");
    assert!(route.attach(1) && route.attach(1) && !route.attach(2));
    assert!(route.take(2, Waker::noop()).is_none());
    // The end of another one means nothing.
    route.detach(2, Vec::new());
    assert_eq!(route.need(), Need::Carried);
    assert_eq!(take_all(&route, 1).len(), 1);
}

#[test]
fn it_is_bounded_with_what_is_under_way() {
    let route = route();
    let bytes = entry("1", 0).bytes();
    put(&route, "1");
    assert!(matches!(route.push(entry("2", 0), 2 * bytes, MANY), Pushed::Waits));
    assert!(route.attach(1));
    let taken = take_all(&route, 1);
    assert!(matches!(route.push(entry("3", 0), 2 * bytes, MANY), Pushed::Full(_)));
    route.forget(&taken);
    assert!(matches!(route.push(entry("3", 0), 2 * bytes, MANY), Pushed::Waits));
    assert!(matches!(route.push(entry("4", 0), MANY, bytes), Pushed::Full(_)));
    assert_eq!(route.status().waiting, 1);
}

#[test]
fn what_nobody_is_promised_leaves_room() {
    let route = route();
    let bytes = entry("1", 0).bytes();
    let shown = || Entry { row: None, ..entry("s", 0) };
    let limit = 4 * bytes;
    while !matches!(route.push(shown(), limit, MANY), Pushed::Full(_)) {}
    assert!(matches!(route.push(entry("1", 0), limit, MANY), Pushed::Waits));
}

#[test]
fn without_a_way_only_what_may_wait_waits() {
    let route = route();
    put(&route, "1");
    route.note_trouble(Trouble::new(Failed::Connect, "it is down"), 5000);
    assert!(matches!(route.push(entry("2", 0), MANY, MANY), Pushed::Waits));
    let shown = Entry { row: None, ..entry("s", 0) };
    assert!(matches!(route.push(shown, MANY, MANY), Pushed::Hopeless(..)));
    route.note_trouble(Trouble::unknown(Failed::Dns, "there is none"), 5000);
    assert!(matches!(route.push(entry("3", 0), MANY, MANY), Pushed::Hopeless(..)));
    route.end_rest();
    assert!(matches!(route.push(entry("3", 0), MANY, MANY), Pushed::Waits));
    assert_eq!(texts(&route.drain(true)), ["1", "2", "3"]);
}

#[test]
fn requests_wait_a_minute_and_messages_longer() {
    let route = route();
    put(&route, "1");
    let iq = Stanza::parse("<iq to='b.example' type='get' id='i'><q xmlns='x'/></iq>").unwrap();
    let iq = Entry { stanza: iq, ..entry("i", 0) };
    assert!(matches!(route.push(iq, MANY, MANY), Pushed::Waits));
    let hour = Duration::from_secs(3600);
    assert!(route.expire(59_999, hour).is_empty());
    let over = route.expire(60_000, hour);
    assert!(over.len() == 1 && over[0].stanza.kind == Kind::Iq);
    assert_eq!(texts(&route.expire(3_600_000, hour)), ["1"]);
}

#[test]
fn who_leaves_it_misses_nothing() {
    let route = route();
    assert!(matches!(route.push(entry("1", 0), MANY, MANY), Pushed::Attend));
    assert!(!route.leave_unattended(true) && !route.claim());
    route.leave_unattended(false);
    assert!(!route.is_abandoned() && route.claim() && !route.claim());
    route.forget(&route.drain(true));
    assert!(route.leave_unattended(true) && route.is_abandoned());
}

#[test]
fn errors_wait_as_short_as_requests() {
    let route = route();
    put(&route, "a message");
    let xml = "<message to='b@b.example' type='error'><body>an error</body></message>";
    let row = Some(Row { shard: 0, key: b"error".to_vec() });
    let error = Entry { stanza: Stanza::parse(xml).unwrap(), row, since_ms: 0, refusals: 0 };
    assert!(matches!(route.push(error, MANY, MANY), Pushed::Waits));
    let hour = Duration::from_secs(3600);
    assert!(route.expire(59_999, hour).is_empty());
    assert_eq!(texts(&route.expire(60_000, hour)), ["an error"]);
    assert_eq!(texts(&route.expire(3_600_000, hour)), ["a message"]);
}
