use std::os::unix::fs::{PermissionsExt as _, symlink};

use calypte::tables::{FILE_BLOBS, FileBlob};
use crypto::Secret;
use store::Options;
use table::{Batch, Memory, full_key};
use tempfile::TempDir;

use super::super::Name;
use super::*;

/// A server with two files.
struct Scene {
    folder: TempDir,
    store: Store,
    files: Files,
    names: Vec<Name>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { ballast_bytes: 0, ..Options::default() };
        let store = Store::open(&folder.path().join("store"), options).unwrap();
        let secret = Secret::new(vec![7; 32]);
        let files = Files::open(folder.path(), &secret, &Memory::default()).unwrap();
        let (mut names, mut batch) = (Vec::new(), Batch::default());
        for content in [b"one".repeat(100_000), b"another".repeat(50_000)] {
            let mut writing = files.begin(&[1; 32]).unwrap();
            writing.write(&content).unwrap();
            let whole = writing.finish().unwrap();
            let blob = FileBlob { name: whole.name, bytes: whole.bytes, links: 1 };
            let key = full_key(FILE_BLOBS.name, "ana@a.example", &whole.digest);
            batch.put(key, FILE_BLOBS.encode(&blob));
            names.push(whole.name);
        }
        store.commit(batch).unwrap();
        Self { folder, store, files, names }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the backup `to`, and files of it to `files`.
    fn back_up(&self, to: &str, progress: &mut dyn FnMut(u64, u64)) -> Result<String, String> {
        let into = self.path("copies");
        let served = (&self.store, Some(&self.files));
        back_up(served, self.folder.path(), &self.path(to), Some(&into), progress)
    }

    #[track_caller]
    fn copies_are_whole(&self) {
        for name in &self.names {
            let name = hex::write(name);
            let [one, other] = [FOLDER, "copies"].map(|folder| self.path(folder).join(&name));
            assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{name}");
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_folder_of_somebody_else_stays_as_it_is() {
    let scene = Scene::new();
    let into = scene.path("copies");
    fs::create_dir(&into).unwrap();
    fs::set_permissions(&into, fs::Permissions::from_mode(0o755)).unwrap();
    scene.back_up("one", &mut |_, _| {}).unwrap();
    assert_eq!(mode(&into), 0o755);
    assert_eq!(mode(&into.join(hex::write(&scene.names[0]))), 0o600);
    fs::remove_dir_all(&into).unwrap();
    scene.back_up("two", &mut |_, _| {}).unwrap();
    assert_eq!(mode(&into), 0o700);
}

#[test]
fn what_another_backup_writes_is_left_alone() {
    let scene = Scene::new();
    let into = scene.path("copies");
    fs::create_dir(&into).unwrap();
    let half = into.join(hex::write(&scene.names[0])).with_extension("part");
    fs::write(&half, "half").unwrap();
    std::thread::scope(|scope| {
        for to in ["one", "two", "three"] {
            let scene = &scene;
            scope.spawn(move || scene.back_up(to, &mut |_, _| {}).unwrap());
        }
    });
    scene.copies_are_whole();
    assert_eq!(fs::read(&half).unwrap(), b"half");
    assert_eq!(fs::read_dir(&into).unwrap().count(), 3);
}

#[test]
fn a_file_that_cannot_be_read_ends_no_backup() {
    let scene = Scene::new();
    let name = hex::write(&scene.names[0]);
    let path = scene.path(FOLDER).join(&name);
    fs::remove_file(&path).unwrap();
    symlink(&name, &path).unwrap();
    let said = scene.back_up("one", &mut |_, _| {}).unwrap();
    assert!(said.contains("holds the 1 files of it"), "{said}");
    assert!(said.contains(&format!("{name}: it cannot be read: ")), "{said}");
    let left = fs::read_dir(scene.path("copies")).unwrap().count();
    assert_eq!(left, 1);
    let served = (&scene.store, Some(&scene.files));
    let said = back_up(served, scene.folder.path(), &scene.path("two"), None, &mut |_, _| {});
    assert!(said.unwrap().contains("The 2 files that people sent are left out"));
}

#[test]
fn a_folder_that_cannot_be_written_ends_the_backup() {
    let scene = Scene::new();
    let into = scene.path("copies");
    // Its disk was taken away.
    let gone = scene.back_up("one", &mut |_, _| drop(fs::remove_dir_all(&into)));
    let why = gone.unwrap_err();
    assert!(why.contains("files that people sent are not in it"), "{why}");
    // Something else has the name of a file.
    fs::create_dir_all(into.join(hex::write(&scene.names[0]))).unwrap();
    let why = scene.back_up("two", &mut |_, _| {}).unwrap_err();
    assert!(why.contains("files that people sent are not in it"), "{why}");
    let left = fs::read_dir(&into).unwrap().map(|entry| entry.unwrap().path());
    assert!(left.into_iter().all(|path| path.extension().is_none()));
}

#[test]
fn what_is_deleted_meanwhile_is_in_the_backup() {
    let scene = Scene::new();
    let content: Vec<_> = scene.names.iter().map(|name| sealed(&scene, FOLDER, name)).collect();
    let said = scene.back_up("one", &mut |_, _| {
        for name in &scene.names {
            scene.files.remove(name);
        }
    });
    let said = said.unwrap();
    assert!(said.contains("holds the 2 files of it") && !said.contains("missing"), "{said}");
    for (name, content) in scene.names.iter().zip(content) {
        assert!(sealed(&scene, "copies", name) == content);
        assert!(!scene.files.has(name));
    }
}

fn sealed(scene: &Scene, folder: &str, name: &Name) -> Vec<u8> {
    fs::read(scene.path(folder).join(hex::write(name))).unwrap()
}
