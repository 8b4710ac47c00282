//! A network of its own for programs that find each other by their names.
//!
//! Each [`Lab`] has a network that ends at its own door, with addresses, names and an authority of its
//! own, so that servers use the ports and the ways that they use in the world. It needs root.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::Authority;

mod leg;
mod names;
mod road;
mod station;

pub use names::Names;
pub use road::{Conduct, Edit, Impostor, Road};
pub use station::{Manners, Station};

/// Domains under this one are not signed; all others are.
pub const UNSIGNED: &str = "plain";

/// A network with names. It is the network of the thread that it was made for, and of all threads and
/// programs that this one starts.
#[derive(Debug)]
pub struct Lab {
    folder: tempfile::TempDir,
    authority: Arc<Authority>,
    names: Names,
}

impl Lab {
    /// Says what is missing on this machine, if anything is.
    #[must_use]
    pub fn obstacle() -> Option<String> {
        if !nix::unistd::geteuid().is_root() {
            return Some("a network of its own needs root".to_owned());
        }
        // A thread, for there is no way back.
        let tried = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
                .map_err(|error| format!("no network of its own: {error}"))?;
            ip("link set lo up").then_some(()).ok_or_else(|| "there is no `ip`".to_owned())
        });
        tried.join().unwrap().err()
    }

    /// Runs `test` in a lab of its own.
    ///
    /// # Panics
    ///
    /// When the test does, and when there is an [`Self::obstacle`].
    pub fn run(test: impl FnOnce(&Self) + Send + 'static) {
        let thread = std::thread::spawn(move || test(&Self::enter()));
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }

    fn enter() -> Self {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("root may do that");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        assert!(ip("link set lo up"));
        // All of the documentation networks are this machine.
        assert!(ip("-4 route add local 198.51.100.0/24 dev lo"));
        for number in 1..=9 {
            assert!(ip(&format!("-6 addr add 2001:db8::{number}/128 dev lo nodad")));
        }
        let folder = tempfile::tempdir().unwrap();
        let resolv = folder.path().join("resolv.conf");
        std::fs::write(&resolv, "nameserver 127.0.0.1\noptions attempts:2 timeout:2\n").unwrap();
        let over = Path::new("/etc/resolv.conf").canonicalize().unwrap();
        mount(Some(&resolv), &over, none, MsFlags::MS_BIND, none).unwrap();
        let names = Names::start(&[UNSIGNED]);
        std::fs::write(folder.path().join("anchor"), names.anchor()).unwrap();
        let authority = Arc::new(Authority::default());
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self { folder, authority, names }
    }

    /// Returns who answers for names.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Returns the authority that servers of the lab trust.
    #[must_use]
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// Returns the certificate of the authority.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Returns the key of the root of all names: what a validating resolver has to trust.
    #[must_use]
    pub fn anchor(&self) -> PathBuf {
        self.folder.path().join("anchor")
    }

    /// Returns a new folder, which goes away with the lab.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Returns an address of the lab.
    #[must_use]
    pub fn v4(&self, number: u8) -> IpAddr {
        Ipv4Addr::new(198, 51, 100, number).into()
    }

    /// Returns an address of the lab; `number` is 1 to 9.
    #[must_use]
    pub fn v6(&self, number: u8) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()).into()
    }

    /// Publishes where the servers of a domain are, as an operator does: both ways for servers, on the
    /// usual ports. Others that it had before are forgotten.
    pub fn publish(&self, domain: &str, address: IpAddr) {
        let host = format!("xmpp.{domain}");
        let services = ["_xmpps-server._tcp", "_xmpp-server._tcp"];
        let services = services.map(|service| format!("{service}.{domain}"));
        for name in [&host, domain, &services[0], &services[1]] {
            self.names.remove(name);
        }
        self.names.address(&host, address);
        self.names.address(domain, address);
        self.names.service("_xmpps-server._tcp", domain, (5, 0, 5270, &host));
        self.names.service("_xmpp-server._tcp", domain, (10, 0, 5269, &host));
    }
}

fn ip(args: &str) -> bool {
    let status = Command::new("ip").args(args.split(' ')).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests;
