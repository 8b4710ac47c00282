//! The folder of the data, and the disk that it is on.

use std::os::unix::fs::PermissionsExt;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::{Finding, Mark};
use crate::config::Config;
use crate::text;

/// Below it the store may stop to take writes soon.
const FREE_MIN: u64 = 512 << 20;

/// Looks at the folder.
pub(super) fn data(config: &Config) -> Vec<Finding> {
    const TOPIC: &str = "data";
    let (data, told) = (&config.data, config.data.display());
    let Ok(facts) = std::fs::metadata(data) else {
        let what = format!("{told} is not there yet; the first start makes it");
        return vec![Finding::ok(TOPIC, what)];
    };
    let mut found = Vec::new();
    if facts.permissions().mode() & 0o077 != 0 {
        let what = format!("others on this machine may look into {told}");
        found.push(Finding::new(Mark::Wrong, TOPIC, what, &format!("chmod 0700 {told}")));
    }
    if access(data, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        let what = format!("this user cannot write to {told}");
        let todo = "look as the user that runs the server (sudo -u …)";
        found.push(Finding::new(Mark::Unseen, TOPIC, what, todo));
    }
    match statvfs(data) {
        Ok(disk) => {
            let free = disk.blocks_available().saturating_mul(disk.fragment_size());
            let what = format!("{} are free for {told}", text::bytes(free));
            if free < FREE_MIN {
                let todo = "make room; without it nothing can be kept and nobody can write";
                found.push(Finding::new(Mark::Wrong, TOPIC, what, todo));
            } else if found.is_empty() {
                found.push(Finding::ok(TOPIC, what));
            }
        }
        Err(error) => {
            let what = format!("the disk of {told} does not say how full it is: {error}");
            found.push(Finding::new(Mark::Unseen, TOPIC, what, ""));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_folder_that_others_can_read_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let config = |path: &Path| Config::standard("chat.example".parse().unwrap(), path);
        let mode = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder.path(), mode).unwrap();
        };
        mode(0o700);
        let found = data(&config(folder.path()));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].mark, Mark::Ok, "{found:?}");
        mode(0o755);
        let found = data(&config(folder.path()));
        assert_eq!((found.len(), found[0].mark), (1, Mark::Wrong), "{found:?}");
        let found = data(&config(&folder.path().join("none")));
        assert!(found[0].what.contains("is not there yet"), "{found:?}");
    }
}
