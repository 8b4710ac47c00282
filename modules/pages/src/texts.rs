//! What people read. All of it is here but for single labels of lists that are made from data.

pub(crate) const LANG: &str = "en";

// Of all pages.
pub(crate) const NOT_FOUND: (&str, &str) =
    ("There is no such page", "The address may have been typed or copied wrongly.");
pub(crate) const NOT_ALLOWED: (&str, &str) =
    ("This cannot be done here", "Go back, and use the buttons of the page.");
pub(crate) const NOT_OURS: (&str, &str) = (
    "This form did not come from here",
    "Nothing was done. Another page may have tried to act for you, or the page was open for too long. \
     Open it again, and try once more.",
);
pub(crate) const TOO_OFTEN: (&str, &str) =
    ("Too many tries", "Wait an hour, and try again. Nothing was changed.");
pub(crate) const BROKEN: (&str, &str) = (
    "The server could not do it",
    "It may have been done all the same. Try again in a minute; if that does not help, tell whoever \
     runs this server.",
);

// Invitations.
pub(crate) const GONE_TITLE: &str = "This invitation is not good";
pub(crate) const GONE: &str = "It was used already, its time is over, somebody took it back, or the \
     address of this page was not copied as a whole.";
pub(crate) const GONE_THEN: &str = "Ask who sent it for a new one. If you have just made an account \
     with it, you need no other: log in with your app.";
pub(crate) const INVITED_BY: &str = "invites you to chat on";
pub(crate) const INVITED: &str = "You are invited to chat on";
pub(crate) const CONTACT_BY: &str = "wants to be in touch with you";
pub(crate) const GOOD_UNTIL: &str = "The invitation is good until";
pub(crate) const MAKE: &str = "Make an account here";
pub(crate) const MAKE_WHY: &str = "You choose a name and a password now, and log in with any app.";
pub(crate) const THEN_CONTACT: &str = "will be in your contacts from the start.";
pub(crate) const NAME: &str = "Name";
pub(crate) const NAME_HINT: &str = "Your address will be this name, followed by";
pub(crate) const NAME_FIXED: &str = "The invitation is for this name. Your address will be";
pub(crate) const PASSWORD: &str = "Password";
pub(crate) const PASSWORD_REPEAT: &str = "Password again";
pub(crate) const PASSWORDS_DIFFER: &str = "The two passwords are not the same.";
pub(crate) const NAME_EMPTY: &str = "Choose a name.";
pub(crate) const NAME_TAKEN: &str = "This name is taken, or not to be had. Choose another one.";
pub(crate) const NAME_BAD: &str = "This cannot be a name. Use letters, digits, dots and hyphens.";
pub(crate) const PASSWORD_BAD: &str = "This password cannot be used. Choose another one.";
pub(crate) const MAKE_BUTTON: &str = "Make the account";
pub(crate) const APP: &str = "Or begin with an app";
pub(crate) const APP_CONTACT: &str = "With your app";
pub(crate) const APP_WHY: &str = "If you have one of the apps that know invitations, it makes the \
     account for you.";
pub(crate) const APP_CONTACT_WHY: &str = "You have an account already, here or on another server of \
     the same network (XMPP). Your app asks for nothing more than your leave.";
pub(crate) const APP_BUTTON: &str = "Open the invitation in my app";
pub(crate) const APP_NONE: &str = "Apps that you can choose from";
pub(crate) const APP_KNOWS: &str = "knows invitations";
pub(crate) const APP_KNOWS_NOT: &str = "make the account here first";
pub(crate) const PHONE: &str = "On your phone";
pub(crate) const PHONE_WHY: &str = "Point its camera at this code to open the invitation there.";
pub(crate) const PHONE_LABEL: &str = "QR code with the address of this invitation";
pub(crate) const WELCOME: &str = "Your account is there";
pub(crate) const WELCOME_ADDRESS: &str = "Your address, which you can give to others:";
pub(crate) const WELCOME_HOW: &str = "How to log in";
pub(crate) const WELCOME_STEPS: [&str; 3] = [
    "Install an app on your phone or computer.",
    "Choose to log in with an account that you have.",
    "Type your address and the password that you have just chosen. Nothing else is needed.",
];
pub(crate) const WELCOME_KEEP: &str = "Keep the password where you find it again. Nobody can tell it \
     to you, also not whoever runs this server.";
pub(crate) const WELCOME_OWN: &str = "Look after your account";
pub(crate) const WELCOME_LABEL: &str = "QR code with your address";
pub(crate) const WELCOME_CODE: &str = "Others point their camera at this code to write to you.";

// The own page.
pub(crate) const LOGIN: &str = "Your account";
pub(crate) const LOGIN_WHY: &str = "Log in to change your password, see your devices, invite people, \
     or remove your account.";
