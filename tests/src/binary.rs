//! Which `holdfast` is tested: `HOLDFAST_BIN`, else the newest that cargo built here.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests' package lies in the workspace")
}

/// The binary under test. Errors: there is none, and how to make one.
pub fn holdfast() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("HOLDFAST_BIN").map(PathBuf::from) {
        if named.is_file() {
            return Ok(named);
        }
        bail!("HOLDFAST_BIN names {}, which is no file", named.display());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from);
    let built = |profile: &str| {
        let path = target.join(profile).join("holdfast");
        let at = path.metadata().and_then(|about| about.modified()).ok()?;
        Some((at, path))
    };
    match ["debug", "release"].into_iter().filter_map(built).max() {
        Some((_, path)) => Ok(path),
        None => bail!(
            "there is no holdfast in {}; run `cargo build --bin holdfast`, or set HOLDFAST_BIN",
            target.display()
        ),
    }
}
