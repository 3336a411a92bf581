// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use zeroize::Zeroizing;

use super::encoding::to_base64;
use super::private_key::PrivateKey;

/// Only the owner can read the files.
const MODE: u32 = 0o600;

/// Why no keys were made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The system has no random bytes.
    #[error("cannot get random bytes from the system: {0}")]
    Random(getrandom::Error),
    /// A file exists already.
    #[error("'{0}' exists, and keys are never overwritten: move it, or choose other names with -o")]
    Exists(String),
    /// A file cannot be written.
    #[error("cannot write '{path}': {error}")]
    Write {
        /// The file.
        path: String,
        /// The system's error.
        error: io::Error,
    },
}

/// The files of a new key pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedPair {
    /// The public key's file.
    pub public: String,
    /// The private key's file.
    pub private: String,
}

/// Makes a key pair, and saves it as base64 in two new files: `prefix` with `.pub` and `.priv`.
///
/// # Errors
///
/// Every [`GenerateError`]. Both files are then as before.
pub fn generate(prefix: &str) -> Result<SavedPair, GenerateError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(GenerateError::Random)?;
    let key = PrivateKey::from_seed(&seed);
    let pair = SavedPair {
        public: format!("{prefix}.pub"),
        private: format!("{prefix}.priv"),
    };
    save(&pair.public, &key.public())?;
    save(&pair.private, &*key.bytes()).inspect_err(|_| {
        // The first error is the one to report.
        let _ = fs::remove_file(&pair.public);
    })?;
    Ok(pair)
}

/// Saves a key in a new file.
fn save(path: &str, key: &[u8]) -> Result<(), GenerateError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => GenerateError::Exists(path.to_owned()),
        _ => GenerateError::Write {
            path: path.to_owned(),
            error,
        },
    };
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)
        .map_err(failed)?;
    file.write_all(to_base64(key).as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| {
            let _ = fs::remove_file(path);
            failed(error)
        })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{KeySource, PublicKey};
    use super::*;

    #[test]
    fn keys_are_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("key").display().to_string();
        let pair = generate(&prefix).unwrap();
        let lengths = [(&pair.public, 44), (&pair.private, 88)];
        for (path, length) in lengths {
            let metadata = fs::metadata(path).unwrap();
            assert_eq!(metadata.len(), length);
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        }
        let private = PrivateKey::read(&KeySource::File(pair.private.clone())).unwrap();
        let public = PublicKey::read(&KeySource::File(pair.public.clone())).unwrap();
        assert!(public.verifies(b"message", &private.sign(b"message")));
        assert!(!private.is_damaged());
        let before = fs::read(&pair.private).unwrap();
        assert_eq!(
            generate(&prefix).unwrap_err().to_string(),
            format!(
                "'{}' exists, and keys are never overwritten: move it, or choose other names with -o",
                pair.public
            )
        );
        // An existing private key leaves no public key that does not match it.
        fs::remove_file(&pair.public).unwrap();
        assert!(generate(&prefix).unwrap_err().to_string().contains(".priv"));
        assert!(!folder.path().join("key.pub").exists());
        assert_eq!(fs::read(&pair.private).unwrap(), before);
        // Every pair is new.
        let other = folder.path().join("other").display().to_string();
        assert_ne!(fs::read(generate(&other).unwrap().private).unwrap(), before);
        let missing = folder.path().join("missing/key").display().to_string();
        assert!(matches!(
            generate(&missing),
            Err(GenerateError::Write { .. })
        ));
    }
}
