//! Who a data directory belongs to: the binding of an agent's number to one directory, for good.
//!
//! A number whose log is gone must not vote again: what it promised is forgotten, and a committed entry could be lost.
//! So a directory draws a random id when it is created, the membership records it with the member, and whoever shows
//! up under the number with another directory is refused. The identity is written after the log, so an identity
//! without a log means that somebody removed the log. Each start counts as a boot, later than all before it.
//!
//! ```text
//! holdfast identity 1
//! cluster = prod
//! agent = 3
//! directory = 0f3c…
//! boot = 1790000000000
//! ```

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use bytes::Bytes;
use holdfast_core::{AgentId, BootId, Timestamp};

use crate::config::Storage;
use crate::state_machine::replace_file;

const FILE: &str = "identity";
const HEADER: &str = "holdfast identity 1";

/// Who a data directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: String,
    pub(crate) agent: AgentId,
    pub(crate) directory: u128,
    pub(crate) boot: BootId,
}

impl Identity {
    /// The identity stored, where there is one. Errors: it cannot be read, or is no identity.
    pub(crate) fn load(storage: &Storage) -> io::Result<Option<Self>> {
        let bytes = match storage {
            Storage::Memory(disk) => disk.file(FILE),
            Storage::Directory(directory) => read(directory)?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let wrong = || io::Error::new(ErrorKind::InvalidData, "the identity file is no identity");
        Self::parse(&text).ok_or_else(wrong).map(Some)
    }

    /// Begins a boot, to be stored before anybody hears of it. It begins at the wall clock's milliseconds, so that a
    /// directory brought back from a backup does not repeat a boot; where the clock is behind, it counts on.
    pub(crate) fn begin_boot(&mut self, now: Timestamp) {
        self.boot = BootId(self.boot.0.saturating_add(1).max(now.0));
    }

    /// Stores the identity durably.
    pub(crate) fn store(&self, storage: &Storage) -> io::Result<()> {
        let text = self.to_text();
        match storage {
            Storage::Memory(disk) => {
                disk.put_file(FILE, text.into());
                Ok(())
            }
            Storage::Directory(directory) => replace_file(directory, FILE, text.as_bytes()),
        }
    }

    fn to_text(&self) -> String {
        let Self { cluster, agent, directory, boot } = self;
        format!(
            "{HEADER}\ncluster = {cluster}\nagent = {agent}\ndirectory = {directory:032x}\nboot = {boot}\n"
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return None;
        }
        let mut value = |key: &str| {
            let (found, value) = lines.next()?.split_once(" = ")?;
            (found == key).then(|| value.to_owned())
        };
        let cluster = value("cluster")?;
        let agent = AgentId(value("agent")?.parse().ok()?);
        let directory = u128::from_str_radix(&value("directory")?, 16).ok()?;
        let boot = BootId(value("boot")?.parse().ok()?);
        Some(Self { cluster, agent, directory, boot })
    }
}

fn read(directory: &Path) -> io::Result<Option<Bytes>> {
    match fs::read(directory.join(FILE)) {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_back_and_garbage_is_not_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let storage = Storage::Directory(directory.path().to_owned());
        assert_eq!(Identity::load(&storage).expect("readable"), None);
        let (cluster, agent) = ("a b".to_owned(), AgentId(3));
        let identity = Identity { cluster, agent, directory: 77, boot: BootId(5) };
        identity.store(&storage).expect("writable");
        assert_eq!(Identity::load(&storage).expect("readable"), Some(identity));
        fs::write(directory.path().join(FILE), "holdfast identity 1\nagent = 3\n")
            .expect("writable");
        assert!(Identity::load(&storage).is_err());
    }

    #[test]
    fn boots_only_grow_whatever_the_clock_says() {
        let (cluster, agent) = ("prod".to_owned(), AgentId(3));
        let mut identity = Identity { cluster, agent, directory: 77, boot: BootId(0) };
        let mut boot_at = |now| {
            identity.begin_boot(Timestamp(now));
            identity.boot
        };
        assert_eq!(boot_at(5_000), BootId(5_000));
        assert_eq!(boot_at(5_000), BootId(5_001), "within a millisecond");
        assert_eq!(boot_at(3), BootId(5_002), "a clock set back");
        assert_eq!(boot_at(9_000), BootId(9_000));
    }
}
