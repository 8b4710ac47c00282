//! What is kept of a room.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::rules::{Affiliation, Role};

/// The room itself: one row, [`ROOM_KEY`].
pub(crate) const ROOM: Table<str, RoomRow> = Table::account("rooms.room");
/// The key of the row of [`ROOM`].
pub(crate) const ROOM_KEY: &str = "room";
/// Who is something to the room, by bare address or domain.
pub(crate) const MEMBERS: Table<str, Member> = Table::account("rooms.members");
/// How many those are: one row, [`ROOM_KEY`].
pub(crate) const MEMBER_COUNT: Table<str, Count> = Table::account("rooms.member-count");
/// Whose the nicknames are that are kept for somebody, by the folded nickname.
pub(crate) const NICKS: Table<str, Holder> = Table::account("rooms.nicks");
/// Who was invited, and by whom, by bare addresses, and has not answered.
pub(crate) const INVITED: Table<(String, String), Made> = Table::account("rooms.invited");
/// What was said, by ids that rise with time.
pub(crate) const ARCHIVE: Table<u64, Line> = Table::account("rooms.archive");
/// How much of it there is: one row, [`ROOM_KEY`].
pub(crate) const KEPT: Table<str, Kept> = Table::account("rooms.kept");
/// All rooms, by the local part.
pub(crate) const INDEX: Table<str, Listed> = Table::domain("rooms.index");
/// The rooms that somebody made, by the bare address and the local part of the room.
pub(crate) const MADE_BY: Table<(String, String), Made> = Table::domain("rooms.made-by");

/// Who is in the room, by the folded nickname.
pub(crate) const OCCUPANTS: Table<str, Occupant> = Table::volatile_account("rooms.occupants");
/// Their clients, by full address.
pub(crate) const SEATS: Table<str, Seat> = Table::volatile_account("rooms.seats");
/// Clients that see the addresses of others; who gets a stanza is told by the keys.
pub(crate) const SEEING: Table<str, Place> = Table::volatile_account("rooms.seeing");
/// Clients that do not.
pub(crate) const UNSEEING: Table<str, Place> = Table::volatile_account("rooms.unseeing");
/// The presence of each occupant with the address, by the folded nickname.
pub(crate) const OPEN: Table<str, Ready> = Table::volatile_account("rooms.open");
/// The presence of each occupant without it.
pub(crate) const SHUT: Table<str, Ready> = Table::volatile_account("rooms.shut");
/// The presence of each occupant whose role is not shown to all: moderators see it.
pub(crate) const HIDDEN: Table<str, Ready> = Table::volatile_account("rooms.hidden");
/// How many occupants and clients there are: one row, [`ROOM_KEY`].
pub(crate) const CROWD: Table<str, Crowd> = Table::volatile_account("rooms.crowd");
/// Where [`CROWD`] counts the clients that are on their way in.
pub(crate) const COMING_KEY: &str = "coming";
/// Clients on their way in that are going to see addresses: who is told what becomes of occupants.
pub(crate) const COMING_SEEING: Table<str, Place> = Table::volatile_account("rooms.coming-seeing");
/// Those that are not.
pub(crate) const COMING_UNSEEING: Table<str, Place> =
    Table::volatile_account("rooms.coming-unseeing");
/// Occupants that are removed in a moment, by the folded nickname.
pub(crate) const EXPELLED: Table<str, Expelled> = Table::volatile_account("rooms.expelled");
/// Which private messages each client was sent last, by full address.
pub(crate) const PRIVATE: Table<str, Sent> = Table::volatile_account("rooms.private");
/// How many questions to occupants wait for their answers, by the bare address of who asks, and of all
/// under [`ALL_KEY`].
pub(crate) const ASKING: Table<str, Count> = Table::volatile_account("rooms.asking");
/// The key of all in [`ASKING`].
pub(crate) const ALL_KEY: &str = "@";
/// How far rows that say nothing any more were looked for, by table.
pub(crate) const SWEPT: Table<str, Swept> = Table::volatile_account("rooms.swept");
/// When each may send again, by bare address, and by domain behind an `@`.
pub(crate) const TRAFFIC: Table<str, Traffic> = Table::volatile_account("rooms.traffic");

/// A room.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct RoomRow {
    /// What differs from the defaults, by the names of XEP-0045.
    pub(crate) settings: Vec<(String, Vec<String>)>,
    /// What it is about.
    pub(crate) subject: Option<Subject>,
    /// The bare address of who made it.
    pub(crate) creator: String,
    /// When, in milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// Whether who made it has not said yet how it is to be (§10.1.1).
    pub(crate) is_locked: bool,
}

record!(RoomRow, 1);

/// What a room is about.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Subject {
    /// The elements of the message as text, with the id of who set it.
    pub(crate) xml: String,
    /// The text in the first language.
    pub(crate) text: String,
    /// The nickname of who said so.
    pub(crate) nick: String,
    /// The id of the message.
    pub(crate) id: Option<String>,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
}

/// Somebody who is something to the room.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Member {
    pub(crate) affiliation: Affiliation,
    /// The nickname that is kept for them.
    pub(crate) nick: Option<String>,
    /// Why it is so.
    pub(crate) reason: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub(crate) since_ms: u64,
}

record!(Member, 1);

/// A number of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Count(pub(crate) u32);

record!(Count, 1);

/// Whose a nickname is.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Holder {
    /// A bare address.
    pub(crate) bare: String,
}

