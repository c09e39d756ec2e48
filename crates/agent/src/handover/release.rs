//! Knows when this process has let go of the data directory.
//!
//! The stores lock their files (redb the log, sled the audit chain) and unlock them when the last handle is dropped,
//! which may be that of a request that is being answered. Whoever gets the same locks knows that it has happened; they
//! are given back at once. A directory without these files has nothing to let go of.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

/// The files that are locked while they are in use.
const LOCKED: [&str; 2] = ["raft/log.redb", "audit/db"];

/// Waits until nobody uses the stores of this directory. Errors: a file cannot be looked at.
pub(crate) async fn released(data_dir: &Path) -> io::Result<()> {
    for file in LOCKED {
        unlocked(data_dir.join(file)).await?;
    }
    Ok(())
}

async fn unlocked(path: PathBuf) -> io::Result<()> {
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let (told, unlocked) = oneshot::channel();
    // A thread of its own: a runtime would wait for it at its end, and the lock may never be given.
    std::thread::Builder::new().name("released".to_owned()).spawn(move || {
        // Nobody listens any more where the wait has ended.
        let _ = told.send(file.lock());
    })?;
    unlocked.await.map_err(io::Error::other)?
}
