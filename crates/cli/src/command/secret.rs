//! `holdfast secret …`: the key with which agents seal secrets that they share.

use std::path::{Path, PathBuf};

use holdfast_seal::SealingKeys;
use serde_json::json;

use crate::durable;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Page;
use crate::session::{Outcome, Session};

/// Mode of a key's file: the owner reads and writes.
const MODE: u32 = 0o600;

/// Commands of `secret`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Make a sealing key in a new file; every agent of the cluster is given the same.
    NewKey(NewKeyArgs),
}

/// Arguments of `secret new-key`.
#[derive(Debug, clap::Args)]
pub(crate) struct NewKeyArgs {
    /// The file; one that exists is not overwritten.
    file: PathBuf,
}

/// Runs a command about secrets.
pub(crate) fn run(args: Args, session: &Session) -> Outcome {
    let Args::NewKey(NewKeyArgs { file }) = args;
    let id = write_new_key(&file)?;
    let path = file.display().to_string();
    let text = format!(
        "sealing key {id} in {path}: give the same file to every agent and nobody else\n\
         next: [secrets] keys = [\"file:{path}\"] in each agent's configuration"
    );
    session.out.page(&Page::line(json!({ "key": id, "file": path }), text))?;
    Ok(Exit::Success)
}

/// Makes a key in a new file, and says its id. When it returns, the key outlasts a power cut: the log may hold what is
/// sealed with it from then on.
pub(crate) fn write_new_key(path: &Path) -> Result<String, Failure> {
    let failed =
        |error| Failure::error(format!("cannot make a key in {}: {error}", path.display()));
    let key = holdfast_seal::new_key().map_err(failed)?;
    durable::write_new(path, key.as_bytes(), MODE).map_err(failed)?;
    let keys =
        SealingKeys::read(&[path.to_owned()]).map_err(|error| Failure::error(error.to_string()))?;
    Ok(keys.ids().map(|id| id.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_new_key_is_its_owners_and_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("seal.key");
        let id = write_new_key(&path).expect("made");
        assert_eq!(id.len(), 16, "{id}");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let before = std::fs::read(&path).expect("there");
        assert!(write_new_key(&path).expect_err("exists").message().contains("exists"));
        assert_eq!(std::fs::read(&path).expect("there"), before);
    }
}
