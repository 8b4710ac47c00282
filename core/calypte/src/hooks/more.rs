//! Where a module acts besides: accounts, strangers, forms.

use super::{ANY, Hook, Run, Who};
use crate::functions::{
    AccountFn, CommandFn, FeatureFn, FileFn, LookedFn, StanzaFn, StrangerFn, WebFn,
};
#[cfg(doc)]
use crate::{Asked, Context};

impl<M> Hook<M> {
    /// Owns the addresses below `label.domain`: rooms, uploads. Gets each stanza to one of them.
    pub const fn serve(label: &'static str, f: StanzaFn<M>) -> Self {
        Self::of(["serve", label, ANY, ANY, ANY, ANY], Run::Stanza(f))
    }

    /// As [`Hook::serve`], and the operator may give another label: it is the value of the setting `key`.
    /// [`Module::setup`](crate::Module::setup) checks it with [`is_label`](crate::config::is_label).
    pub const fn serve_as(key: &'static str, label: &'static str, f: StanzaFn<M>) -> Self {
        Self::of(["serve", label, key, ANY, ANY, ANY], Run::Stanza(f))
    }

    /// Answers `get` requests with this payload of clients that have not logged in. The owner is the
    /// domain. They can ask, over TLS and not often, where an [`early_feature`](Self::early_feature)
    /// is offered.
    pub const fn stranger_get(ns: &'static str, name: &'static str, f: StrangerFn<M>) -> Self {
        Self::of(["stranger-get", ns, name, ANY, ANY, ANY], Run::Stranger(f))
    }

    /// Answers `set` requests with this payload of clients that have not logged in.
    pub const fn stranger_set(ns: &'static str, name: &'static str, f: StrangerFn<M>) -> Self {
        Self::of(["stranger-set", ns, name, ANY, ANY, ANY], Run::Stranger(f))
    }

    /// Adds to the stream features that a client sees over TLS before it logs in. It runs as
    /// [`stream_feature`](Self::stream_feature) does, after [`started`](Self::started).
    pub const fn early_feature(f: FeatureFn<M>) -> Self {
        Self::of(["early-feature", ANY, ANY, ANY, ANY, ANY], Run::Feature(f))
    }

    /// As [`Hook::http_public`], for pages: the function says status and headers too, and can answer
    /// later ([`Context::later`](crate::Context::later)), within 10 seconds.
    ///
    /// It knows where a request comes from ([`Asked::address`](crate::Asked::address)), some of its headers
    /// and the fields of forms.
    pub const fn web(path: &'static str, f: WebFn<M>) -> Self {
        Self::of(["http", path, "public", ANY, ANY, ANY], Run::Web(f))
    }

    /// Gets what [`Context::look`](crate::Context::look) asked for, with the cookie given there, or why there is nothing.
    pub const fn looked(f: LookedFn<M>) -> Self {
        Self::of(["looked", ANY, ANY, ANY, ANY, ANY], Run::Looked(f))
    }

    /// Hears what became of [`Context::change_account`](crate::Context::change_account), with the cookie given there.
    pub const fn account_done(f: AccountFn<M>) -> Self {
        Self::of(["account-done", ANY, ANY, ANY, ANY, ANY], Run::AccountDone(f))
    }

    /// Decides about files that people send each other by HTTPS, below
    /// [`FILES_PATH`](crate::wire::FILES_PATH). The owner is the account behind the link, see
    /// [`FILE_LINKS`](crate::tables::FILE_LINKS); there can be one such module.
    ///
    /// The host takes and gives the bytes, and keeps them sealed in a folder beside the store. Who
    /// asks is not known and may be hostile. An answer leaves when what was written is on disk.
    pub const fn files(f: FileFn<M>) -> Self {
        Self::of(["files", ANY, ANY, ANY, ANY, ANY], Run::Files(f))
    }

    /// Offers a command that asks for what it needs with forms: see [`crate::command`]. The function is
    /// called with all that was filled in so far.
    pub const fn form_command(
        node: &'static str,
        title: &'static str,
        who: Who,
        f: CommandFn<M>,
    ) -> Self {
        Self::of(["command", node, who.name(), title, "forms", ANY], Run::Command(f))
    }
}
