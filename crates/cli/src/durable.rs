//! New files that outlast a power cut: keys and certificates that were made here, and exports.
//!
//! A file is durable when its content is, and its entry in its directory, and that of each directory that was made for
//! it. Nothing is ever overwritten. What replaces a file is not made here: who keeps state (the Raft log, the audit
//! store, the last-known-good file) writes beside and renames.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a new file with this mode, in a directory that is made where it is missing; durable when it returns. Errors:
/// it exists, or the system's; then there is no new file.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write_with(path, content, mode, &mut |_, file| file.sync_all())
}

/// Makes a new file durable that was written as a stream.
pub(crate) fn settle(path: &Path, file: &File) -> io::Result<()> {
    file.sync_all()?;
    File::open(directory_of(path))?.sync_all()
}

/// As [`write_new`], where `sync` is told what to make durable, in this order: the file, its directory, and upwards
/// the directory of each that was made.
fn write_with(
    path: &Path,
    content: &[u8],
    mode: u32,
    sync: &mut impl FnMut(&Path, &File) -> io::Result<()>,
) -> io::Result<()> {
    let directory = directory_of(path);
    let made = directory.ancestors().take_while(|above| !exists(above)).count();
    fs::create_dir_all(directory)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let written = fill(path, file, content, sync).and_then(|()| {
        let mut entry = path;
        (0..=made).try_for_each(|_| {
            entry = directory_of(entry);
            sync(entry, &File::open(entry)?)
        })
    });
    written.inspect_err(|_| {
        // The failure to write is what is told.
        let _ = fs::remove_file(path);
    })
}

fn fill(
    path: &Path,
    mut file: File,
    content: &[u8],
    sync: &mut impl FnMut(&Path, &File) -> io::Result<()>,
) -> io::Result<()> {
    file.write_all(content)?;
    sync(path, &file)
}

fn exists(directory: &Path) -> bool {
    directory.as_os_str().is_empty() || directory.exists()
}

/// The directory whose entry a file is: of a bare name, the present one.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    /// What is made durable by writing `path` below a directory, relative to it.
    fn synced(dir: &Path, path: &str) -> Vec<PathBuf> {
        let mut seen = Vec::new();
        let told = &mut |path: &Path, file: &File| {
            seen.push(path.strip_prefix(dir).expect("below the directory").to_owned());
            file.sync_all()
        };
        write_with(&dir.join(path), b"key", 0o600, told).expect("written");
        seen
    }

    #[test]
    fn a_new_file_is_durable_with_each_entry_that_leads_to_it() {
        let dir = tempfile::tempdir().expect("a directory");
        for (path, durable) in [
            ("ca.key", &["ca.key", ""][..]),
            ("pki/prod/ca.key", &["pki/prod/ca.key", "pki/prod", "pki", ""]),
            ("pki/prod/ca.pem", &["pki/prod/ca.pem", "pki/prod"]),
        ] {
            let durable: Vec<PathBuf> = durable.iter().map(PathBuf::from).collect();
            assert_eq!(synced(dir.path(), path), durable, "{path}");
        }
    }

    #[test]
    fn what_cannot_be_made_durable_is_an_error_and_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let full = &mut |path: &Path, _: &File| {
            if path.is_dir() { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
        };
        let path = dir.path().join("ca.key");
        let failed = write_with(&path, b"key", 0o600, full).expect_err("it fails");
        assert_eq!(failed.to_string(), "the disk is gone");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_has_its_mode_and_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.key");
        write_new(&path, b"first", 0o600).expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = write_new(&path, b"second", 0o600).expect_err("it exists");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("there"), b"first");
    }

    #[test]
    fn a_bare_name_is_an_entry_of_the_present_directory() {
        for (path, directory) in [
            ("/etc/holdfast/seal.key", "/etc/holdfast"),
            ("keys/seal.key", "keys"),
            ("seal.key", "."),
        ] {
            assert_eq!(directory_of(Path::new(path)), Path::new(directory), "{path}");
        }
    }
}
