//! Tables that more than their own module reads.

use bincode::{Decode, Encode};
use table::{Table, record};

mod files;
mod pep;

pub use files::{FILE_BLOBS, FILE_LINKS, FileBlob, FileLink, file_link};
pub use pep::{PEP_ITEMS, PEP_MEMBERS, PEP_NODES, PepAccess, PepItem, PepLast, PepMember, PepNode};

/// Who has an account, by the local part. The host writes it.
pub const ACCOUNTS: Table<str, Account> = Table::domain("accounts");

/// The contacts of an account, by their bare address. Module `roster` writes it.
pub const ROSTER: Table<str, Contact> = Table::account("roster.items");

/// What the server keeps to check a password. The password itself is never stored.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Account {
    /// For SCRAM-SHA-1. `None` here and below: the password is not known in this form.
    pub sha1: Option<Verifier>,
    /// For SCRAM-SHA-256.
    pub sha256: Option<Verifier>,
    /// For SCRAM-SHA-512.
    pub sha512: Option<Verifier>,
    /// Whether logins are refused.
    pub disabled: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Stands for the password: another one has another name. What was given out for a password ends
    /// with it.
    pub password: [u8; 16],
}

impl table::Record for Account {
    const VERSION: u8 = 2;

    fn encode(&self) -> Vec<u8> {
        table::encode_body(self)
    }

    fn decode(version: u8, body: &[u8]) -> Result<Self, table::Broken> {
        match version {
            1 => table::decode_body(body).map(Account1::now),
            2 => table::decode_body(body),
            _ => Err(table::Broken { table: "" }),
        }
    }
}

/// An account before anything was given out for passwords.
#[derive(Encode, Decode)]
struct Account1 {
    sha1: Verifier,
    sha256: Verifier,
    sha512: Verifier,
    disabled: bool,
    created_ms: u64,
}

impl Account1 {
    fn now(self) -> Account {
        let Self { sha1, sha256, sha512, disabled, created_ms } = self;
        let [sha1, sha256, sha512] = [sha1, sha256, sha512].map(Some);
        Account { sha1, sha256, sha512, disabled, created_ms, password: [0; 16] }
    }
}

/// What SCRAM checks a password against (RFC 5802 §3).
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Verifier {
    /// The salt.
    pub salt: Vec<u8>,
    /// How often the password was hashed.
    pub iterations: u32,
    /// `StoredKey`.
    pub stored_key: Vec<u8>,
    /// `ServerKey`.
    pub server_key: Vec<u8>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("disabled", &self.disabled).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// A contact and what both sides agreed to (RFC 6121 §2, appendix A).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Contact {
    /// The name that the user gave.
    pub name: Option<String>,
    /// The groups that the user put it in.
    pub groups: Vec<String>,
    /// The user sees the contact's presence.
    pub to: bool,
    /// The contact sees the user's presence.
    pub from: bool,
    /// The user asked and the contact has not answered.
    pub asked: bool,
    /// The contact asked and the user has not answered: the whole stanza, as it is delivered again
    /// at each login.
    pub pending_in: Option<String>,
    /// The user approved before the contact asked (§3.4).
    pub approved: bool,
    /// Whether it is in the roster that clients see. A stranger who asked is not, yet.
    pub listed: bool,
}

record!(Contact, 1);

/// What became of the message of the account that was on its way last: one row, [`ARCHIVED_KEY`],
/// which is not there when it was not archived. Module `archive` writes it while it records a message,
/// for those that come behind it in the same step: a row of another time says nothing of the message.
pub const ARCHIVED: Table<str, Archived> = Table::volatile_account("archive.last");

/// The key of the row of [`ARCHIVED`].
pub const ARCHIVED_KEY: &str = "last";

/// A message that the account's archive has.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Archived {
    /// Its id there.
    pub id: String,
    /// The time of the step, in milliseconds since 1970.
    pub at_ms: u64,
}

record!(Archived, 1);

/// Whom an account has blocked (XEP-0191), by the address as it was given: of a device, a person, a
/// domain or a device of a domain. Module `blocklist` writes it; see
/// [`Context::without_blocked`](crate::Context::without_blocked).
pub const BLOCKED: Table<str, Blocked> = Table::account("blocklist.items");

