//! Slots (XEP-0363 §4, §5, §6).

use calypte::prelude::*;
use calypte::wire::FILES_PATH;
use xep::delay::{date_time, read_date_time};

use crate::Upload;
use crate::names::{file_name, media_type};
use crate::rows::{self, DAY_MS, SLOTS, Slot};

/// How long a slot waits for its file to begin (§8), in milliseconds.
const SLOT_MS: u64 = 300_000;
/// The most slots of an account that wait.
const SLOTS_MAX: u32 = 50;
/// The largest picture of a profile, in bytes.
const PROFILE_BYTES_MAX: u64 = 1 << 20;
/// What files can be for (§5).
pub(crate) const PURPOSES: &[&str] = &["message", "profile", "ephemeral"];

/// What a client wants to send.
struct Wish {
    name: String,
    bytes: u64,
    kind: Option<String>,
    file_ends_ms: u64,
}

impl Upload {
    /// Gives a slot.
    pub(crate) fn request(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let Some(url) = cx.web_url()? else { return Err(StanzaError::SERVICE_UNAVAILABLE) };
        let wish = self.read(request.query()?, cx.now_ms())?;
        let Wish { name, bytes, kind, file_ends_ms } = wish;
        self.admit(cx, bytes)?;
        let now_ms = cx.now_ms();
        let ends_ms = now_ms.saturating_add(SLOT_MS);
        let slot = Slot {
            name: name.clone(),
            bytes,
            kind,
            made_ms: now_ms,
            ends_ms,
            file_ends_ms,
            is_begun: false,
        };
        let token = rows::give(cx, &slot)?;
        rows::set_timer(cx)?;
        cx.count("slots", 1)?;
        let url = format!("{url}{FILES_PATH}/{token}/{}", uri::escaped(&name));
        let side = |name| Element::new(ns::UPLOAD, name).with_attr("url", &url);
        let answer = Element::new(ns::UPLOAD, "slot");
        Ok(Reply::With(answer.with_child(side("put")).with_child(side("get"))))
    }

    fn read(&self, query: Node<'_>, now_ms: u64) -> Result<Wish, StanzaError> {
        let bad = |text: &'static str| StanzaError::BAD_REQUEST.with_text(text);
        let name = query.attr("filename").filter(|name| !name.is_empty());
        let name = file_name(&name.ok_or_else(|| bad("the file has a name"))?);
        let bytes = query.attr("size").and_then(|size| size.parse::<u64>().ok());
        let bytes = bytes.filter(|bytes| *bytes > 0);
        let bytes = bytes.ok_or_else(|| bad("the size is a number of bytes, and not 0"))?;
        let kind = match query.attr("content-type").filter(|kind| !kind.is_empty()) {
            Some(kind) => Some(media_type(&kind).ok_or_else(|| bad("the content type is none"))?),
            None => None,
        };
        let (bytes_max, file_ends_ms) = self.purpose(query, now_ms)?;
        if bytes > bytes_max {
            return Err(too_large(bytes_max));
        }
        Ok(Wish { name, bytes, kind, file_ends_ms })
    }

    /// Returns how large a file for this purpose may be, and when it ends.
    fn purpose(&self, query: Node<'_>, now_ms: u64) -> Result<(u64, u64), StanzaError> {
        let usual = (self.0.bytes_max(), now_ms.saturating_add(self.0.expire.ms));
        let Some(purpose) = query.children().find(|child| child.ns() == ns::UPLOAD_PURPOSE) else {
            return Ok(usual);
        };
        match purpose.name() {
            "message" => Ok(usual),
            "profile" => {
                let ends_ms = now_ms.saturating_add(self.0.expire_profile.ms);
                Ok((usual.0.min(PROFILE_BYTES_MAX), ends_ms))
            }
            "ephemeral" => {
                let until = purpose.attr("expire-before").and_then(|text| read_date_time(&text));
                match until {
                    Some(until) if until > now_ms => Ok((usual.0, usual.1.min(until))),
                    Some(_) => Err(StanzaError::NOT_ACCEPTABLE.with_text("it would be over")),
                    None => Err(StanzaError::BAD_REQUEST.with_text("expire-before is a time")),
                }
            }
            _ => {
                let text = "files are not kept for this purpose";
                Err(StanzaError::FEATURE_NOT_IMPLEMENTED.with_text(text))
            }
        }
    }

