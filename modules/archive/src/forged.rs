//! Results of archives that nobody asked (XEP-0313 §8.2).

use calypte::prelude::*;

use crate::Archive;

/// The value of a session: whose archives it asked, one address a line.
const ASKED: &str = "archive.asked";
/// The most addresses that are remembered; the oldest go first.
const ASKED_MAX: usize = 64;

impl Archive {
    /// A client asks the archive of a room or of somebody else.
    pub(crate) fn asks_another(
        &self,
        stanza: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        let Some(to) = stanza.to.filter(|to| stanza.kind == Kind::Iq && !cx.is_own(Some(*to)))
        else {
            return Ok(Flow::Pass);
        };
        let session = cx.session()?;
        let value = session.values.into_iter().find(|(name, _)| name == ASKED);
        let value = value.and_then(|(_, value)| String::from_utf8(value).ok()).unwrap_or_default();
        let mut asked: Vec<&str> = value.lines().collect();
        if !asked.contains(&to.bare_str()) {
            asked.push(to.bare_str());
            let too_many = asked.len().saturating_sub(ASKED_MAX);
            let asked = asked.split_off(too_many).join("\n");
            cx.set_value(ASKED, asked.as_bytes())?;
        }
        Ok(Flow::Pass)
    }

    /// What looks like the result of an archive is taken away, unless its session asked that archive.
    /// Ours do not come this way.
    pub(crate) fn forged_result(
        &self,
        stanza: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        let resource = stanza.to.and_then(JidRef::resource).unwrap_or("");
        let from = stanza.from.filter(|from| !cx.is_own(Some(*from)));
        let mut sessions = cx.sessions()?.into_iter();
        let session = sessions.find(|row| row.resource == resource);
        let value = session.and_then(|row| row.values.into_iter().find(|(name, _)| name == ASKED));
        let value = value.and_then(|(_, value)| String::from_utf8(value).ok()).unwrap_or_default();
        if !from.is_some_and(|from| value.lines().any(|asked| asked == from.bare_str())) {
            stanza.remove(ns::ARCHIVE, "result");
            cx.count("forged", 1)?;
        }
        Ok(Flow::Pass)
    }
}
