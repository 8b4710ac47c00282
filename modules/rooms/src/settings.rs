//! How a room can be (§15.5.3 of XEP-0045).
//!
//! One list says which settings there are: the form is made from it, what is submitted is checked
//! against it, and the room reads its own by the same names.

use calypte::prelude::*;

pub(crate) const NAME: &str = "muc#roomconfig_roomname";
pub(crate) const DESCRIPTION: &str = "muc#roomconfig_roomdesc";
pub(crate) const LANG: &str = "muc#roomconfig_lang";
pub(crate) const PERSISTENT: &str = "muc#roomconfig_persistentroom";
pub(crate) const PUBLIC: &str = "muc#roomconfig_publicroom";
pub(crate) const MEMBERS_ONLY: &str = "muc#roomconfig_membersonly";
pub(crate) const MODERATED: &str = "muc#roomconfig_moderatedroom";
pub(crate) const PROTECTED: &str = "muc#roomconfig_passwordprotectedroom";
pub(crate) const SECRET: &str = "muc#roomconfig_roomsecret";
pub(crate) const WHOIS: &str = "muc#roomconfig_whois";
pub(crate) const CHANGE_SUBJECT: &str = "muc#roomconfig_changesubject";
pub(crate) const ALLOW_INVITES: &str = "muc#roomconfig_allowinvites";
pub(crate) const ALLOW_PM: &str = "muc#roomconfig_allowpm";
pub(crate) const BROADCAST: &str = "muc#roomconfig_presencebroadcast";
pub(crate) const MEMBER_LIST: &str = "muc#roomconfig_getmemberlist";
pub(crate) const MAX_USERS: &str = "muc#roomconfig_maxusers";
pub(crate) const LOGGING: &str = "muc#roomconfig_enablelogging";
pub(crate) const MAX_HISTORY: &str = "muc#maxhistoryfetch";
pub(crate) const ARCHIVING: &str = "muc#roomconfig_enablearchiving";
pub(crate) const FORWARD_MENTIONS: &str = "muc#roomconfig_forwardmentions";
pub(crate) const SLOW: &str = "muc#roomconfig_slow_mode_duration";
/// The lists of people, which are kept with [`crate::records::MEMBERS`].
pub(crate) const ADMINS: &str = "muc#roomconfig_roomadmins";
pub(crate) const OWNERS: &str = "muc#roomconfig_roomowners";

/// The most messages that somebody who enters is told.
const HISTORY_MAX: u32 = 100;
/// The longest pause between two messages of somebody, in seconds.
const SLOW_MAX: u32 = 86_400;
/// The longest line of text, in bytes.
const LINE_BYTES_MAX: usize = 1024;