/// An address that is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Blocked {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

record!(Blocked, 1);

/// What clients of an account keep for themselves (XEP-0049), by namespace and name. Module `private`
/// writes it.
pub const PRIVATE: Table<(String, String), PrivateXml> = Table::account("private.items");

/// Elements that a client keeps.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct PrivateXml {
    /// One or more elements with the same name as text, which says its own namespaces.
    pub xml: String,
}

record!(PrivateXml, 1);

impl std::fmt::Debug for PrivateXml {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateXml").finish_non_exhaustive()
    }
}

/// Who may register with a client: one row, under the empty key. Module `register` writes it when it
/// starts; that it still runs, its feature `jabber:iq:register` of the domain tells.
pub const REGISTRATION: Table<str, Registration> = Table::domain("register.policy");

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Registration {
    /// 0 nobody, 1 who was invited, 2 everybody.
    pub policy: u8,
    /// The shortest password, in characters.
    pub password_min: u32,
    /// Whether users may change their passwords.
    pub may_change: bool,
    /// Whether users may remove their accounts.
    pub may_remove: bool,
}

impl table::Record for Registration {
    const VERSION: u8 = 2;

    fn encode(&self) -> Vec<u8> {
        table::encode_body(self)
    }

    fn decode(version: u8, body: &[u8]) -> Result<Self, table::Broken> {
        match version {
            // The module writes the row anew when it starts.
            1 => table::decode_body(body).map(|policy| Self {
                policy,
                password_min: 0,
                may_change: false,
                may_remove: false,
            }),
            2 => table::decode_body(body),
            _ => Err(table::Broken { table: "" }),
        }
    }
}

/// Open invitations, by half of the BLAKE3 hash of their token, in hex. Module `invites` writes it, in
/// the shard of the domain only but for new ones.
pub const INVITATIONS: Table<str, Invitation> = Table::domain("invites.open");

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Invitation {
    /// The bare address of the account that made it, and becomes a contact of who uses it; `None`: the
    /// operator made it.
    pub by: Option<String>,
    /// The name that it makes an account of; `None`: who uses it chooses.
    pub name: Option<String>,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// How often it can still be used.
    pub uses: u32,
    /// Whether it makes accounts.
    pub may_register: bool,
    /// Accounts that are being made with it: name, and since when. Each takes a use when it is there.
    pub begun: Vec<(String, u64)>,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// The circle that who makes an account with it is taken into.
    pub circle: Option<String>,
}

impl table::Record for Invitation {
    const VERSION: u8 = 3;

    fn encode(&self) -> Vec<u8> {
        table::encode_body(self)
    }

    fn decode(version: u8, body: &[u8]) -> Result<Self, table::Broken> {
        match version {
            // It was made some time before it ends.
            1 => table::decode_body(body).map(|old: Invitation1| old.made(None)),
            2 => table::decode_body(body).map(|(old, at): (Invitation1, u64)| old.made(Some(at))),
            3 => table::decode_body(body),
            _ => Err(table::Broken { table: "" }),
        }
    }
}

/// An invitation before it was noted when it was made, and then for which circle.
#[derive(Encode, Decode)]
struct Invitation1 {
    by: Option<String>,
    name: Option<String>,
    expires_ms: u64,
    uses: u32,
    may_register: bool,
    begun: Vec<(String, u64)>,
}

impl Invitation1 {
    fn made(self, at_ms: Option<u64>) -> Invitation {
        let Self { by, name, expires_ms, uses, may_register, begun } = self;
        let made_ms = at_ms.unwrap_or(expires_ms);
        Invitation { by, name, expires_ms, uses, may_register, begun, made_ms, circle: None }
    }
}

/// The path below which a page shows invitations, followed by a slash and the token: see
/// [`Context::page_url`](crate::Context::page_url).
pub const INVITE_PATH: &str = "/invite";

