//! What a module from a file may do, in words that an operator can judge.
//!
//! A library in the process can do what the process can: rights catch mistakes and make review
//! possible, they are no wall.

use std::collections::BTreeSet;

use engine::Manifest;

/// A right with its meaning.
const RIGHTS: &[(&str, &str)] = &[
    ("messages", "sees messages on their way, and may change or stop them"),
    ("presence", "sees presence on its way, and may change or stop it"),
    ("requests", "sees requests of others on their way, and may change or stop them"),
    ("sessions", "is told when somebody connects and leaves"),
    ("logins", "sees how somebody logged in, with a key made from the password"),
    ("addresses", "answers for addresses that are no account"),
    ("stream", "adds to what clients are offered at login"),
    ("strangers", "answers requests of clients that have not logged in"),
    ("http", "answers requests by HTTP"),
    ("files", "decides about files that people send each other, and deletes them"),
    ("peers", "decides which servers may connect and how, and sees what proves who they are"),
    ("looks", "has this server fetch pages, ask DNS and connect to other servers"),
    ("accounts", "makes, changes and removes accounts"),
    ("commands", "offers commands to users or to the operator"),
];

/// Returns the rights that the manifest asks for: those that its hooks need, and those it names.
pub(crate) fn wanted(manifest: &Manifest, text: &str) -> BTreeSet<String> {
    let of_hook = |kind: &str| match kind {
        "message" => &["messages"][..],
        "presence" => &["presence"],
        "iq" => &["requests"],
        "stanza" => &["messages", "presence", "requests"],
        "opened" | "bound" | "resumed" | "closed" => &["sessions"],
        "channel" | "authenticated" | "token" | "grant" => &["logins"],
        "serve" | "claim" => &["addresses"],
        "stream-feature" | "early-feature" => &["stream"],
        "stranger-get" | "stranger-set" => &["strangers"],
        "http" => &["http"],
        "files" => &["files"],
        "command" => &["commands"],
        "peer" => &["peers"],
        "looked" => &["looks"],
        "account-done" => &["accounts"],
        _ => &[],
    };
    let hooks = manifest.hooks.iter().flat_map(|hook| of_hook(hook.kind()));
    let named = text.lines().filter_map(|line| line.strip_prefix("right "));
    hooks.map(|right| (*right).to_owned()).chain(named.map(str::to_owned)).collect()
}

/// Returns the rights in `wanted` that `granted` does not have.
pub(crate) fn missing(wanted: &BTreeSet<String>, granted: &[String]) -> Vec<String> {
    wanted.iter().filter(|right| !granted.contains(right)).cloned().collect()
}

/// Returns what a right means.
pub(crate) fn meaning(right: &str) -> &'static str {
    RIGHTS.iter().find(|(name, _)| *name == right).map_or("", |(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_need_rights() {
        let text = "calypte-manifest 1\nname a\nright x\nhook message\tSent\tAdmit\t-\t-\t-\n\
                    hook iq-get\tdomain\turn:x\ty\t-\t-\n";
        let wanted = wanted(&Manifest::read(text).unwrap(), text);
        assert_eq!(missing(&wanted, &[]), ["messages", "x"]);
        assert_eq!(missing(&wanted, &["messages".to_owned()]), ["x"]);
    }
}
