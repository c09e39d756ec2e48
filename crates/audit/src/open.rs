//! Opening the directory, and what happens to one that is damaged.
//!
//! A damaged store is evidence: it is renamed to `<dir>.broken-<n>`, an empty one takes its place, and the chain is
//! filled again from a peer. Only so many are kept; the oldest goes first, and [`Repair::dropped`] says so. A
//! directory that cannot be used for another reason (locked, not writable, disk full) is left alone.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use holdfast_core::audit::Head;

use crate::position::Position;
use crate::recovery::recover;
use crate::store::{Refusal, SledStore};
use crate::{Config, OpenError};

/// What was found at open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Where the chain stands.
    pub head: Head,
    /// The first sequence that is kept, once there is one.
    pub first_sequence: u64,
    /// The log index up to which every record is stored.
    pub index: u64,
    /// What happened to a damaged store.
    pub repaired: Option<Repair>,
}

/// A damaged store was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// What is wrong with it.
    pub reason: String,
    /// Where it is.
    pub moved_to: PathBuf,
    /// Older damaged stores that were deleted, because only so many are kept.
    pub dropped: Vec<PathBuf>,
}

impl Opened {
    pub(crate) fn new(position: &Position, repaired: Option<Repair>) -> Self {
        Self {
            head: position.head,
            first_sequence: position.base.length + 1,
            index: position.index,
            repaired,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(reason) | Self::Unusable(reason) => f.write_str(reason),
        }
    }
}

/// Opens the store in `dir`, or an empty one in its place.
pub(crate) fn open_directory(
    dir: &Path,
    config: &Config,
) -> Result<(SledStore, Position, Option<Repair>), OpenError> {
    let unusable = |reason| OpenError::Unusable { dir: dir.to_path_buf(), reason };
    let reason = match attempt(dir, config) {
        Ok((store, position)) => return Ok((store, position, None)),
        Err(Refusal::Unusable(reason)) => return Err(unusable(reason)),
        Err(Refusal::Damaged(reason)) => reason,
    };
    let repair = set_aside(dir, &reason, config.kept_broken.max(1)).map_err(|source| {
        OpenError::CannotSetAside { dir: dir.to_path_buf(), damage: reason.clone(), source }
    })?;
    tracing::error!(
        reason = repair.reason,
        moved_to = %repair.moved_to.display(),
        dropped = ?repair.dropped,
        "the audit store was damaged and is set aside; its records must come from a peer"
    );
    let (store, position) =
        attempt(dir, config).map_err(|refusal| unusable(refusal.to_string()))?;
    Ok((store, position, Some(repair)))
}

fn attempt(dir: &Path, config: &Config) -> Result<(SledStore, Position), Refusal> {
    let store = SledStore::open(dir, config.cache_bytes)?;
    let position = recover(&store, config.tail_check)?;
    Ok((store, position))
}

fn set_aside(dir: &Path, reason: &str, kept: usize) -> io::Result<Repair> {
    let mut broken = broken_beside(dir)?;
    let number = broken.last().map_or(1, |(number, _)| number + 1);
    let moved_to = numbered(dir, number)?;
    fs::rename(dir, &moved_to)?;
    broken.push((number, moved_to.clone()));
    let surplus = broken.len().saturating_sub(kept);
    let mut dropped = Vec::new();
    for (_, old) in broken.drain(..surplus) {
        fs::remove_dir_all(&old)?;
        dropped.push(old);
    }
    Ok(Repair { reason: reason.to_owned(), moved_to, dropped })
}

/// The damaged stores beside `dir`, oldest first.
fn broken_beside(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let prefix = format!("{}.broken-", name_of(dir)?);
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut broken = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let number =
            name.to_str().and_then(|n| n.strip_prefix(&prefix)).and_then(|n| n.parse().ok());
        broken.extend(number.map(|number| (number, entry.path())));
    }
    broken.sort_unstable();
    Ok(broken)
}

fn numbered(dir: &Path, number: u64) -> io::Result<PathBuf> {
    Ok(dir.with_file_name(format!("{}.broken-{number}", name_of(dir)?)))
}

fn name_of(dir: &Path) -> io::Result<&str> {
    let name = dir.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the directory's name is not plain text")
    })
}
