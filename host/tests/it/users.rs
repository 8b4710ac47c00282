//! Accounts with the server stopped.

use std::os::unix::fs::PermissionsExt;

use crate::place::Place;

#[test]
fn an_account_from_first_to_last() {
    let place = Place::with_config();
    assert!(place.calypte(&["user", "list"], "").succeeds().contains("no accounts yet"));
    let said = place.calypte(&["user", "add", "Ana"], "secret\n").succeeds();
    assert_eq!(said, "ana@chat.example can log in now\n");
    let said = place.calypte(&["user", "add", "ana@chat.example"], "other\n").fails(2);
    assert!(said.contains("ana@chat.example exists already"), "{said}");
    place.calypte(&["user", "passwd", "ana"], "third\n").succeeds();
    place.calypte(&["user", "disable", "ana"], "").succeeds();
    assert!(place.calypte(&["user", "list"], "").succeeds().contains("disabled"));
    place.calypte(&["user", "enable", "ana"], "").succeeds();
    let list = place.calypte(&["user", "list", "--json"], "").succeeds();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["address"], "ana@chat.example");
    assert_eq!(list[0]["disabled"], false);
    place.calypte(&["user", "delete", "ana"], "").fails(2);
    place.calypte(&["user", "delete", "ana", "--yes"], "").succeeds();
    let said = place.calypte(&["user", "delete", "ana", "--yes"], "").fails(2);
    assert!(said.contains("there is no account ana@chat.example"), "{said}");
    assert!(place.calypte(&["user", "list"], "").succeeds().contains("no accounts yet"));
}

#[test]
fn passwords_come_from_anywhere_but_the_arguments() {
    let place = Place::with_config();
    place.write("password", "from a file\nnot this\n");
    place.calypte(&["user", "add", "ana", "--password-file", "password"], "").succeeds();
    let said = place.calypte(&["user", "add", "ben", "--random"], "").succeeds();
    assert!(said.contains("password: "), "{said}");
    let said = place.calypte(&["user", "add", "cleo"], "\n").fails(2);
    assert!(said.contains("the password is empty"), "{said}");
    place.calypte(&["user", "add", "cleo", "secret"], "").fails(2);
    assert!(!place.calypte(&["user", "list"], "").succeeds().contains("cleo"));
}

#[test]
fn many_accounts_come_from_a_file() {
    let place = Place::with_config();
    place.calypte(&["user", "add", "ben"], "secret\n").succeeds();
    let lines: String = (0..70).map(|number| format!("u{number} two words {number}\n")).collect();
    place.write("accounts", &lines);
    let said = place.calypte(&["user", "import", "accounts"], "").succeeds();
    assert_eq!(said, "70 accounts can log in now\n");
    let said = place.calypte(&["user", "import", "-"], "ana secret\n\nben other\n").fails(2);
    assert!(said.contains("left as they are: ben@chat.example"), "{said}");
    let said = place.calypte(&["user", "import", "-"], "cleo secret\ndora\n").fails(2);
    assert!(said.contains("line 2: a name, a space and a password"), "{said}");
    let list = place.calypte(&["user", "list"], "").succeeds();
    assert_eq!(list.lines().count(), 72, "{list}");
    assert!(list.contains("ana@") && list.contains("u69@") && !list.contains("cleo"), "{list}");
}

#[test]
fn names_that_are_no_addresses_are_refused() {
    let place = Place::with_config();
    for name in ["a b", "", "a/b", "a<b", "ana@other.example", "ana@chat.example/phone"] {
        place.calypte(&["user", "add", name], "secret\n").fails(2);
    }
    let said = place.calypte(&["user", "add", "ana@other.example"], "secret\n").fails(2);
    assert!(said.contains("not an address of this server"), "{said}");
}

#[test]
fn nobody_else_can_read_the_data() {
    let place = Place::with_config();
    place.calypte(&["user", "add", "ana"], "secret\n").succeeds();
    let mode = std::fs::metadata(place.file("data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn commands_for_a_running_server_say_that_there_is_none() {
    let place = Place::with_config();
    let said = place.calypte(&["status"], "").fails(3);
    assert!(said.contains("no server runs for chat.example"), "{said}");
    place.calypte(&["reload"], "").fails(3);
}

#[test]
fn what_only_looks_makes_no_store() {
    let place = Place::with_config();
    assert_eq!(place.calypte(&["user", "list", "--json"], "").succeeds(), "[]\n");
    let said = place.calypte(&["user", "disable", "ana"], "").fails(2);
    assert!(said.contains("there is no account ana@chat.example"), "{said}");
    let said = place.calypte(&["backup", "saved"], "").fails(2);
    assert!(said.contains("there is no store at"), "{said}");
    place.calypte(&["verify"], "").fails(2);
    assert!(!place.file("data").exists());
}

#[test]
fn a_status_that_cannot_be_asked_for_is_unknown() {
    let place = Place::with_config();
    place.write("wrong.toml", "domain = 5\n");
    place.calypte(&["status", "--config", "wrong.toml"], "").fails(3);
}

#[test]
fn a_backup_can_be_restored() {
    let place = Place::with_config();
    place.calypte(&["user", "add", "ana"], "secret\n").succeeds();
    place.calypte(&["backup", "saved"], "").succeeds();
    place.calypte(&["verify", "saved"], "").succeeds();
    let said = place.calypte(&["backup", "saved"], "").fails(2);
    assert!(said.contains("is there already"), "{said}");
    place.calypte(&["restore", "saved"], "").fails(2);
    std::fs::remove_dir_all(place.file("data")).unwrap();
    place.calypte(&["restore", "saved"], "").succeeds();
    assert!(place.calypte(&["user", "list"], "").succeeds().contains("ana@chat.example"));
}
