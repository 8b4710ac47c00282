//! Files in backups: what a backup names is there, whatever was deleted meanwhile, and comes back.

use std::fs;

use calypte_tests::Client;

use super::{Scene, content};

/// Lists a folder.
fn names(folder: &std::path::Path) -> Vec<String> {
    let Ok(folder) = fs::read_dir(folder) else { return Vec::new() };
    folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_backup_has_the_files_that_it_names() {
    let mut scene = Scene::new();
    let bodies = [content(200_000), content(70_000)];
    let send = |scene: &mut Scene, body: &[u8]| {
        let path = scene.slot("a.bin", body.len(), "");
        assert_eq!(scene.put(&path, "", body).status, 201);
        path
    };
    let first = send(&mut scene, &bodies[0]);
    let run = |scene: &Scene, words: &[&str]| {
        let ran = scene.server.run(words, "");
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out
    };
    let said = run(&scene, &["backup", "one"]);
    assert!(said.contains("one.files holds the 1 files of it, 200080 bytes; 1 are new"), "{said}");
    assert!(said.contains("secret.key at another place"), "{said}");
    let second = send(&mut scene, &bodies[1]);
    // Another one shares what was copied.
    let said = run(&scene, &["backup", "two", "--files", "one.files"]);
    assert!(said.contains("holds the 2 files of it") && said.contains("1 are new"), "{said}");
    let said = run(&scene, &["backup", "three", "--without-files"]);
    assert!(said.contains("The 2 files that people sent are left out"), "{said}");
    let folder = scene.server.file("one.files");
    assert_eq!(names(&folder).len(), 2);
    let mode = |path: &std::path::Path| {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
    };
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join(&names(&folder)[0])), 0o600);
    for words in [
        &["verify", "one"][..],
        &["verify", "two", "--files", "one.files"],
        &["verify", "three", "--without-files"],
    ] {
        run(&scene, words);
    }
    let ran = scene.server.run(&["verify", "two"], "");
    assert!(ran.code == 2 && ran.err.contains("2 files are missing"), "{ran:?}");

    // Another machine, with the secret of the old one.
    scene.server.stop();
    let (data, old) = (scene.server.file("data"), scene.server.file("old"));
    fs::rename(&data, &old).unwrap();
    let ran = scene.server.run(&["restore", "two"], "");
    assert!(ran.code == 2 && ran.err.contains("2 files are missing"), "{ran:?}");
    assert!(ran.err.contains("--incomplete") && names(&data).is_empty(), "{ran:?}");
    let said = run(&scene, &["restore", "two", "--files", "one.files"]);
    assert!(said.contains("and 2 files are there"), "{said}");
    fs::copy(old.join("secret.key"), data.join("secret.key")).unwrap();
    let said = run(&scene, &["verify"]);
    assert!(said.contains("2 files of 270000 bytes"), "{said}");
    scene.server.launch();
    scene.ana = Client::login(&scene.server, "ana");
    for (path, body) in [(&first, &bodies[0]), (&second, &bodies[1])] {
        let answer = scene.get(path);
        assert!(answer.status == 200 && answer.body == *body, "{}", answer.head);
    }
    // A store that is there stays, with its files.
    let ran = scene.server.run(&["restore", "one"], "");
    assert!(ran.code == 2 && scene.files().len() == 2, "{ran:?}");
}

#[test]
fn what_is_lost_is_named_and_the_rest_goes_on() {
    let mut scene = Scene::new();
    for (name, byte) in [("a", 1), ("b", 2)] {
        let path = scene.slot(name, 1, "");
        assert_eq!(scene.put(&path, "", &[byte]).status, 201);
    }
    let files = scene.files();
    fs::remove_file(scene.server.file("data/files").join(&files[0])).unwrap();
    let ran = scene.server.run(&["backup", "copy"], "");
    assert!(ran.code == 0 && ran.out.contains("holds the 1 files of it"), "{ran:?}");
    let lost =
        format!("1 files are missing:\n  a file of ana@chat.example, {}: it is not", files[0]);
    assert!(ran.out.contains(&lost), "{ran:?}");
    // Cut off on its way somewhere else.
    let copied = scene.server.file("copy.files").join(&files[1]);
    fs::write(&copied, "half").unwrap();
    let ran = scene.server.run(&["verify", "copy"], "");
    assert!(ran.code == 2 && ran.err.contains("2 files are missing"), "{ran:?}");
    assert!(ran.err.contains(&format!("{}: it is not as long as it was", files[1])), "{ran:?}");
    // The next backup mends it.
    fs::remove_file(scene.server.file("copy")).unwrap();
    let ran = scene.server.run(&["backup", "copy"], "");
    assert!(ran.code == 0 && ran.out.contains("1 are new there"), "{ran:?}");
    scene.server.stop();
    fs::remove_dir_all(scene.server.file("data")).unwrap();
    let ran = scene.server.run(&["restore", "copy", "--incomplete"], "");
    assert!(ran.code == 0 && ran.out.contains("1 files are missing"), "{ran:?}");
    assert_eq!(scene.files(), [files[1].clone()]);
}
