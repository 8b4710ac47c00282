//! Names of files and media types, as clients say them and as they go into addresses and headers.

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// The longest ending that is kept when a name is cut, in bytes.
const ENDING_BYTES_MAX: usize = 16;
/// The longest media type, in bytes.
const KIND_BYTES_MAX: usize = 100;
/// What a file is of which nothing is known.
pub(crate) const UNKNOWN: &str = "application/octet-stream";
/// What a browser may show: it does not execute, and does not contain what does.
const INLINE: &[&str] = &[
    "audio/aac",
    "audio/amr",
    "audio/flac",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/opus",
    "audio/wav",
    "audio/webm",
    "audio/x-m4a",
    "audio/x-wav",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/heic",
    "image/heif",
    "image/jpeg",
    "image/jxl",
    "image/png",
    "image/webp",
    "video/3gpp",
    "video/mp4",
    "video/mpeg",
    "video/ogg",
    "video/quicktime",
    "video/webm",
    "video/x-matroska",
];

/// Returns a name that is safe in addresses, headers and on anybody's disk: the last part of a path,
/// without control characters, not empty, neither `.` nor `..`, not too long. The ending stays.
pub(crate) fn file_name(wanted: &str) -> String {
    let last = wanted.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe = |c: char| if is_unsafe(c) { '_' } else { c };
    let name: String = last.chars().map(safe).collect();
    let name = name.trim();
    if name.trim_matches('.').is_empty() {
        return "file".to_owned();
    }
    let ending = name.rfind('.').and_then(|dot| name.get(dot..)).unwrap_or_default();
    let ending = if ending.len() <= ENDING_BYTES_MAX { ending } else { "" };
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let mut end = NAME_BYTES_MAX.saturating_sub(ending.len());
    while !name.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    format!("{}{ending}", name.get(..end).unwrap_or_default())
}

/// Control characters, and those that show a name other than it is.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns a media type without parameters, in lower case; `None` when it is none.
pub(crate) fn media_type(said: &str) -> Option<String> {
    let kind = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let (first, second) = kind.split_once('/')?;
    (is_token(first) && is_token(second) && kind.len() <= KIND_BYTES_MAX).then_some(kind)
}

/// Returns what the header says a file is, and whether a browser may show it.
pub(crate) fn shown(kind: &str) -> (&str, bool) {
    if kind == "text/plain" {
        return ("text/plain; charset=utf-8", true);
    }
    match INLINE.iter().find(|inline| **inline == kind) {
        Some(inline) => (*inline, true),
        None => (UNKNOWN, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_safe() {
        for (wanted, name) in [
            ("très cool.jpg", "très cool.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\ana\\a.txt", "a.txt"),
            ("..", "file"),
            (".", "file"),
            ("a/", "file"),
            ("", "file"),
            ("  ", "file"),
            (".profile", ".profile"),
            ("a\r\nSet-Cookie: b", "a__Set-Cookie: b"),
            ("a\0b", "a_b"),
            ("gpj.\u{202e}exe", "gpj._exe"),
        ] {
            assert_eq!(file_name(wanted), name, "{wanted:?}");
        }
        let long = format!("{}.jpeg", "ä".repeat(300));
        let name = file_name(&long);
        assert!(name.len() <= NAME_BYTES_MAX && name.ends_with("ä.jpeg"), "{name}");
        let long = format!("a.{}", "b".repeat(300));
        assert_eq!(file_name(&long).len(), NAME_BYTES_MAX);
    }

    #[test]
    fn what_may_execute_is_never_shown() {
        for kind in ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "x/y"] {
            assert_eq!(shown(kind), (UNKNOWN, false), "{kind}");
        }
        assert_eq!(shown("image/png"), ("image/png", true));
        assert_eq!(shown("text/plain"), ("text/plain; charset=utf-8", true));
    }

    #[test]
    fn media_types_have_two_parts_and_no_tricks() {
        assert_eq!(media_type("Image/PNG; a=b").as_deref(), Some("image/png"));
        for bad in [
            "",
            "image",
            "image/",
            "/png",
            "image/p ng",
            "image/png\r\nx: y",
            "a/b/c",
            "image/png,text/html",
        ] {
            assert_eq!(media_type(bad), None, "{bad:?}");
        }
    }
}
