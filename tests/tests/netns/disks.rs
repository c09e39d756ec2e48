//! Disks that are wiped, damaged and full.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use holdfast_tests::cluster::{Cluster, LIMIT};
use holdfast_tests::process::must;
use holdfast_tests::scenario::NAME;
use holdfast_tests::{poll, scenario};

/// The agent that is hurt.
const HURT: usize = 2;

/// What the hurt agent says from here on.
fn log_from(cluster: &Cluster, before: usize) -> Result<String> {
    Ok(std::fs::read_to_string(cluster.nodes()[HURT].log())?.split_off(before))
}

/// One error, which says all this.
fn check_one_error(log: &str, said: &[&str]) -> Result<()> {
    let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("error:")).collect();
    ensure!(errors.len() == 1, "{errors:?}");
    for text in said {
        ensure!(errors[0].contains(text), "{:?} does not say {text:?}", errors[0]);
    }
    Ok(())
}

/// Starts the hurt agent, which must refuse and, as it has nothing to answer from, end.
fn check_refuses_to_start(cluster: &mut Cluster, said: &[&str]) -> Result<()> {
    let before = log_from(cluster, 0)?.len();
    cluster.start_node(HURT)?;
    let status = cluster.await_end(HURT)?;
    ensure!(!status.success(), "it ended well");
    check_one_error(&log_from(cluster, before)?, said)
}

#[test]
fn a_wiped_voter_does_not_come_back_under_its_old_number() -> Result<()> {
    scenario(|scene| {
        scene.cluster.kill9(HURT)?;
        scene.cluster.wipe(HURT)?;
        let said = ["agent 3", "wiped member must not return", "holdfast cluster remove 3"];
        check_refuses_to_start(&mut scene.cluster, &said)?;
        // Neither the second time.
        check_refuses_to_start(&mut scene.cluster, &said)?;
        scene.cluster.lose(HURT)?;
        scene.eu.kill()?;
        scene.await_everywhere(&scene.answer_us())?;
        scene.eu.revive()?;
        scene.await_everywhere(&scene.answer_eu())
    })
}

#[test]
fn a_voter_whose_log_alone_is_gone_does_not_vote_again() -> Result<()> {
    scenario(|scene| {
        scene.cluster.kill9(HURT)?;
        let raft = scene.cluster.nodes()[HURT].data().join("raft");
        for entry in std::fs::read_dir(&raft)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "redb") {
                std::fs::remove_file(path)?;
            }
        }
        let before = log_from(&scene.cluster, 0)?.len();
        let said = ["the raft log is gone", "must not vote again", "cluster remove 3"];
        scene.cluster.start_node(HURT)?;
        poll::until("word of the lost log", LIMIT, || {
            let log = log_from(&scene.cluster, before)?;
            let told = said.iter().all(|text| log.contains(text));
            if told { Ok(()) } else { bail!("{log}") }
        })?;
        // It takes no part in anything, and answers from what it knew.
        scene.cluster.await_answer(&[HURT], NAME, &scene.answer_eu())?;
        ensure!(scene.cluster.cluster_as_seen_by(HURT).is_err(), "it serves its API");
        let status = scene.cluster.terminate(HURT)?;
        ensure!(!status.success(), "it ended well");
        check_one_error(&log_from(&scene.cluster, before)?, &said)?;
        scene.cluster.lose(HURT)
    })
}

#[test]
fn a_damaged_audit_store_is_set_aside_and_filled_again() -> Result<()> {
    scenario(|scene| {
        scene.eu.kill()?;
        scene.await_everywhere(&scene.answer_us())?;
        scene.eu.revive()?;
        scene.await_everywhere(&scene.answer_eu())?;
        scene.cluster.kill9(HURT)?;
        let data = scene.cluster.nodes()[HURT].data();
        let db = data.join("audit/db");
        let size = usize::try_from(std::fs::metadata(&db)?.len())?;
        ensure!(size > 0, "sled keeps its data elsewhere");
        std::fs::write(&db, vec![0xA5; size])?;

        scene.cluster.start_node(HURT)?;
        scene.cluster.await_ready()?;
        ensure!(data.join("audit.broken-1").is_dir(), "the damaged store was not kept");
        await_whole_chain(&scene.cluster)
    })
}

/// Waits until the hurt agent's chain is whole from the first record on.
fn await_whole_chain(cluster: &Cluster) -> Result<()> {
    poll::until("a chain that is whole again", LIMIT, || {
        let verified = cluster.cli_at(HURT, &["audit", "verify", "-o", "json"])?.json()?;
        let whole = verified["intact"] == true && verified["missing_first"].is_null();
        let from_the_first = verified["first_sequence"].as_u64() == Some(1)
            || verified["first_sequence"].as_str() == Some("1");
        if whole && from_the_first { Ok(()) } else { bail!("{verified}") }
    })
}

/// A small file system over a directory; unmounted with its handle.
#[derive(Debug)]
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Moves a directory of an agent, which must not run, onto a file system of so much.
    fn under(directory: PathBuf, size: &str) -> Result<Self> {
        let before = directory.with_extension("before");
        std::fs::rename(&directory, &before)?;
        std::fs::create_dir(&directory)?;
        let (from, to) = (format!("{}/.", before.display()), directory.display().to_string());
        must("mount", ["-t", "tmpfs", "-o", &format!("size={size}"), "holdfast-test", &to])?;
        let disk = Self(directory);
        must("cp", ["-a", &from, &to])?;
        Ok(disk)
    }

    /// Leaves no room; returns what takes it.
    fn fill_up(&self) -> Result<PathBuf> {
        let filler = self.0.join("filler");
        // It ends with an error when nothing more fits, which is the point.
        let filled = must("dd", ["if=/dev/zero", "bs=64k", &format!("of={}", filler.display())]);
        ensure!(filled.is_err(), "the disk did not fill up");
        Ok(filler)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, as the agent may still be there; there is nothing to do about one that is not mounted.
        drop(must("umount", ["-l".as_ref(), self.0.as_os_str()]));
    }
}

#[test]
fn a_full_disk_stops_one_agent_and_loses_nothing() -> Result<()> {
    let mut disk = None;
    let told = scenario(|scene| {
        scene.cluster.kill9(HURT)?;
        let disk = disk.insert(SmallDisk::under(scene.cluster.nodes()[HURT].data(), "48m")?);
        scene.cluster.start_node(HURT)?;
        scene.cluster.await_ready()?;
        let filler = disk.fill_up()?;

        // Changes until the agent has noticed; the others take every one.
        let mut changes = 0_u32;
        poll::until("an agent that noticed its full disk", LIMIT, || {
            let (reason, leader) =
                (format!("change {changes}"), scene.cluster.leader_among(&[0, 1])?);
            scene
                .cluster
                .cli_at(leader, &["pause", "--for", "10m", "--reason", &reason, "--yes"])?
                .ok()?;
            changes += 1;
            let log = std::fs::read_to_string(scene.cluster.nodes()[HURT].log())?;
            if log.contains("os error 28") {
                Ok(())
            } else {
                bail!("no word of it after {changes} changes")
            }
        })?;
        let leader = scene.cluster.leader_among(&[0, 1])?;
        scene.cluster.cli_at(leader, &["resume", "--reason", "test", "--yes"])?.ok()?;
        scene.cluster.await_answer(&[0, 1], NAME, &scene.answer_eu())?;

        scene.cluster.kill9(HURT)?;
        std::fs::remove_file(filler)?;
        scene.cluster.start_node(HURT)?;
        scene.cluster.await_ready()
    });
    drop(disk);
    told
}
