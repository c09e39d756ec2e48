//! The last-known-good file: the last view, kept so that an agent restarted without quorum answers at once.
//!
//! ```text
//! "HOLDFLKG" │ version u32 │ length u64 │ SHA-256 of version, length and body │ body (postcard)     (little endian)
//! ```
//!
//! A file is written beside its place, made durable, and renamed over the old one; so there is always one whole file.
//! Reading believes nothing: a file that is cut, changed, foreign, of another version or of another cluster or group
//! (a copied data directory) is an error that says so, and the agent starts without it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use holdfast_core::GroupId;
use holdfast_core::view::Answers;
use sha2::{Digest, Sha256};

const MAGIC: [u8; 8] = *b"HOLDFLKG";
/// The version of the body's layout that this release writes and reads.
pub const VERSION: u32 = 3;
/// The bytes before the body.
const PREFIX: usize = 8 + 4 + 8 + 32;
/// The largest file that is read: many times the largest state.
pub const MAX_FILE: u64 = 1 << 30;

/// Why a last-known-good file was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum LkgError {
    /// The system failed.
    #[error("cannot {action} the last-known-good file {}: check the disk and the directory's permissions", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// It does not begin as such a file does.
    #[error("{} is not a last-known-good file: configure another path, or remove it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Its version is not ours.
    #[error(
        "the last-known-good file {} has version {found}, this release reads {VERSION}: \
         remove it, the agent writes a new one when it has a quorum", path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It has not the length that it says.
    #[error(
        "the last-known-good file {} is cut: it has {found} bytes of {expected}; \
         remove it, the agent writes a new one when it has a quorum", path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// The bytes it should have.
        expected: u64,
    },
    /// Its content is not what was written.
    #[error(
        "the last-known-good file {} is damaged: {why}; check the disk and remove it, \
         the agent writes a new one when it has a quorum", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        why: &'static str,
    },
    /// It is of another cluster or group.
    #[error(
        "the last-known-good file {} is of cluster {found_cluster}, group {found_group}, and this agent of cluster \
         {cluster}, group {group}: it was copied here, or cluster.id was changed; remove it, the agent writes a new \
         one when it has a quorum", path.display()
    )]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// Its cluster.
        found_cluster: String,
        /// Its group.
        found_group: GroupId,
        /// This agent's cluster.
        cluster: String,
        /// This agent's group.
        group: GroupId,
    },
    /// The view cannot be written.
    #[error("the view does not fit into a last-known-good file: {why}")]
    Encode {
        /// Why.
        why: String,
    },
}

/// Writes a view of `cluster` durably over what was at `path`. Blocks on the disk.
pub fn save(path: &Path, cluster: &str, answers: &Answers) -> Result<(), LkgError> {
    let bytes = encode(cluster, answers)?;
    let failed = |action| move |source| LkgError::Io { action, path: path.to_owned(), source };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).map_err(failed("make the directory of"))?;
    let beside = beside(path);
    let mut file = File::create(&beside).map_err(failed("create"))?;
    file.write_all(&bytes).map_err(failed("write"))?;
    file.sync_all().map_err(failed("make durable"))?;
    fs::rename(&beside, path).map_err(failed("put in place"))?;
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(failed("make durable"))
}

