//! Key files: 32 random bytes as hex or base64, readable by nobody but the agent's user and group.
//!
//! A file that others can read, or that its group can write, is refused: whoever reads it reads every secret of the
//! cluster. What the file holds is never part of an error.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::{KEY_LENGTH, SealingKeys};

/// Permissions that nobody may have: reading, writing and running by others, writing by the group.
const FORBIDDEN: u32 = 0o027;
/// The longest file that is looked at, in bytes.
const LONGEST_FILE: u64 = 1024;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error(
        "cannot read {0}: {source}; {next}",
        path.display(),
        next = match source.kind() {
            io::ErrorKind::PermissionDenied => format!(
                "make it, and the directories above it, readable for the group of the user that the agent runs as: \
                 chgrp GROUP {0} && chmod 640 {0}",
                path.display()
            ),
            _ => format!(
                "copy the file of the other agents to it, or where none has one make a key with `holdfast secret new-key {0}`",
                path.display()
            ),
        }
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read it.
    #[error(
        "{0} has mode {mode:03o}, and others must not read a sealing key: chmod 600 {0}",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no key.
    #[error(
        "{} does not hold 32 bytes as 64 hexadecimal digits or as base64; make a key with \
         `holdfast secret new-key FILE`",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
}

impl SealingKeys {
    /// Reads keys from files; the first seals. Errors: the first file that cannot be used.
    pub fn read(paths: &[PathBuf]) -> Result<Self, KeyFileError> {
        let keys: Result<Vec<_>, _> = paths.iter().map(|path| read_key(path)).collect();
        Ok(Self::new(keys?))
    }
}

/// A new key as its file holds it: 64 hexadecimal digits and a line's end. Errors: the system has no randomness.
pub fn new_key() -> Result<String, io::Error> {
    let mut key = [0; KEY_LENGTH];
    let failed = |_| io::Error::other("the system gives no random bytes");
    SystemRandom::new().fill(&mut key).map_err(failed)?;
    Ok(HEXLOWER.encode(&key) + "\n")
}

fn read_key(path: &Path) -> Result<[u8; KEY_LENGTH], KeyFileError> {
    let unreadable = |source| KeyFileError::Unreadable { path: path.into(), source };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & FORBIDDEN != 0 {
        return Err(KeyFileError::Exposed { path: path.into(), mode });
    }
    let no_key = || KeyFileError::NoKey { path: path.into() };
    if metadata.len() > LONGEST_FILE {
        return Err(no_key());
    }
    let text = std::fs::read(path).map_err(unreadable)?;
    key_of(text.trim_ascii()).ok_or_else(no_key)
}

fn key_of(text: &[u8]) -> Option<[u8; KEY_LENGTH]> {
    let decoders = [HEXLOWER_PERMISSIVE, BASE64, BASE64_NOPAD];
    decoders.iter().find_map(|decoder| decoder.decode(text).ok()?.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        (dir, path)
    }

    #[test]
    fn hex_and_base64_of_one_key_are_one_key() {
        let key: Vec<u8> = (0..32).collect();
        let ids =
            [HEXLOWER.encode(&key), HEXLOWER.encode(&key).to_uppercase(), BASE64.encode(&key)].map(
                |text| {
                    let (_dir, path) = file(&format!("{text}\n"), 0o640);
                    SealingKeys::read(&[path]).expect("a key").ids().collect::<Vec<_>>()
                },
            );
        assert_eq!(ids[0].len(), 1);
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_command_that_helps() {
        for mode in [0o644, 0o620, 0o601] {
            let (_dir, path) = file(&new_key().expect("random"), mode);
            let error = SealingKeys::read(&[path]).expect_err("exposed").to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn what_is_no_key_is_not_repeated_in_the_error() {
        for text in ["", "hunter2", &"ab".repeat(31), &"ab".repeat(33), &"x".repeat(4000)] {
            let (_dir, path) = file(text, 0o600);
            let error = SealingKeys::read(&[path]).expect_err(text).to_string();
            assert!(error.contains("new-key"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        let (dir, _) = file("", 0o600);
        let error = SealingKeys::read(&[dir.path().join("none")]).expect_err("absent").to_string();
        assert!(error.contains("cannot read") && error.contains("new-key"), "{error}");
    }

    #[test]
    fn a_file_that_may_not_be_read_is_to_be_given_to_the_agent_and_not_made_anew() {
        let told = |kind: io::ErrorKind| {
            let (path, source) = (PathBuf::from("/k"), io::Error::from(kind));
            KeyFileError::Unreadable { path, source }.to_string()
        };
        let denied = told(io::ErrorKind::PermissionDenied);
        assert!(denied.contains("chgrp GROUP /k && chmod 640 /k"), "{denied}");
        assert!(!denied.contains("new-key"), "{denied}");
        assert!(told(io::ErrorKind::NotFound).contains("new-key /k"));
    }

    #[test]
    fn two_new_keys_differ() {
        let (first, second) = (new_key().expect("random"), new_key().expect("random"));
        assert_ne!(first, second);
        assert!(key_of(first.trim().as_bytes()).is_some());
    }
}