impl Invitation {
    /// Returns what the invitation with a token is kept under: half of its hash, which is still 128
    /// bits.
    #[must_use]
    pub fn key(token: &str) -> String {
        let hash = crypto::hash(token.as_bytes());
        hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns the name of the account that made it, its key in [`ACCOUNTS`].
    #[must_use]
    pub fn maker(&self) -> Option<&str> {
        let by = self.by.as_deref()?;
        Some(by.split_once('@').map_or(by, |(name, _)| name))
    }

    /// Tells whether who made it may still invite: the operator, or `maker`, what [`ACCOUNTS`] has
    /// under that name. Another account may have taken the name since.
    #[must_use]
    pub fn is_backed(&self, maker: Option<&Account>) -> bool {
        let is_its = |maker: &Account| !maker.disabled && maker.created_ms <= self.made_ms;
        self.by.is_none() || maker.is_some_and(is_its)
    }

    /// Tells whether it can be used once more than it is being used already.
    #[must_use]
    pub fn has_use(&self) -> bool {
        usize::try_from(self.uses).is_ok_and(|uses| uses > self.begun.len())
    }
}

/// Names that are kept free for an invitation, by the name. Module `invites` writes it.
pub const INVITED_NAMES: Table<str, Invited> = Table::domain("invites.names");

/// Strangers who showed a token that is good for an account, by the number of their connection. Module
/// `invites` writes it, in the shard of the domain.
pub const INVITED: Table<u64, Invited> = Table::volatile_domain("invites.accepted");

/// Where rooms are: one row, under the empty key. Module `rooms` writes it when it starts.
pub const ROOM_SERVICE: Table<str, RoomService> = Table::domain("rooms.service");

/// Where rooms are.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RoomService {
    /// The address that a room's name stands in front of, such as `rooms.example.org`.
    pub address: String,
}

record!(RoomService, 1);

/// Circles, by their names. Module `circles` writes it.
pub const CIRCLES: Table<str, Circle> = Table::domain("circles.known");

/// A circle: people who have each other as contacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Circle {
    /// The address of its room.
    pub room: Option<String>,
    /// Whether the room is its own: made for it, for its people only, and gone with it.
    pub is_own: bool,
    /// Who is in it, in the order of their names.
    pub members: Vec<CircleMember>,
}

/// Somebody in a circle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CircleMember {
    /// The local part.
    pub name: String,
    /// Since when, in milliseconds since 1970. An account that was made later is another one.
    pub since_ms: u64,
}

impl table::Record for Circle {
    const VERSION: u8 = 2;

    fn encode(&self) -> Vec<u8> {
        table::encode_body(self)
    }

    fn decode(version: u8, body: &[u8]) -> Result<Self, table::Broken> {
        match version {
            // Since when people are in it was not noted.
            1 => table::decode_body(body).map(|(room, names): (_, Vec<String>)| {
                let member = |name| CircleMember { name, since_ms: u64::MAX };
                Self { room, is_own: false, members: names.into_iter().map(member).collect() }
            }),
            2 => table::decode_body(body),
            _ => Err(table::Broken { table: "" }),
        }
    }
}

/// Which invitation something belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Invited {
    /// Its key in [`INVITATIONS`].
    pub id: String,
    /// The name that it is for, where it is for one.
    pub name: Option<String>,
    /// Of a stranger: when the token was shown; of a name: until when it is kept free. In milliseconds
    /// since 1970.
    pub at_ms: u64,
}

record!(Invited, 1);

#[cfg(test)]
mod tests {
    use super::*;

    fn verifier(byte: u8) -> Verifier {
        Verifier {
            salt: vec![byte],
            iterations: 4096,
            stored_key: vec![byte, 1],
            server_key: vec![byte, 2],
        }
    }

    #[test]
    fn accounts_keep_their_bytes() {
        let account = Account {
            sha1: Some(verifier(1)),
            sha256: None,
            sha512: Some(verifier(3)),
            disabled: true,
            created_ms: 7,
            password: [9; 16],
        };
        let bytes = ACCOUNTS.encode(&account);
        let one = b"\x01\x01\x01\xfb\x00\x10\x02\x01\x01\x02\x01\x02";
        let three = b"\x01\x01\x03\xfb\x00\x10\x02\x03\x01\x02\x03\x02";
        assert_eq!(bytes, [b"\x02", &one[..], b"\0", three, b"\x01\x07", &[9; 16]].concat());
        assert!(ACCOUNTS.decode(&bytes).is_ok_and(|read| read == account));
    }

