//! Opening after a kill, after damage, and while somebody else is there.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::*;
use crate::{OpenError, Opened};

async fn filled_directory(count: u64) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit");
    let (log, _) = AuditLog::open(&path, &Config::default()).expect("opens");
    log.append(chain(count), count * 2).await.expect("appends");
    log.settle().await.expect("settles");
    drop(log);
    (dir, path)
}

fn reopen(path: &Path) -> (AuditLog, Opened) {
    AuditLog::open(path, &Config::default()).expect("opens")
}

/// What a kill leaves: the files as they are at this moment, while the log is open.
fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("knows").is_dir() {
            copy_files(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}

#[tokio::test]
async fn what_was_called_durable_survives_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    let live = dir.path().join("audit");
    let (log, _) = reopen(&live);
    let mut sent = 0;
    for round in 1..=20u64 {
        let records = chain_after(log.head(), 37);
        sent += 37;
        log.append(records, sent).await.expect("appends");
        let durable = if round % 2 == 0 {
            log.settle().await.expect("settles")
        } else {
            *log.durable().borrow()
        };
        let killed = dir.path().join(format!("killed-{round}"));
        copy_files(&live, &killed);
        let (revived, opened) = reopen(&killed);
        assert_eq!(opened.repaired, None, "round {round}");
        assert!(opened.head.length >= durable.sequence, "round {round}");
        revived.append(chain(sent), sent).await.expect("replays from the first entry");
        assert_eq!(revived.settle().await.expect("settles").sequence, sent, "round {round}");
        assert_eq!(revived.head(), head_of(&chain(sent)));
        log.settle().await.expect("settles");
    }
}

#[tokio::test]
async fn an_overwritten_file_is_set_aside_and_filled_again() {
    let (dir, path) = filled_directory(500).await;
    let db = fs::OpenOptions::new().write(true).open(path.join("db"));
    let mut db = db.expect("opens");
    let length = db.metadata().expect("knows").len();
    for at in (0..length).step_by(512) {
        db.seek(SeekFrom::Start(at)).expect("seeks");
        db.write_all(&[0xA5; 64]).expect("writes");
    }
    drop(db);
    let (log, opened) = reopen(&path);
    // sled may refuse such a file or forget what it held; both end in a chain that is filled again.
    if let Some(repair) = &opened.repaired {
        assert_eq!(repair.moved_to, dir.path().join("audit.broken-1"));
        assert!(repair.moved_to.join("db").exists(), "the damaged store is kept");
    }
    assert!(opened.head.length < 500, "{opened:?}");
    let records = chain(500);
    log.set_head(head_of(&records), 1000).await.expect("announces");
    let missing = log.missing(head_of(&records)).expect("something is missing");
    log.backfill(records).await.expect("fills");
    assert_eq!(missing, opened.head.length + 1..=500);
    let verification = log.verify(1..=500, Some(head_of(&chain(500)))).expect("walks");
    assert!(verification.is_ok(), "{verification:?}");
}

#[tokio::test]
async fn a_store_that_forgot_everything_is_set_aside() {
    let (dir, path) = filled_directory(50).await;
    let length = fs::metadata(path.join("db")).expect("knows").len();
    fs::write(path.join("db"), vec![0xA5; usize::try_from(length).expect("small")])
        .expect("writes");
    let (log, opened) = reopen(&path);
    let repair = opened.repaired.expect("an empty store in a used directory is damage");
    assert!(repair.moved_to.join("db").exists(), "the damaged store is kept");
    assert_eq!(repair.moved_to, dir.path().join("audit.broken-1"));
    assert_eq!(log.head().length, 0);
}

