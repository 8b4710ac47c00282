//! The operator's folder: a web chat, or other pages that are files. What is in it is served as it is;
//! nothing outside of it is reached, whatever a path says and whatever links stand there.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use actix_web::body::SizedStream;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use futures_util::stream;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use crate::server::Shared;

/// What is read at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Folders inside each other.
const DEPTH_MAX: usize = 32;
/// What pages in the folder may do, unless `web.policy` says otherwise: run scripts of this server
/// only, talk to it and to where pictures and files of others lie, and stand in no frame.
const POLICY: &str = concat!(
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; ",
    "img-src 'self' data: blob: https:; media-src 'self' data: blob: https:; ",
    "font-src 'self' data:; connect-src 'self' https: wss:; frame-src 'none'; ",
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

/// What stands at a path.
enum Found {
    File(File, Metadata),
    Folder,
}

/// Answers for a path in the folder.
pub(super) async fn page(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let config = shared.config.load_full();
    let Some(folder) = config.web.folder.clone() else {
        return super::module::missing();
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return HttpResponse::MethodNotAllowed()
            .insert_header((header::ALLOW, "GET, HEAD"))
            .finish();
    }
    let asked = request.uri().path();
    let Some(path) = inside(asked) else { return super::module::missing() };
    let kind = kind(&path);
    match web::block(move || open(&folder, &path)).await {
        Ok(Ok(Found::File(file, facts))) => {
            let policy = config.web.policy.as_deref().unwrap_or(POLICY);
            answer(request, file, &facts, kind, policy)
        }
        // So that what the page names stands below it.
        Ok(Ok(Found::Folder)) if asked.len() > 1 && !asked.ends_with('/') => {
            let path = format!("{asked}/");
            HttpResponse::PermanentRedirect().insert_header((header::LOCATION, path)).finish()
        }
        Ok(_) | Err(_) => super::module::missing(),
    }
}

/// Returns the path below the folder; `None` for one that nobody has to ask for: hidden files, ways
/// out, characters that no name has.
fn inside(path: &str) -> Option<PathBuf> {
    let mut below = PathBuf::new();
    let mut parts = path.strip_prefix('/')?.split('/').peekable();
    let mut depth = 0_usize;
    while let Some(part) = parts.next() {
        let part = xmpp::uri::unescaped(part)?;
        depth = depth.saturating_add(1);
        match (&*part, parts.peek()) {
            ("", None) => below.push("index.html"),
            ("", Some(_)) => return None,
            (hidden, _) if hidden.starts_with('.') => return None,
            (part, _) if part.contains(['/', '\\']) || part.contains(char::is_control) => {
                return None;
            }
            (part, _) => below.push(part),
        }
    }
    (depth <= DEPTH_MAX).then_some(below)
}

fn open(folder: &Path, path: &Path) -> io::Result<Found> {
    let folder = File::open(folder)?;
    // The system sees to it that the way stays below the folder, also when somebody changes it now.
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let file = File::from(openat2(folder.as_fd(), path, how)?);
    let facts = file.metadata()?;
    match (facts.is_file(), facts.is_dir()) {
        (true, _) => Ok(Found::File(file, facts)),
        (_, true) => Ok(Found::Folder),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn answer(
    request: &HttpRequest,
    file: File,
    facts: &Metadata,
    kind: &str,
    policy: &str,
) -> HttpResponse {
    let tag = format!("\"{:x}.{:x}-{:x}\"", facts.mtime(), facts.mtime_nsec(), facts.len());
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|known| {
        known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
    });
    let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    headers(&mut answer, policy).insert_header((header::ETAG, tag));
    if is_known {
        return answer.finish();
    }
    answer.content_type(kind);
    if request.method() == Method::HEAD {
        // The length is told without a body.
        return answer
            .body(SizedStream::new(facts.len(), stream::empty::<io::Result<web::Bytes>>()));
    }
    answer.body(SizedStream::new(facts.len(), pieces(file, facts.len())))
}

fn headers<'a>(answer: &'a mut HttpResponseBuilder, policy: &str) -> &'a mut HttpResponseBuilder {
    answer
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header(("cross-origin-resource-policy", "same-origin"))
        // A browser asks each time whether it is still the same, which costs no body.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
}

/// Reads a file piece by piece, no further than it was long.
fn pieces(file: File, bytes: u64) -> impl futures_util::Stream<Item = io::Result<web::Bytes>> {
    stream::unfold((file, bytes), |(mut file, left)| async move {
        if left == 0 {
            return None;
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let read = web::block(move || {
            let mut bytes = vec![0; most];
            let count = file.read(&mut bytes)?;
            bytes.truncate(count);
            Ok::<_, io::Error>((file, bytes))
        });
        match read.await {
            Ok(Ok((file, bytes))) if !bytes.is_empty() => {
                let left = left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                Some((Ok(web::Bytes::from(bytes)), (file, left)))
            }
            // It became shorter, or cannot be read: the answer breaks off.
            _ => None,
        }
    })
}

/// Returns what a file is, by its name. What is not known is nothing that a browser runs or shows.
fn kind(path: &Path) -> &'static str {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
    match &*ending.to_ascii_lowercase() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" | "md" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        let below = |path| inside(path).map(|path| path.display().to_string());
        assert_eq!(below("/").as_deref(), Some("index.html"));
        assert_eq!(below("/dist/").as_deref(), Some("dist/index.html"));
        assert_eq!(below("/dist/a%20b.js").as_deref(), Some("dist/a b.js"));
        for wrong in [
            "",
            "a",
            "//a",
            "/a//b",
            "/..",
            "/a/../b",
            "/%2e%2e/b",
            "/.git/config",
            "/a/.env",
            "/a%2fb",
            "/a%5cb",
            "/a%00b",
            "/a%zz",
            "/a%2",
            "/a%+1",
            "/%ff",
        ] {
            assert_eq!(below(wrong), None, "{wrong}");
        }
        assert_eq!(below(&"/a".repeat(DEPTH_MAX + 1)), None);
    }

    #[test]
    fn only_plain_files_below_the_folder_are_opened() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("chat");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::fs::write(folder.join("page.html"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
        std::os::unix::fs::symlink("page.html", folder.join("same")).unwrap();
        std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
        nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let opens = |path: &str| open(&folder, Path::new(path));
        assert!(matches!(opens("page.html"), Ok(Found::File(..))));
        for wrong in ["link", "same", "up/secret", "pipe", "../secret", "missing"] {
            assert!(opens(wrong).is_err(), "{wrong}");
        }
    }
}
