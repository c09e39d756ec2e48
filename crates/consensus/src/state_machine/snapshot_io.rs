//! Where the last snapshot is kept: one file, replaced whole, or a simulated disk.
//!
//! ```text
//! "HFSNAP1\n" │ length of head: u32 │ head │ length of body: u64 │ body │ SHA-256 of all before
//! ```
//!
//! A file is written beside the old one, synced, renamed over it, and the directory synced: a crash leaves the old or
//! the new one, never a mixture. A checksum that does not fit is an error with the next step, never a guess.

use std::fs::{self, File};
use std::io::{self, Error, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use holdfast_core::audit::Hash;

use crate::codec;
use crate::log_store::MemoryDisk;
use crate::types::SnapshotMeta;

const MAGIC: &[u8; 8] = b"HFSNAP1\n";
const CHECKSUM_BYTES: usize = 32;
const FILE: &str = "snapshot";

/// Where snapshots are kept.
#[derive(Debug, Clone)]
pub(crate) enum SnapshotIo {
    /// In this directory.
    Directory(PathBuf),
    /// On a simulated disk.
    Memory(MemoryDisk),
}

impl SnapshotIo {
    /// Replaces the snapshot; durable when it returns.
    pub(crate) async fn save(&self, meta: SnapshotMeta, body: Bytes) -> io::Result<()> {
        match self {
            Self::Memory(disk) => {
                disk.put_file(FILE, frame(&meta, &body).into());
                Ok(())
            }
            Self::Directory(directory) => {
                let directory = directory.clone();
                let write = move || replace_file(&directory, FILE, &frame(&meta, &body));
                tokio::task::spawn_blocking(write).await.map_err(Error::other)?
            }
        }
    }

    /// The snapshot, where there is one.
    pub(crate) fn load(&self) -> io::Result<Option<(SnapshotMeta, Bytes)>> {
        let bytes = match self {
            Self::Memory(disk) => disk.file(FILE),
            Self::Directory(directory) => match fs::read(directory.join(FILE)) {
                Ok(bytes) => Some(bytes.into()),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            },
        };
        bytes.map(|bytes| unframe(&bytes)).transpose()
    }
}

/// Writes a file so that a crash leaves the old content or the new one.
pub(crate) fn replace_file(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.new"));
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    File::open(directory)?.sync_all()
}

fn frame(meta: &SnapshotMeta, body: &[u8]) -> Vec<u8> {
    let head = codec::encode_meta(meta);
    let length = u32::try_from(head.len()).expect("a membership is far below 4 GiB");
    let mut bytes = Vec::with_capacity(body.len() + head.len() + 64);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&(body.len() as u64).to_be_bytes());
    bytes.extend_from_slice(body);
    let checksum = Hash::of(&bytes);
    bytes.extend_from_slice(&checksum.0);
    bytes
}

fn unframe(bytes: &Bytes) -> io::Result<(SnapshotMeta, Bytes)> {
    let damaged = |why: &str| {
        let next =
            "remove this member with `holdfast cluster remove` and let it join under a new id";
        Error::new(
            ErrorKind::InvalidData,
            format!("the stored snapshot is damaged ({why}); {next}"),
        )
    };
    let content = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or_else(|| damaged("too short"))?;
    if bytes[content..] != Hash::of(&bytes[..content]).0 {
        return Err(damaged("its checksum does not fit"));
    }
    let rest = bytes.slice(..content);
    let (magic, rest) = take(rest, MAGIC.len()).ok_or_else(|| damaged("too short"))?;
    if magic != MAGIC.as_slice() {
        return Err(damaged("it begins with something else"));
    }
    let parts = || {
        let (length, rest) = take(rest, 4)?;
        let head_length = u32::from_be_bytes(length.as_ref().try_into().ok()?);
        let (head, rest) = take(rest, usize::try_from(head_length).ok()?)?;
        let (length, body) = take(rest, 8)?;
        let body_length = u64::from_be_bytes(length.as_ref().try_into().ok()?);
        (body.len() as u64 == body_length).then_some((head, body))
    };
    let (head, body) = parts().ok_or_else(|| damaged("its lengths do not fit"))?;
    Ok((codec::decode_meta(&head)?, body))
}

fn take(mut bytes: Bytes, count: usize) -> Option<(Bytes, Bytes)> {
    if bytes.len() < count {
        return None;
    }
    let first = bytes.split_to(count);
    Some((first, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_noticed() {
        let framed = frame(&SnapshotMeta::default(), b"content");
        let whole = unframe(&framed.clone().into()).expect("intact");
        assert_eq!(whole, (SnapshotMeta::default(), Bytes::from_static(b"content")));
        for place in 0..framed.len() {
            let mut changed = framed.clone();
            changed[place] ^= 1;
            assert!(unframe(&changed.into()).is_err(), "byte {place}");
            assert!(unframe(&framed[..place].to_vec().into()).is_err(), "cut at {place}");
        }
    }

    #[tokio::test]
    async fn the_file_is_replaced_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let io = SnapshotIo::Directory(directory.path().to_owned());
        assert_eq!(io.load().expect("readable"), None);
        for body in ["one", "two"] {
            io.save(SnapshotMeta::default(), Bytes::from(body)).await.expect("writable");
            let (_, stored) = io.load().expect("readable").expect("there");
            assert_eq!(stored, Bytes::from(body));
        }
        let names = fs::read_dir(directory.path()).expect("readable").count();
        assert_eq!(names, 1, "no temporary file stays");
    }
}
