//! As much of HTTP as files need, over a connection that stays.

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::conn::{Io, Res};

/// The most bytes of the head of an answer.
const HEAD_MAX: usize = 16 << 10;
/// How much is read and written at once.
pub(crate) const PIECE: usize = 64 << 10;

/// A connection.
pub(crate) struct Http {
    io: Box<dyn Io>,
    host: String,
    /// What came and was not looked at.
    heard: Vec<u8>,
}

/// What an answer says before its body.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: u64,
}

fn broken(error: std::io::Error) -> String {
    format!("a connection for files broke: {error}")
}

impl Http {
    pub(crate) fn new(io: Box<dyn Io>, host: String) -> Self {
        Self { io, host, heard: Vec::new() }
    }

    /// Puts a file of so many bytes, which `fill` writes piece by piece.
    pub(crate) async fn put(
        &mut self,
        path: &str,
        headers: &[(String, String)],
        bytes: u64,
        mut fill: impl FnMut(&mut [u8]),
    ) -> Res<()> {
        let mut head = format!(
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {bytes}\r\n",
            self.host
        );
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").map_err(|error| error.to_string())?;
        }
        head.push_str("\r\n");
        self.io.write_all(head.as_bytes()).await.map_err(broken)?;
        let mut piece = vec![0; PIECE];
        let mut left = bytes;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            fill(&mut piece[..length]);
            self.io.write_all(&piece[..length]).await.map_err(broken)?;
            left -= u64::try_from(length).unwrap_or(0);
        }
        self.io.flush().await.map_err(broken)?;
        let head = self.head().await?;
        let status = head.status;
        self.body(head, |_| ()).await?;
        if status == 201 { Ok(()) } else { Err(format!("a file was refused with {status}")) }
    }

    /// Fetches a file of so many bytes, which `see` sees piece by piece.
    pub(crate) async fn get(&mut self, path: &str, bytes: u64, see: impl FnMut(&[u8])) -> Res<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.io.write_all(request.as_bytes()).await.map_err(broken)?;
        self.io.flush().await.map_err(broken)?;
        let head = self.head().await?;
        if head != (Head { status: 200, length: bytes }) {
            return Err(format!("a file of {bytes} bytes: {head:?}"));
        }
        self.body(head, see).await
    }

    async fn head(&mut self) -> Res<Head> {
        loop {
            let end = self.heard.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = read_head(&self.heard[..end])?;
                self.heard.drain(..end + 4);
                return Ok(head);
            }
            if self.heard.len() > HEAD_MAX
                || self.io.read_buf(&mut self.heard).await.map_err(broken)? == 0
            {
                return Err("there is no answer about a file".to_owned());
            }
        }
    }

    async fn body(&mut self, head: Head, mut see: impl FnMut(&[u8])) -> Res<()> {
        let mut left = head.length;
        self.heard.reserve(PIECE);
        loop {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.heard.len());
            see(&self.heard[..length]);
            self.heard.drain(..length);
            left -= u64::try_from(length).unwrap_or(0);
            if left == 0 {
                return Ok(());
            }
            if self.io.read_buf(&mut self.heard).await.map_err(broken)? == 0 {
                return Err("a file ended too early".to_owned());
            }
        }
    }
}

fn read_head(head: &[u8]) -> Res<Head> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| format!("no answer of HTTP: {text}"))?;
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, value)| value.trim().parse().ok());
    Ok(Head { status, length: length.ok_or_else(|| format!("no length: {text}"))? })
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[test]
    fn files_come_and_go_over_one_connection() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (ours, mut theirs) = duplex(1 << 20);
            let mut http = Http::new(Box::new(ours), "a.test".to_owned());
            let answers =
                b"HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\nok\nHTTP/1.1 200 OK\r\n\
                Content-Length: 5\r\n\r\nhelloHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            theirs.write_all(answers).await.unwrap();
            let headers = [("Authorization".to_owned(), "b".to_owned())];
            http.put("/f", &headers, 5, |piece| piece.copy_from_slice(b"hello")).await.unwrap();
            let mut seen = Vec::new();
            http.get("/f", 5, |piece| seen.extend_from_slice(piece)).await.unwrap();
            assert_eq!(seen, b"hello");
            assert!(http.get("/g", 5, |_| ()).await.is_err());
            drop(http);
            let mut asked = String::new();
            theirs.read_to_string(&mut asked).await.unwrap();
            assert!(asked.starts_with("PUT /f HTTP/1.1\r\nHost: a.test\r\n"), "{asked}");
            assert!(asked.contains("\r\nAuthorization: b\r\n\r\nhelloGET /f "), "{asked}");
        });
    }
}