/// What may stand in a field.
pub(crate) enum Kind {
    Flag,
    Line,
    Private,
    /// From nought to this.
    Number(u32),
    /// The same, or one of these, which are offered.
    Chosen(u32, &'static [(&'static str, &'static str)]),
    One(&'static [(&'static str, &'static str)]),
    Several(&'static [(&'static str, &'static str)]),
}

/// A setting.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static [&'static str],
}

const ROLES: &[(&str, &str)] =
    &[("moderator", "Moderators"), ("participant", "Participants"), ("visitor", "Visitors")];

/// Clients expect a list (§15.5.3).
const CROWDS: &[(&str, &str)] = &[
    ("none", "As many as the server allows"),
    ("10", "10"),
    ("20", "20"),
    ("50", "50"),
    ("100", "100"),
    ("200", "200"),
    ("500", "500"),
    ("1000", "1000"),
];

/// All settings, in the order of the form.
pub(crate) const FIELDS: &[Setting] = &[
    field(NAME, "Name of the room", Kind::Line, &[]),
    field(DESCRIPTION, "What it is for", Kind::Line, &[]),
    field(LANG, "Language that is spoken", Kind::Line, &[]),
    field(PERSISTENT, "Stays when nobody is in it", Kind::Flag, &["0"]),
    field(PUBLIC, "Stands in the list of rooms", Kind::Flag, &["1"]),
    field(MEMBERS_ONLY, "Only members may enter", Kind::Flag, &["0"]),
    field(MODERATED, "Only who was given voice may speak", Kind::Flag, &["0"]),
    field(PROTECTED, "A password is needed to enter", Kind::Flag, &["0"]),
    field(SECRET, "The password", Kind::Private, &[]),
    field(
        WHOIS,
        "Who sees the addresses of people",
        Kind::One(&[("moderators", "Moderators"), ("anyone", "Everybody in the room")]),
        &["moderators"],
    ),
    field(CHANGE_SUBJECT, "Participants may change the subject", Kind::Flag, &["0"]),
    field(ALLOW_INVITES, "Members may invite others", Kind::Flag, &["0"]),
    field(
        ALLOW_PM,
        "Who may write to one person in the room",
        Kind::One(&[
            ("anyone", "Everybody"),
            ("participants", "Who has voice"),
            ("moderators", "Moderators"),
            ("none", "Nobody"),
        ]),
        &["anyone"],
    ),
    field(
        BROADCAST,
        "Whose coming and going is shown",
        Kind::Several(ROLES),
        &["moderator", "participant", "visitor"],
    ),
    field(
        MEMBER_LIST,
        "Who may see the list of members",
        Kind::Several(ROLES),
        &["moderator", "participant", "visitor"],
    ),
    field(MAX_USERS, "The most people at a time", Kind::Chosen(5000, CROWDS), &["none"]),
    field(LOGGING, "What is said is kept for everybody to read", Kind::Flag, &["0"]),
    field(ARCHIVING, "What is said is kept for those who may enter", Kind::Flag, &["1"]),
    field(
        FORWARD_MENTIONS,
        "Members who are away hear when they are mentioned",
        Kind::Flag,
        &["1"],
    ),
    field(SLOW, "Seconds between two messages of somebody", Kind::Number(SLOW_MAX), &["0"]),
    field(
        MAX_HISTORY,
        "How many messages somebody who enters is shown",
        Kind::Number(HISTORY_MAX),
        &["20"],
    ),
];

const fn field(
    name: &'static str,
    label: &'static str,
    kind: Kind,
    default: &'static [&'static str],
) -> Setting {
    Setting { name, label, kind, default }
}

/// Finds a setting by its name.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    FIELDS.iter().find(|setting| setting.name == name)
}

impl Setting {
    /// Checks what was submitted and returns it as it is kept.
    ///
    /// # Errors
    ///
    /// `not-acceptable` when it is nothing that the setting can be.
    pub(crate) fn check(&self, values: &[String]) -> Result<Vec<String>, StanzaError> {
        let bad =
            || StanzaError::NOT_ACCEPTABLE.with_text(format!("{} cannot be that.", self.name));
        if let Kind::Several(options) = self.kind {
            let is_known = |value: &String| options.iter().any(|(name, _)| value == name);
            let known = options.iter().filter(|(name, _)| values.iter().any(|value| value == name));
            let known = known.map(|(name, _)| (*name).to_owned()).collect();
            return if values.iter().all(is_known) { Ok(known) } else { Err(bad()) };
        }
        if values.len() > 1 {
            return Err(bad());
        }
        let value = values.first().map_or("", String::as_str);
        let kept = match &self.kind {
            Kind::Flag => match value {
                "1" | "true" => "1".to_owned(),
                "0" | "false" | "" => "0".to_owned(),
                _ => return Err(bad()),
            },
            Kind::Line | Kind::Private => {
                let is_fine = |c: char| !c.is_control();
                if value.len() > LINE_BYTES_MAX || !value.chars().all(is_fine) {
                    return Err(bad());
                }
                value.to_owned()
            }
            Kind::Number(max) | Kind::Chosen(max, _)
                if value.parse::<u32>().is_ok_and(|number| number <= *max) =>
            {
                value.to_owned()
            }
            Kind::One(options) | Kind::Chosen(_, options)
                if options.iter().any(|(name, _)| *name == value) =>
            {
                value.to_owned()
            }
            Kind::Number(_) | Kind::Chosen(..) | Kind::One(_) | Kind::Several(_) => {
                return Err(bad());
            }
        };
        Ok(if kept.is_empty() { Vec::new() } else { vec![kept] })
    }

