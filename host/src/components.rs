//! What components have to know to be let in: the secrets in their files.

use std::os::unix::fs::MetadataExt;

use crypto::Secret;

use crate::config::Config;
use crate::config::components::Component;

/// The largest file with a secret, in bytes.
const BYTES_MAX: u64 = 4096;

/// Reads the secrets of all components, by their domains.
///
/// # Errors
///
/// The component, and a sentence that shows nothing of the file.
pub(crate) fn secrets(config: &Config) -> Result<Vec<(String, Secret)>, (&Component, String)> {
    let read = |component| match read(component) {
        Ok(secret) => Ok((component.domain.as_str().to_owned(), secret)),
        Err(why) => Err((component, why)),
    };
    config.components.iter().map(read).collect()
}

fn read(component: &Component) -> Result<Secret, String> {
    let path = &component.secret_file;
    let told = path.display();
    let facts = std::fs::metadata(path).map_err(|error| format!("{told}: {error}"))?;
    if facts.mode() & 0o007 != 0 {
        return Err(format!("everybody can read {told} or write it: chmod 640 {told}"));
    }
    if !facts.is_file() || facts.len() > BYTES_MAX {
        return Err(format!("{told} is no file with a secret: it has more than 4096 bytes"));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("{told}: {error}"))?;
    let secret = bytes.trim_ascii();
    if secret.is_empty() || secret.contains(&b'\n') {
        return Err(format!("{told} must have one line with the secret"));
    }
    Ok(Secret::new(secret.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_read_and_not_shown() {
        let folder = std::env::temp_dir().join(format!("calypte-secrets-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("irc");
        let component =
            Component { domain: "irc.example.org".parse().unwrap(), secret_file: path.clone() };
        let check = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            read(&component)
        };
        assert_eq!(check("hush\n", 0o640).unwrap().expose(), b"hush");
        for (text, mode) in [("hush", 0o644), ("\n", 0o600), ("hush\nhush", 0o600)] {
            let why = check(text, mode).unwrap_err();
            assert!(!why.contains("hush"), "{why}");
        }
        assert!(check(&"x".repeat(5000), 0o600).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(read(&component).is_err());
    }
}