    #[test]
    fn accounts_of_the_first_version_are_read() {
        let old = Account1 {
            sha1: verifier(1),
            sha256: verifier(2),
            sha512: verifier(3),
            disabled: false,
            created_ms: 7,
        };
        let bytes = [vec![1], table::encode_body(&old)].concat();
        let read = ACCOUNTS.decode(&bytes).unwrap();
        assert!(read.sha256 == Some(verifier(2)) && read.created_ms == 7);
        assert_eq!(read.password, [0; 16]);
    }

    fn invitation() -> Invitation {
        Invitation {
            by: Some("a@b".into()),
            name: None,
            expires_ms: 9,
            uses: 1,
            may_register: true,
            begun: vec![("c".into(), 3)],
            made_ms: 2,
            circle: Some("d".into()),
        }
    }

    #[test]
    fn invitations_keep_their_bytes() {
        let bytes = b"\x03\x01\x03a@b\x00\x09\x01\x01\x01\x01c\x03\x02\x01\x01d";
        assert_eq!(INVITATIONS.encode(&invitation()), bytes);
        assert_eq!(INVITATIONS.decode(bytes).unwrap(), invitation());
        let before = Invitation { circle: None, ..invitation() };
        let old = b"\x02\x01\x03a@b\x00\x09\x01\x01\x01\x01c\x03\x02";
        assert_eq!(INVITATIONS.decode(old).unwrap(), before);
        let older = b"\x01\x01\x03a@b\x00\x09\x01\x01\x01\x01c\x03";
        assert_eq!(INVITATIONS.decode(older).unwrap(), Invitation { made_ms: 9, ..before });
    }

    #[test]
    fn circles_keep_their_bytes() {
        let member = |name: &str, since_ms| CircleMember { name: name.into(), since_ms };
        let (room, members) = (Some("r@s".into()), vec![member("a", 1), member("b", 2)]);
        let circle = Circle { room, is_own: true, members };
        let bytes = b"\x02\x01\x03r@s\x01\x02\x01a\x01\x01b\x02";
        assert_eq!(CIRCLES.encode(&circle), bytes);
        assert_eq!(CIRCLES.decode(bytes).unwrap(), circle);
        let old = CIRCLES.decode(b"\x01\x01\x03r@s\x02\x01a\x01b").unwrap();
        assert!(!old.is_own && old.members.iter().all(|member| member.since_ms == u64::MAX));
        assert!(old.members.iter().map(|member| &*member.name).eq(["a", "b"]));
    }

    #[test]
    fn the_key_of_an_invitation_tells_nothing_of_its_token() {
        let (one, two) = (
            Invitation::key("abcdefghijkmnpqrstuvwxyz23"),
            Invitation::key("abcdefghijkmnpqrstuvwxyz24"),
        );
        assert_eq!(one.len(), 32);
        assert_ne!(one, two);
        assert!(!one.contains("abcdef"));
    }

    #[test]
    fn who_may_register_is_read_as_it_was_written_before() {
        let now = Registration { policy: 1, password_min: 8, may_change: true, may_remove: false };
        assert_eq!(REGISTRATION.encode(&now), b"\x02\x01\x08\x01\x00");
        assert_eq!(REGISTRATION.decode(b"\x02\x01\x08\x01\x00").unwrap(), now);
        assert_eq!(REGISTRATION.decode(b"\x01\x02").unwrap().policy, 2);
    }

    #[test]
    fn an_invitation_ends_with_its_maker() {
        let at = |created_ms, disabled| Account { created_ms, disabled, ..Account::default() };
        let made = invitation();
        assert_eq!(made.maker(), Some("a"));
        assert!(made.is_backed(Some(&at(2, false))));
        assert!(!made.is_backed(Some(&at(2, true))));
        assert!(!made.is_backed(Some(&at(3, false))));
        assert!(!made.is_backed(None));
        assert!(Invitation { by: None, ..made }.is_backed(None));
    }
}
