//! Who may what (§5 of XEP-0045).

use bincode::{Decode, Encode};
use calypte::prelude::*;

/// What somebody is to the room, whether there or not (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(crate) enum Affiliation {
    Outcast,
    None,
    Member,
    Admin,
    Owner,
}

/// What an occupant may do while there (§5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(crate) enum Role {
    None,
    Visitor,
    Participant,
    Moderator,
}

impl Affiliation {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Outcast => "outcast",
            Self::None => "none",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        let all = [Self::Outcast, Self::None, Self::Member, Self::Admin, Self::Owner];
        all.into_iter().find(|one| one.name() == name)
    }

    /// The role of somebody who enters (§5.1.2).
    pub(crate) const fn first_role(self, is_moderated: bool) -> Role {
        match self {
            Self::Owner | Self::Admin => Role::Moderator,
            Self::Member => Role::Participant,
            Self::None if is_moderated => Role::Visitor,
            Self::None => Role::Participant,
            Self::Outcast => Role::None,
        }
    }

    /// The role of an occupant whose affiliation becomes another one (§5.1.3).
    pub(crate) fn next_role(self, before: Self, role: Role, is_moderated: bool) -> Role {
        if self >= Self::Admin {
            return Role::Moderator;
        }
        if before >= Self::Admin {
            // Who was a moderator for that is none any more.
            return self.first_role(is_moderated);
        }
        match (self, role) {
            (Self::Outcast, _) => Role::None,
            (Self::Member, Role::Visitor) => Role::Participant,
            _ => role,
        }
    }
}

impl Role {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Visitor => "visitor",
            Self::Participant => "participant",
            Self::Moderator => "moderator",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        let all = [Self::None, Self::Visitor, Self::Participant, Self::Moderator];
        all.into_iter().find(|one| one.name() == name)
    }
}

/// Somebody who changes something, or of whom something is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) affiliation: Affiliation,
    pub(crate) role: Role,
}

/// Tells whether `actor` may give `target` another role (§8.2 to §9.8).
///
/// # Errors
///
/// `forbidden` when the actor may not do such a thing, `not-allowed` when not to this target.
pub(crate) fn may_set_role(actor: Standing, target: Standing, role: Role) -> Done {
    if actor.role < Role::Moderator {
        return Err(StanzaError::FORBIDDEN);
    }
    let is_about_moderators = role == Role::Moderator || target.role == Role::Moderator;
    if target.affiliation > actor.affiliation {
        return Err(StanzaError::NOT_ALLOWED);
    }
    if target.affiliation >= Affiliation::Admin && role != Role::None && role < Role::Moderator {
        return Err(StanzaError::NOT_ALLOWED);
    }
    if is_about_moderators && actor.affiliation < Affiliation::Admin {
        let is_of_moderator = target.role == Role::Moderator && role == Role::None;
        return Err(if is_of_moderator {
            StanzaError::NOT_ALLOWED
        } else {
            StanzaError::FORBIDDEN
        });
    }
    Ok(())
}

/// Tells whether somebody may make another, who is `before`, an `after` (§9.1 to §10.8).
///
/// # Errors
///
/// As [`may_set_role`].
pub(crate) fn may_set_affiliation(
    actor: Affiliation,
    before: Affiliation,
    after: Affiliation,
) -> Done {
    match actor {
        Affiliation::Owner => Ok(()),
        // §9.1. A ban is refused for whom it is, other things (§10.3 to §10.8) for who asks.
        Affiliation::Admin if before >= Affiliation::Admin && after == Affiliation::Outcast => {
            Err(StanzaError::NOT_ALLOWED)
        }
        Affiliation::Admin if before < Affiliation::Admin && after < Affiliation::Admin => Ok(()),
        _ => Err(StanzaError::FORBIDDEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Affiliation; 5] = [
        Affiliation::Outcast,
        Affiliation::None,
        Affiliation::Member,
        Affiliation::Admin,
        Affiliation::Owner,
    ];

    /// The table of §5.2.2: a row for who changes, `o` where a change is allowed.
    #[test]
    fn affiliations_are_changed_by_those_who_may() {
        for before in ALL {
            for after in ALL {
                let may = |actor| may_set_affiliation(actor, before, after).is_ok();
                assert!(may(Affiliation::Owner));
                let is_high = before >= Affiliation::Admin || after >= Affiliation::Admin;
                assert_eq!(may(Affiliation::Admin), !is_high, "{before:?} {after:?}");
                assert!(!may(Affiliation::Member) && !may(Affiliation::None));
            }
        }
    }

    #[track_caller]
    fn check(
        actor: (Affiliation, Role),
        target: (Affiliation, Role),
        role: Role,
        expected: Option<Condition>,
    ) {
        let standing = |(affiliation, role)| Standing { affiliation, role };
        let said = may_set_role(standing(actor), standing(target), role);
        assert_eq!(said.err().map(|error| error.condition), expected);
    }

    #[test]
    fn roles_are_changed_by_those_who_may() {
        use Affiliation::{Admin, Member, None, Owner};
        use Condition::{Forbidden, NotAllowed};
        use Role::{Moderator, Participant, Visitor};
        let kicked = Role::None;
        check((None, Participant), (None, Visitor), Participant, Some(Forbidden));
        check((None, Moderator), (None, Visitor), Participant, Option::None);
        check((None, Moderator), (None, Participant), Visitor, Option::None);
        check((None, Moderator), (None, Participant), kicked, Option::None);
        check((None, Moderator), (Member, Participant), kicked, Some(NotAllowed));
        check((None, Moderator), (None, Moderator), kicked, Some(NotAllowed));
        check((None, Moderator), (None, Participant), Moderator, Some(Forbidden));
        check((None, Moderator), (None, Moderator), Participant, Some(Forbidden));
        check((Admin, Moderator), (None, Moderator), Participant, Option::None);
        check((Admin, Moderator), (None, Participant), Moderator, Option::None);
        check((Admin, Moderator), (Admin, Moderator), Participant, Some(NotAllowed));
        check((Admin, Moderator), (Owner, Moderator), kicked, Some(NotAllowed));
        check((Owner, Moderator), (Admin, Moderator), Visitor, Some(NotAllowed));
        check((Owner, Moderator), (Admin, Moderator), kicked, Option::None);
    }

    #[test]
    fn roles_follow_affiliations() {
        use Affiliation::{Admin, Member, None, Owner};
        use Role::{Moderator, Participant, Visitor};
        assert_eq!(Owner.first_role(true), Moderator);
        assert_eq!(None.first_role(true), Visitor);
        assert_eq!(None.first_role(false), Participant);
        assert_eq!(Member.next_role(None, Visitor, true), Participant);
        assert_eq!(Member.next_role(Admin, Moderator, true), Participant);
        assert_eq!(None.next_role(Admin, Moderator, true), Visitor);
        assert_eq!(None.next_role(Member, Moderator, true), Moderator);
        assert_eq!(Admin.next_role(None, Visitor, true), Moderator);
    }
}