#[tokio::test]
async fn no_damage_to_the_file_breaks_the_opening() {
    for seed in 0..24u64 {
        let (dir, path) = filled_directory(300).await;
        let length = fs::metadata(path.join("db")).expect("knows").len();
        let mut db = fs::OpenOptions::new().write(true).open(path.join("db")).expect("opens");
        // A different stretch each time, from the first bytes to the last; every fourth time a cut.
        let at = (length / 24) * seed;
        if seed % 4 == 3 {
            db.set_len(at + 1).expect("cuts");
        } else {
            db.seek(SeekFrom::Start(at)).expect("seeks");
            db.write_all(&vec![0xFF; 40 + usize::try_from(seed).expect("small") * 700])
                .expect("writes");
        }
        drop(db);
        let (log, opened) = reopen(&path);
        assert_eq!(opened.repaired.is_some(), dir.path().join("audit.broken-1").exists());
        let head = log.head();
        let found = log.verify(1..=u64::MAX, None).expect("walks");
        assert!(found.is_ok() && head.length <= 300, "seed {seed}: {found:?}");
        log.set_head(head_of(&chain(300)), 600).await.expect("announces");
        if let Some(missing) = log.missing(head_of(&chain(300))) {
            let start = usize::try_from(*missing.start()).expect("small") - 1;
            log.backfill(chain(300).split_off(start)).await.expect("fills");
        }
        assert_eq!(log.settle().await.expect("settles").sequence, 300, "seed {seed}");
    }
}

#[tokio::test]
async fn a_tampered_tail_is_set_aside_with_its_evidence() {
    let (_dir, path) = filled_directory(50).await;
    let store = crate::SledStore::open(&path, 1 << 20).expect("opens");
    store.tree().remove(48u64.to_be_bytes()).expect("removes");
    drop(store);
    let (log, opened) = reopen(&path);
    let repair = opened.repaired.expect("set aside");
    assert!(repair.reason.contains("record 48: delete"), "{}", repair.reason);
    assert_eq!((opened.head, log.head()), (Head::EMPTY, Head::EMPTY));
    let evidence = crate::SledStore::open(&repair.moved_to, 1 << 20).expect("opens");
    assert_eq!(evidence.tree().len(), 49);
}

#[tokio::test]
async fn only_so_many_damaged_stores_are_kept_and_the_loss_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit");
    let broken = |n: u64| dir.path().join(format!("audit.broken-{n}"));
    for round in 1..=5 {
        let store = crate::SledStore::open(&path, 1 << 20).expect("opens");
        crate::AuditStore::write(&store, &Default::default(), &[]).expect("writes an empty mark");
        drop(store);
        let (_, opened) = reopen(&path);
        let repair = opened.repaired.expect("an empty mark is damage");
        assert_eq!(repair.moved_to, broken(round));
        let dropped: Vec<PathBuf> = (round > 3).then(|| broken(round - 3)).into_iter().collect();
        assert_eq!(repair.dropped, dropped);
    }
    assert!([3, 4, 5].iter().all(|n| broken(*n).exists()) && !broken(2).exists());
}

#[tokio::test]
async fn a_directory_in_use_is_left_alone() {
    let (dir, path) = filled_directory(5).await;
    let (_holder, _) = reopen(&path);
    let error = AuditLog::open(&path, &Config::default()).expect_err("it is locked");
    assert!(matches!(error, OpenError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("no other agent"), "{error}");
    assert!(!dir.path().join("audit.broken-1").exists());
}

#[tokio::test]
async fn a_mark_of_a_newer_agent_is_left_alone() {
    let (dir, path) = filled_directory(5).await;
    let store = crate::SledStore::open(&path, 1 << 20).expect("opens");
    crate::AuditStore::write(&store, &Default::default(), &[9, 9]).expect("writes");
    drop(store);
    let error = AuditLog::open(&path, &Config::default()).expect_err("it cannot be read");
    assert!(error.to_string().contains("version 9"), "{error}");
    assert!(!dir.path().join("audit.broken-1").exists());
}

#[tokio::test]
async fn a_path_that_is_no_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit");
    fs::write(&path, "a file").expect("writes");
    assert!(matches!(AuditLog::open(&path, &Config::default()), Err(OpenError::Unusable { .. })));
}