record!(Holder, 1);

/// A message that was said to all.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Line {
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// The nickname of the sender.
    pub(crate) nick: String,
    /// The bare address of the sender.
    pub(crate) from: String,
    /// The random part of its name.
    pub(crate) tail: u64,
    /// Whether everybody in the room saw the addresses of people then.
    pub(crate) is_open: bool,
    /// Whether it was taken back: what is left is a tombstone.
    pub(crate) is_retracted: bool,
    /// The message as the occupants got it, without `to`.
    pub(crate) xml: String,
}

record!(Line, 1);

/// How much an archive holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Kept {
    pub(crate) lines: u32,
    pub(crate) bytes: u64,
    /// The last id.
    pub(crate) last: u64,
}

record!(Kept, 1);

/// What lists of rooms say.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) lang: String,
    /// Whether everybody may enter.
    pub(crate) is_open: bool,
    /// Whether addresses are hidden.
    pub(crate) is_anonymous: bool,
    pub(crate) is_public: bool,
    pub(crate) creator: String,
    pub(crate) created_ms: u64,
}

record!(Listed, 1);

/// That somebody made a room, or was invited to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Made {
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
}

record!(Made, 1);

/// Somebody in the room.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Occupant {
    pub(crate) nick: String,
    pub(crate) bare: String,
    pub(crate) role: Role,
    pub(crate) affiliation: Affiliation,
    /// The full addresses of the clients. What the last one shows, others see.
    pub(crate) seats: Vec<String>,
    /// What says that it is the same person as before (XEP-0421).
    pub(crate) id: String,
    /// The element with the hats (XEP-0317), if there are any.
    pub(crate) hats: String,
}

record!(Occupant, 1);

impl Occupant {
    /// Returns somebody who is not in the room, as the room speaks of such.
    pub(crate) fn stranger(nick: &str) -> Self {
        let (bare, id, hats) = Default::default();
        let (role, affiliation) = (Role::None, Affiliation::None);
        Self { nick: nick.to_owned(), bare, role, affiliation, seats: Vec::new(), id, hats }
    }
}

/// Why an occupant is removed in a moment, and what it was.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Expelled {
    pub(crate) role: Role,
    pub(crate) code: u16,
    /// The nickname of who did it.
    pub(crate) actor: Option<String>,
    pub(crate) reason: Option<String>,
}

record!(Expelled, 1);

/// A client in the room.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Seat {
    /// The folded nickname.
    pub(crate) key: String,
    /// The inside of its presence as text.
    pub(crate) shown: String,
}

record!(Seat, 1);

/// How far rows were looked at.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Swept {
    /// The last key.
    pub(crate) after: String,
}

record!(Swept, 1);

/// Private messages that were sent: the folded nickname of who wrote, NUL, and the id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Sent {
    pub(crate) ids: Vec<String>,
}

record!(Sent, 1);

/// That a client is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Place;

record!(Place, 1);

/// How many are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Crowd {
    pub(crate) occupants: u32,
    pub(crate) seats: u32,
}

record!(Crowd, 1);

/// When somebody who goes on at the allowed rate would have sent as much as they did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Traffic {
    pub(crate) until_ms: u64,
}

record!(Traffic, 1);

macro_rules! hidden {
    ($($type:ident),*) => {
        $(impl std::fmt::Debug for $type {
            /// People's addresses and words, and passwords of rooms, belong into no log.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        })*
    };
}

hidden!(RoomRow, Subject, Member, Holder, Line, Listed, Occupant, Expelled, Seat, Swept);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let subject =
            Subject { xml: "x".into(), text: "t".into(), nick: "n".into(), id: None, at_ms: 7 };
        let room = RoomRow {
            settings: vec![("a".into(), vec!["1".into()])],
            subject: Some(subject),
            creator: "c".into(),
            created_ms: 9,
            is_locked: true,
        };
        assert_eq!(
            ROOM.encode(&room),
            b"\x01\x01\x01a\x01\x011\x01\x01x\x01t\x01n\x00\x07\x01c\x09\x01"
        );
        let member = Member {
            affiliation: Affiliation::Admin,
            nick: None,
            reason: Some("r".into()),
            since_ms: 3,
        };
        assert_eq!(MEMBERS.encode(&member), b"\x01\x03\x00\x01\x01r\x03");
        let line = Line {
            at_ms: 5,
            nick: "n".into(),
            from: "f".into(),
            tail: 9,
            is_open: true,
            is_retracted: false,
            xml: "x".into(),
        };
        assert_eq!(ARCHIVE.encode(&line), b"\x01\x05\x01n\x01f\x09\x01\0\x01x");
        assert_eq!(KEPT.encode(&Kept { lines: 1, bytes: 2, last: 3 }), b"\x01\x01\x02\x03");
        assert_eq!(NICKS.encode(&Holder { bare: "b".into() }), b"\x01\x01b");
        assert_eq!(MEMBER_COUNT.encode(&Count(4)), b"\x01\x04");
        let listed = Listed {
            name: "n".into(),
            description: "d".into(),
            lang: "l".into(),
            is_open: true,
            is_anonymous: false,
            is_public: true,
            creator: "c".into(),
            created_ms: 1,
        };
        assert_eq!(INDEX.encode(&listed), b"\x01\x01n\x01d\x01l\x01\0\x01\x01c\x01");
        assert_eq!(MADE_BY.encode(&Made { at_ms: 6 }), b"\x01\x06");
    }
}
