//! The annotated example and the explanations, both from the schema.

use super::schema::{Key, SectionKeys, join};
use super::{SECTIONS, problem};

/// The hash of nothing, to show what a hash looks like.
const BLAKE3: &str = "\"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262\"";

/// Returns a configuration with every key and its manual above it; what has a default is commented
/// out.
pub(crate) fn example() -> String {
    let mut out = String::from(
        "# Calypte's configuration. The domain and a certificate are needed; every line that begins\n\
         # with # shows a default.\n\
         # Check it with `calypte check`; `calypte config explain limits.stanza` explains a key.\n",
    );
    for section in SECTIONS {
        out.push('\n');
        comment(&mut out, section.about);
        match section.path {
            "" => {}
            list @ ("modules.load" | "components") => out.push_str(&format!("# [[{list}]]\n")),
            // It takes the place of [tls].
            "acme" => out.push_str("# [acme]\n"),
            path => out.push_str(&format!("[{path}]\n")),
        }
        for key in section.keys {
            out.push('\n');
            comment(&mut out, key.doc);
            match sample(section.path, key) {
                (sample, true) => out.push_str(&format!("{sample}\n")),
                (sample, false) => out.push_str(&format!("# {sample}\n")),
            }
        }
    }
    out
}

fn comment(out: &mut String, lines: &[&str]) {
    for line in lines {
        out.push_str(&format!("# {}\n", line.trim()));
    }
}

/// Returns the line of `key`, and whether it is in force.
fn sample(path: &str, key: &Key) -> (String, bool) {
    let value = match (path, key.name) {
        ("", "domain") => return ("domain = \"chat.example.org\"".to_owned(), true),
        ("tls", "certificate") => "\"/etc/calypte/fullchain.pem\"",
        ("tls", "key") => "\"/etc/calypte/privkey.pem\"",
        ("tls", "certificates") => {
            return ("certificates = \"/etc/letsencrypt/live\"".to_owned(), true);
        }
        ("federation", "dnssec_anchor") => "\"/etc/calypte/zone.key\"",
        ("acme", "contact") => "[\"ana@example.org\"]",
        ("acme", "trust") => "\"/etc/calypte/authority.pem\"",
        ("listen", "admin") => "\"/run/calypte/admin.sock\"",
        ("web", "folder") => "\"/usr/share/converse\"",
        ("web", "policy") => "\"default-src 'self'\"",
        ("web", "url") => "\"https://chat.example.org\"",
        ("modules", "enable") => "[\"roster\", \"presence\", \"disco\", \"offline\", \"basics\"]",
        ("components", "domain") => "\"irc.example.org\"",
        ("components", "secret_file") => "\"/etc/calypte/irc.secret\"",
        ("modules.load", "file") => "\"/usr/lib/calypte/libcalypte_hello.so\"",
        ("modules.load", "blake3") => BLAKE3,
        _ => key.default,
    };
    (format!("{} = {value}", key.name), false)
}

/// Returns what there is to know about `name`, a key, a table, or the whole file.
///
/// # Errors
///
/// A sentence with the nearest name when there is no such key.
pub(crate) fn explain(name: Option<&str>) -> Result<String, String> {
    let Some(name) = name else {
        return Ok(SECTIONS.iter().map(overview).collect::<Vec<_>>().join("\n"));
    };
    let name = name.trim_matches(['[', ']']);
    let keys =
        || SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)));
    let full = |section: &SectionKeys, key: &Key| join(section.path, key.name);
    if let Some((section, key)) = keys().find(|(section, key)| full(section, key) == name) {
        return Ok(describe(section, key));
    }
    if let Some(section) = SECTIONS.iter().find(|section| section.path == name && !name.is_empty())
    {
        return Ok(overview(section));
    }
    let same: Vec<_> = keys().filter(|(_, key)| key.name == name).collect();
    if !same.is_empty() {
        let told = same.iter().map(|(section, key)| describe(section, key));
        return Ok(told.collect::<Vec<_>>().join("\n"));
    }
    let tables = SECTIONS.iter().map(|section| section.path.to_owned());
    let tables = tables.filter(|path| !path.is_empty());
    let names: Vec<String> =
        keys().map(|(section, key)| full(section, key)).chain(tables).collect();
    let near = problem::nearest(name, names.iter().map(String::as_str));
    Err(match near {
        Some(near) => format!("there is no key {name}; did you mean {near}?"),
        None if name.starts_with("modules.") => {
            format!("{name} is not known; `calypte module list` shows the settings of modules")
        }
        None => format!("there is no key {name}; `calypte config explain` lists them all"),
    })
}

fn overview(section: &SectionKeys) -> String {
    let mut out = match section.path {
        "" => String::new(),
        list @ ("modules.load" | "components") => format!("[[{list}]]\n"),
        path => format!("[{path}]\n"),
    };
    for line in section.about {
        out.push_str(&format!("{}\n", line.trim()));
    }
    let width = section.keys.iter().map(|key| key.name.len()).max().unwrap_or(0);
    for key in section.keys {
        let default = if key.default.is_empty() { "-" } else { key.default };
        out.push_str(&format!("  {:width$}  {default}\n", key.name));
    }
    out
}

fn describe(section: &SectionKeys, key: &Key) -> String {
    let mut out = format!("{}\n", join(section.path, key.name));
    for line in key.doc {
        out.push_str(&format!("  {}\n", line.trim()));
    }
    out.push_str(&format!("  expected  {}\n", key.kind));
    let default = if key.default.is_empty() { "none" } else { key.default };
    out.push_str(&format!("  default   {default}\n"));
    let force = if key.live { "with `calypte reload`" } else { "at the next start" };
    out.push_str(&format!("  changes   {force}\n"));
    out
}