    /// Writes the field of a form.
    pub(crate) fn to_field(&self, values: &[String]) -> Element {
        let (kind, options) = match &self.kind {
            Kind::Flag => ("boolean", &[][..]),
            Kind::Line | Kind::Number(_) => ("text-single", &[][..]),
            Kind::Private => ("text-private", &[][..]),
            Kind::One(options) | Kind::Chosen(_, options) => ("list-single", *options),
            Kind::Several(options) => ("list-multi", *options),
        };
        let mut field = crate::form::field(self.name, values).with_attr("type", kind);
        field.push_attr("label", self.label);
        if let Kind::Number(max) = &self.kind {
            let range = Element::new(ns::VALIDATE, "range");
            let range = range.with_attr("min", "0").with_attr("max", &max.to_string());
            let validate = Element::new(ns::VALIDATE, "validate");
            field.push_child(validate.with_attr("datatype", "xs:integer").with_child(range));
        }
        // What is set has to be among what is offered.
        let others = values.iter().filter(|value| options.iter().all(|(name, _)| name != value));
        let others = others.map(|value| (value.as_str(), value.as_str()));
        let others = others.take(if options.is_empty() { 0 } else { 1 });
        for (name, label) in options.iter().copied().chain(others) {
            let value = Element::new(ns::DATA_FORMS, "value").with_text(name);
            let option = Element::new(ns::DATA_FORMS, "option").with_attr("label", label);
            field.push_child(option.with_child(value));
        }
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, values: &[&str], expected: Option<&[&str]>) {
        let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
        let kept = find(name).unwrap().check(&values).ok();
        let kept = kept.as_ref().map(|kept| kept.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(kept.as_deref(), expected);
    }

    #[test]
    fn what_is_set_is_among_what_is_offered() {
        let field = find(MAX_USERS).unwrap().to_field(&["30".to_owned()]).to_xml("");
        assert!(field.contains("type=\"list-single\""), "{field}");
        assert!(field.contains("<option label=\"30\"><value>30</value></option>"), "{field}");
        assert!(
            !find(NAME).unwrap().to_field(&["Orchard".to_owned()]).to_xml("").contains("option")
        );
    }

    #[test]
    fn takes_what_a_setting_can_be() {
        check(PUBLIC, &["true"], Some(&["1"]));
        check(PUBLIC, &["yes"], None);
        check(PUBLIC, &["1", "1"], None);
        check(NAME, &[], Some(&[]));
        check(NAME, &["a\u{7}"], None);
        check(NAME, &[&"a".repeat(LINE_BYTES_MAX + 1)], None);
        check(MAX_USERS, &["none"], Some(&["none"]));
        check(MAX_USERS, &["-1"], None);
        check(MAX_HISTORY, &["101"], None);
        check(WHOIS, &["nobody"], None);
        check(BROADCAST, &["visitor", "moderator"], Some(&["moderator", "visitor"]));
        check(BROADCAST, &["visitor", "king"], None);
        check(BROADCAST, &[], Some(&[]));
    }

    #[test]
    fn defaults_are_what_a_setting_can_be() {
        for setting in FIELDS {
            let default: Vec<_> = setting.default.iter().map(|v| (*v).to_owned()).collect();
            assert_eq!(setting.check(&default).unwrap(), default, "{}", setting.name);
        }
    }
}
