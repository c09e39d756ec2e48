//! The last-known-good file, whole and damaged.

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_core::GroupId;
use holdfast_core::view::Answers;
use holdfast_dns::{LkgError, lkg};
use tempfile::TempDir;

use crate::fixture::view;

const CLUSTER: &str = "prod";
/// Of every view of the fixture.
const GROUP: GroupId = GroupId(3);

fn save(path: &Path, answers: &Answers) -> Result<(), LkgError> {
    lkg::save(path, CLUSTER, answers)
}

fn load(path: &Path) -> Result<Option<Answers>, LkgError> {
    lkg::load(path, CLUSTER, GROUP)
}

fn written() -> (TempDir, PathBuf, Vec<u8>) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("data").join("last-known-good");
    save(&path, &view(7)).expect("writes");
    let bytes = fs::read(&path).expect("reads");
    (directory, path, bytes)
}

#[test]
fn what_is_written_is_read() {
    let (_directory, path, _) = written();
    assert_eq!(load(&path).expect("whole"), Some(view(7)));
    save(&path, &view(8)).expect("writes over it");
    assert_eq!(load(&path).expect("whole"), Some(view(8)));
    let beside = fs::read_dir(path.parent().expect("has one")).expect("reads").count();
    assert_eq!(beside, 1, "nothing is left beside it");
}

#[test]
fn no_file_is_no_error() {
    let (_directory, path, _) = written();
    fs::remove_file(&path).expect("removes");
    assert_eq!(load(&path).expect("no error"), None);
}

#[test]
fn a_half_written_file_beside_changes_nothing() {
    let (_directory, path, bytes) = written();
    fs::write(path.with_file_name("last-known-good.new"), &bytes[..100]).expect("writes");
    assert_eq!(load(&path).expect("whole"), Some(view(7)));
    save(&path, &view(8)).expect("writes over both");
    assert_eq!(load(&path).expect("whole"), Some(view(8)));
}

#[test]
fn a_damaged_file_is_no_view() {
    let (_directory, path, mut bytes) = written();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).expect("writes");
    assert!(matches!(load(&path), Err(LkgError::Damaged { .. })));
    fs::write(&path, &bytes[..middle]).expect("writes");
    assert!(matches!(load(&path), Err(LkgError::Truncated { .. })));
}

#[test]
fn a_file_of_another_cluster_or_group_is_not_used() {
    let (_directory, path, _) = written();
    for (cluster, group) in [("test", GROUP), (CLUSTER, GroupId(9))] {
        let error = lkg::load(&path, cluster, group).expect_err("of another one");
        assert!(matches!(error, LkgError::Elsewhere { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains("of cluster prod") && said.contains("remove it"), "{said}");
    }
}

#[test]
fn errors_say_what_why_and_what_to_do() {
    let (_directory, path, mut bytes) = written();
    bytes[8] = 9;
    fs::write(&path, &bytes).expect("writes");
    let error = load(&path).expect_err("another version").to_string();
    assert!(error.contains("version 9") && error.contains("remove it"), "{error}");
    let inside_a_file = path.join("x");
    let error = save(&inside_a_file, &view(7)).expect_err("a file is no directory");
    assert!(error.to_string().contains("check the disk"), "{error}");
}