/// Reads the view of this cluster and group at `path`; `None` when there is no file. Blocks on the disk.
pub fn load(path: &Path, cluster: &str, group: GroupId) -> Result<Option<Answers>, LkgError> {
    let failed = |source| LkgError::Io { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    let (found, answers) = decode(path, &bytes)?;
    if (found.as_str(), answers.group) != (cluster, group) {
        let (path, cluster) = (path.to_owned(), cluster.to_owned());
        let (found_cluster, found_group) = (found, answers.group);
        return Err(LkgError::Elsewhere { path, found_cluster, found_group, cluster, group });
    }
    Ok(Some(answers))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn encode(cluster: &str, answers: &Answers) -> Result<Vec<u8>, LkgError> {
    let body = postcard::to_allocvec(&(cluster, answers))
        .map_err(|error| LkgError::Encode { why: error.to_string() })?;
    let length = body.len() as u64;
    if length > MAX_FILE - PREFIX as u64 {
        return Err(LkgError::Encode {
            why: format!("it has {length} bytes of at most {MAX_FILE}"),
        });
    }
    let mut bytes = Vec::with_capacity(PREFIX + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    let digest = digest(&bytes[MAGIC.len()..], &body);
    bytes.extend_from_slice(&digest);
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

fn digest(fields: &[u8], body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(fields);
    hash.update(body);
    hash.finalize().into()
}

/// The cluster and the view that a file holds.
fn decode(path: &Path, bytes: &[u8]) -> Result<(String, Answers), LkgError> {
    let path = || path.to_owned();
    let found = bytes.len() as u64;
    let cut = |expected| LkgError::Truncated { path: path(), found, expected };
    if bytes.get(..MAGIC.len()) != Some(&MAGIC) {
        let short = MAGIC.starts_with(bytes);
        return Err(if short { cut(PREFIX as u64) } else { LkgError::Foreign { path: path() } });
    }
    let version = bytes.get(8..12).and_then(|field| field.first_chunk()).copied();
    let version = version.map(u32::from_le_bytes).ok_or_else(|| cut(PREFIX as u64))?;
    if version != VERSION {
        return Err(LkgError::Version { path: path(), found: version });
    }
    let (prefix, body) = bytes.split_at_checked(PREFIX).ok_or_else(|| cut(PREFIX as u64))?;
    let length: [u8; 8] = *prefix[12..].first_chunk().expect("the prefix has 52 bytes");
    let expected = u64::from_le_bytes(length).saturating_add(PREFIX as u64);
    if found < expected {
        return Err(cut(expected));
    }
    let damaged = |why| LkgError::Damaged { path: path(), why };
    if found > expected {
        return Err(damaged("it is longer than it says"));
    }
    if digest(&prefix[8..20], body) != prefix[20..] {
        return Err(damaged("its checksum does not match"));
    }
    match postcard::take_from_bytes(body) {
        Ok((content, [])) => Ok(content),
        _ => Err(damaged("its content cannot be read though its checksum matches")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdfast_core::view::NameAnswers;
    use holdfast_core::{DnsName, Epoch};

    use super::*;

    fn written() -> Vec<u8> {
        let name = DnsName::new("shop.example.test").expect("valid");
        let here = NameAnswers { service: None, epoch: Epoch(2), refused: true, sets: vec![] };
        let names = [(name, Arc::new(here))].into();
        encode("prod", &Answers { generation: 1, index: 7, names, ..Answers::default() })
            .expect("encodes")
    }

    fn error_of(bytes: &[u8]) -> LkgError {
        decode(Path::new("lkg"), bytes).expect_err("damaged")
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = written();
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1 << bit;
                let error = error_of(&damaged);
                let proper = match place {
                    0..8 => matches!(error, LkgError::Foreign { .. }),
                    8..12 => matches!(error, LkgError::Version { .. }),
                    12..20 => {
                        matches!(error, LkgError::Truncated { .. } | LkgError::Damaged { .. })
                    }
                    _ => matches!(error, LkgError::Damaged { .. }),
                };
                assert!(proper, "byte {place}: {error:?}");
            }
        }
    }

    #[test]
    fn every_cut_is_found_and_so_is_a_tail() {
        let bytes = written();
        for length in 0..bytes.len() {
            let error = error_of(&bytes[..length]);
            let cut = matches!(error, LkgError::Truncated { found, .. } if found == length as u64);
            assert!(cut, "{length} bytes: {error:?}");
        }
        let longer = [bytes.as_slice(), b"!"].concat();
        assert!(matches!(error_of(&longer), LkgError::Damaged { .. }));
    }
}