pub(crate) const ADDRESS: &str = "Address";
pub(crate) const ADDRESS_HINT: &str = "Such as";
pub(crate) const LOGIN_BUTTON: &str = "Log in";
pub(crate) const LOGIN_WRONG: &str = "Address or password is wrong.";
pub(crate) const LOGIN_AGAIN: &str = "You were logged in for too long, or the password is another now. \
     Log in again.";
pub(crate) const LOGOUT_BUTTON: &str = "Log out of this page";
pub(crate) const DEVICES: &str = "Your apps and devices";
pub(crate) const DEVICES_NONE: &str = "No app is logged in.";
pub(crate) const DEVICES_SAY: &str = "What apps are called is what they say of themselves.";
pub(crate) const DEVICE_UNKNOWN: &str = "An app that does not say what it is";
pub(crate) const DEVICE_HERE: &str = "connected now";
pub(crate) const DEVICE_SEEN: &str = "last here";
pub(crate) const DEVICE_SINCE: &str = "known since";
pub(crate) const DEVICE_OUT: &str = "Log out";
pub(crate) const INVITE: &str = "Invite somebody";
pub(crate) const INVITE_WHY: &str = "You get a link to send to one person. Who uses it is in your \
     contacts then.";
pub(crate) const INVITE_BUTTON: &str = "Make an invitation";
pub(crate) const INVITE_DONE: &str = "Your invitation";
pub(crate) const INVITE_SEND: &str = "Send this link to one person, over something that you trust. \
     Whoever has it can use it, once.";
pub(crate) const INVITE_LABEL: &str = "QR code with the link";
pub(crate) const CHANGE: &str = "Change the password";
pub(crate) const CHANGE_WHY: &str = "Your other devices are told. Those that log in with a password \
     need the new one.";
pub(crate) const PASSWORD_NOW: &str = "Password of today";
pub(crate) const PASSWORD_NEW: &str = "New password";
pub(crate) const PASSWORD_NEW_REPEAT: &str = "New password again";
pub(crate) const PASSWORD_WRONG: &str = "This is not your password.";
pub(crate) const DATA: &str = "Your contacts as a file";
pub(crate) const DATA_WHY: &str =
    "In the form in which other servers of the network read it (XEP-0227).";
pub(crate) const DATA_BUTTON: &str = "Download my contacts";
pub(crate) const REMOVE: &str = "Remove the account";
pub(crate) const REMOVE_WHAT: &str = "These go at once, and nobody can bring them back:";
pub(crate) const REMOVE_LIST: [&str; 4] = [
    "the account itself: no app can log in any more",
    "your contacts; they are told that you are gone",
    "the messages that are kept for you here, and those that wait for you",
    "everything else that is kept for you here: bookmarks, pictures, settings, invitations",
];
pub(crate) const REMOVE_NOT: &str = "What you sent to others stays with them, and copies that the \
     operator made of the server's data end when the operator removes them. Somebody else may take \
     your name later.";
pub(crate) const REMOVE_SURE: &str = "I want to remove my account and all of this";
pub(crate) const REMOVE_SURE_NEEDED: &str = "Say that you are sure.";
pub(crate) const REMOVE_BUTTON: &str = "Remove the account for ever";
pub(crate) const REMOVED: (&str, &str) = (
    "Your account is gone",
    "With everything that was kept for it here. Thank you for having been here.",
);
pub(crate) const BACK: &str = "Back to your account";

/// What is said above the own page after something was done, by the word in its address.
pub(crate) const DONE: [(&str, &str); 4] = [
    ("password", "The password is another now. This page stays open."),
    ("revoked", "The app is logged out."),
    (
        "half",
        "The app is logged out, but it may know your password. Change the password to keep it out.",
    ),
    ("failed", "That could not be done. Nothing was changed."),
];

/// An app.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) name: &'static str,
    pub(crate) url: &'static str,
    /// Whether it makes an account from an invitation itself.
    pub(crate) knows: bool,
}

const fn app(name: &'static str, url: &'static str, knows: bool) -> App {
    App { name, url, knows }
}

/// Apps by platform: free ones that are looked after, with end-to-end encryption.
pub(crate) const APPS: [(&str, &[App]); 5] = [
    (
        "Android",
        &[
            app("Conversations", "https://conversations.im/", true),
            app("Cheogram", "https://cheogram.com/", true),
        ],
    ),
    (
        "iPhone and iPad",
        &[app("Monal", "https://monal-im.org/", true), app("Siskin", "https://siskin.im/", true)],
    ),
    ("Linux", &[app("Dino", "https://dino.im/", false), app("Gajim", "https://gajim.org/", false)]),
    ("Windows", &[app("Gajim", "https://gajim.org/", false)]),
    (
        "Mac",
        &[app("Monal", "https://monal-im.org/", true), app("Beagle", "https://beagle.im/", true)],
    ),
];
