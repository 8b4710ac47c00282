//! Each file in `tests/configs` with what `calypte check` says to it. `UPDATE=1` rewrites that.

use std::path::Path;

use crate::place::Place;

#[test]
fn check_says_what_is_wrong() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    let place = Place::new();
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    let mut wrong = Vec::new();
    for name in names {
        // What is known of modules depends on those inside the program.
        if name.starts_with("bundled-") && cfg!(not(feature = "bundled")) {
            continue;
        }
        std::fs::copy(folder.join(&name), place.file(&name)).unwrap();
        let ran = place.run(&["check", "--config", &name], "");
        let said = format!("{}{}exit {}\n", ran.out, ran.err, ran.code);
        let said: String = said.split_inclusive('\n').filter(|line| is_lasting(line)).collect();
        let expected = folder.join(name.replace(".toml", ".expected"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &said).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{name} now gets\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lists of modules differ between the bundled and the slim server, the days from day to day.
fn is_lasting(line: &str) -> bool {
    !line.starts_with("  modules ") && !line.starts_with("  certificate  valid for ")
}

#[test]
fn a_missing_file_is_not_a_passed_check() {
    let said = Place::new().run(&["check", "--config", "none.toml"], "").fails(3);
    assert!(said.contains("there is no configuration at none.toml"), "{said}");
}

#[test]
fn warnings_count_when_asked() {
    let place = Place::with_config();
    place.calypte(&["check", "--strict"], "").succeeds();
    place.chmod("key.pem", 0o644);
    place.calypte(&["check"], "").succeeds();
    let said = place.calypte(&["check", "--strict"], "").fails(1);
    assert!(said.contains("everybody on this machine can read the key"), "{said}");
}

#[test]
fn the_example_has_no_problem_but_the_certificate() {
    let place = Place::new();
    let example = place.run(&["config", "example"], "").succeeds();
    place.write("example.toml", &example);
    let said = place.run(&["check", "--config", "example.toml"], "").fails(2);
    assert!(said.contains("/etc/letsencrypt/live has no folder chat.example.org"), "{said}");
    assert!(said.ends_with("1 problem in example.toml\n"), "{said}");
    // With every line in force it is still a configuration.
    let all: String = example
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest @ ("[[modules.load]]" | "[[components]]" | "[acme]")) => rest,
            Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => rest,
            _ => line,
        })
        .filter(|line| !line.starts_with("certificates = ") && !line.starts_with("enable = "))
        .map(|line| format!("{line}\n"))
        .collect();
    place.write("all.toml", &all);
    let said = place.run(&["check", "--config", "all.toml"], "").fails(2);
    assert!(!said.contains("unknown key") && !said.contains("` must be"), "{said}\n{all}");
}

#[test]
fn the_example_file_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/small-community.toml");
    let example = Place::new().run(&["config", "example"], "").succeeds();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &example).unwrap();
    }
    let have = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(have, example, "run `UPDATE=1 cargo test -p calypte-server`");
}

#[test]
fn keys_are_explained() {
    let place = Place::new();
    let said = place.run(&["config", "explain", "limits.stanza"], "").succeeds();
    assert!(said.contains("default   \"256 KiB\""), "{said}");
    let said = place.run(&["config", "explain", "limits.stanzas"], "").fails(2);
    assert!(said.contains("did you mean limits.stanza?"), "{said}");
    let said = place.run(&["config", "explain", "limts"], "").fails(2);
    assert!(said.contains("did you mean limits?"), "{said}");
}
