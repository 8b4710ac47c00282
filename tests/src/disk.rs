//! A small disk of its own, for tests of full disks and lost power. Needs root.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system in a file, mounted in a folder. Dropping it unmounts it.
#[derive(Debug)]
pub struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// Returns an empty disk, or `None` when this user may not mount one. In CI that is a failure:
    /// a test that is skipped there would never run.
    #[must_use]
    pub fn new(mebibytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let image = std::fs::File::create(folder.path().join("image")).unwrap();
        image.set_len(mebibytes << 20).unwrap();
        let disk = Self { folder };
        let image = disk.image().display().to_string();
        let is_there = run("mkfs.ext4", &["-q", "-F", "-m", "0", &image]) && disk.mount();
        let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(is_there || !is_ci, "in CI a disk can be mounted");
        is_there.then_some(disk)
    }

    fn mount(&self) -> bool {
        std::fs::create_dir_all(self.path()).unwrap();
        let (image, path) = (self.image(), self.path());
        run("mount", &["-o", "loop", &image.display().to_string(), &path.display().to_string()])
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Returns the folder that it is mounted in.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Returns a disk with what this one would have if the power were lost now: what was written and
    /// not synced is in the memory of the system and not in the image. Who writes must be stopped.
    #[must_use]
    pub fn without_power(&self) -> Self {
        let copy = Self { folder: tempfile::tempdir().unwrap() };
        let (from, to) = (self.image().display().to_string(), copy.image().display().to_string());
        assert!(run("cp", &["--sparse=always", &from, &to]));
        assert!(copy.mount(), "the copy cannot be mounted");
        copy
    }

    /// Fills it to the last byte. Returns the file to remove.
    #[must_use]
    pub fn fill(&self) -> PathBuf {
        let file = self.path().join("hog");
        let stat = nix::sys::statvfs::statvfs(&self.path()).unwrap();
        let free = stat.blocks_available() * stat.fragment_size();
        let bytes = i64::try_from(free.saturating_sub(1 << 20)).unwrap();
        let mut hog = std::fs::File::create(&file).unwrap();
        nix::fcntl::fallocate(&hog, nix::fcntl::FallocateFlags::empty(), 0, bytes).unwrap();
        hog.seek(SeekFrom::End(0)).unwrap();
        while hog.write_all(&[1; 4096]).is_ok() {}
        drop(hog.sync_all());
        file
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.path());
    }
}

fn unmount(path: &Path) {
    run("umount", &["-l", &path.display().to_string()]);
}

fn run(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program).args(args).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