    /// Refuses what there is no room for, and counts what there is room for to the day.
    fn admit(&self, cx: &mut Context<'_, '_>, bytes: u64) -> Done {
        let now_ms = cx.now_ms();
        let config = &self.0;
        let slots = cx.all(&SLOTS, SLOTS_MAX)?;
        if slots.len() >= usize::try_from(SLOTS_MAX).unwrap_or(usize::MAX) {
            let first = slots.iter().map(|(_, slot)| slot.ends_ms).min();
            let text = "you asked for many files that did not come; wait for some minutes";
            return Err(full(text.to_owned(), first));
        }
        let waiting = slots.iter().fold(0_u64, |sum, (_, slot)| sum.saturating_add(slot.bytes));
        let mut used = rows::used(cx)?;
        let files = used.files.saturating_add(u64::try_from(slots.len()).unwrap_or(u64::MAX));
        if used.bytes.saturating_add(waiting).saturating_add(bytes) > config.per_account.bytes
            || files >= u64::from(config.files)
        {
            let text = format!(
                "your files take {} of {}; delete some with the command \"Delete one of my files\", \
                 or wait until old ones end",
                shown(used.bytes),
                shown(config.per_account.bytes)
            );
            return Err(full(text, None));
        }
        let today = now_ms / DAY_MS;
        if used.day != today {
            (used.day, used.day_bytes) = (today, 0);
        }
        used.day_bytes = used.day_bytes.saturating_add(bytes);
        if used.day_bytes > config.per_day.bytes {
            let text = format!("you can send {} a day", shown(config.per_day.bytes));
            let tomorrow = today.saturating_add(1).saturating_mul(DAY_MS);
            return Err(full(text, Some(tomorrow)));
        }
        if rows::sum(cx)?.saturating_add(bytes) > config.total.bytes {
            cx.count("full", 1)?;
            return Err(full("there is no room for more files on this server".to_owned(), None));
        }
        rows::count_day(cx, &used)
    }
}

fn too_large(bytes_max: u64) -> StanzaError {
    let limit = Element::new(ns::UPLOAD, "max-file-size").with_text(&bytes_max.to_string());
    StanzaError::NOT_ACCEPTABLE
        .with_text(format!("the file is too large: at most {bytes_max} bytes"))
        .with_detail(&Element::new(ns::UPLOAD, "file-too-large").with_child(limit))
}

/// There is no room now; perhaps at another time.
fn full(text: String, again_ms: Option<u64>) -> StanzaError {
    let error = StanzaError::RESOURCE_CONSTRAINT.with_text(text);
    match again_ms {
        Some(ms) => {
            let retry = Element::new(ns::UPLOAD, "retry").with_attr("stamp", &date_time(ms));
            error.with_detail(&retry)
        }
        None => error,
    }
}

/// Writes a number of bytes for people.
pub(crate) fn shown(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..=0x3ff => return format!("{bytes} bytes"),
        0x400..=0xf_ffff => (1_u64 << 10, "KiB"),
        0x10_0000..=0x3fff_ffff => (1 << 20, "MiB"),
        _ => (1 << 30, "GiB"),
    };
    let tenths = bytes.saturating_mul(10) / unit;
    match tenths % 10 {
        0 => format!("{} {name}", tenths / 10),
        tenth => format!("{}.{tenth} {name}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (100 << 20, "100 MiB"),
            (2 << 30, "2 GiB"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }
}
