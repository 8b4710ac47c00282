//! The secret that stands beside the store and not in it.
//!
//! What modules seal with it is worth nothing to who has a copy of the store alone.

use std::io::ErrorKind;
use std::path::Path;

use crypto::Secret;

use crate::acme::files;

/// The file, in the folder of data.
const FILE: &str = "secret.key";
/// Bytes of the secret.
const BYTES: usize = 32;

/// Returns the secret in `data`, made when there is none.
///
/// # Errors
///
/// A sentence.
pub(crate) fn read(data: &Path) -> Result<Secret, String> {
    let path = data.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) if bytes.len() == BYTES => Ok(Secret::new(bytes)),
        Ok(bytes) => {
            let (told, length) = (path.display(), bytes.len());
            Err(format!(
                "{told} has {length} bytes instead of {BYTES}; put the right file back, or delete it: \
                 then each app has to log in with the password once, and files that people \
                 sent cannot be opened any more"
            ))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut fresh = [0; BYTES];
            crypto::random(&mut fresh);
            files::write(&path, &fresh)?;
            Ok(Secret::new(fresh.to_vec()))
        }
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_made_once() {
        let data = tempfile::tempdir().unwrap();
        let secret = read(data.path()).unwrap();
        assert_eq!(read(data.path()).unwrap(), secret);
        assert_eq!(secret.expose().len(), BYTES);
        std::fs::write(data.path().join(FILE), "short").unwrap();
        assert!(read(data.path()).unwrap_err().contains("has 5 bytes"));
    }
}
