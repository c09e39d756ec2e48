//! Holds a process's processor time down by a control group, so that one machine can exceed what an agent can do.
//!
//! Both kinds of control groups are known; a machine with neither fails the test, and says so.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// A period of the kernel's accounting, in microseconds.
const PERIOD_US: u32 = 100_000;

/// A quota; lifted with its handle.
#[derive(Debug)]
pub struct Quota {
    group: PathBuf,
    /// Where processes go back to.
    root: PathBuf,
}

impl Quota {
    /// Gives a process with all its threads this share of one processor, in percent.
    pub fn on(pid: u32, percent: u32) -> Result<Self> {
        let (root, unified) = root()?;
        let group = root.join(format!("holdfast-test-{}-{pid}", std::process::id()));
        std::fs::create_dir(&group).with_context(|| format!("no group {}", group.display()))?;
        let quota = Self { group, root };
        let quota_us = PERIOD_US / 100 * percent;
        if unified {
            quota.write("cpu.max", &format!("{quota_us} {PERIOD_US}"))?;
        } else {
            quota.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
            quota.write("cpu.cfs_quota_us", &quota_us.to_string())?;
        }
        quota.write("cgroup.procs", &pid.to_string())?;
        Ok(quota)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.group.join(file);
        std::fs::write(&path, text).with_context(|| format!("{text:?} to {}", path.display()))
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let members = std::fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines() {
            // It may have ended meanwhile.
            drop(std::fs::write(self.root.join("cgroup.procs"), pid));
        }
        drop(std::fs::remove_dir(&self.group));
    }
}

/// Where groups with processor quotas are made, and whether it is the unified hierarchy.
fn root() -> Result<(PathBuf, bool)> {
    let unified = Path::new("/sys/fs/cgroup");
    let controllers = std::fs::read_to_string(unified.join("cgroup.controllers"));
    if controllers.is_ok_and(|names| names.split_whitespace().any(|name| name == "cpu")) {
        let control = unified.join("cgroup.subtree_control");
        std::fs::write(&control, "+cpu")
            .with_context(|| format!("+cpu to {}", control.display()))?;
        return Ok((unified.to_path_buf(), true));
    }
    let legacy = unified.join("cpu");
    if legacy.join("cpu.cfs_quota_us").exists() {
        return Ok((legacy, false));
    }
    bail!("no control groups with processor quotas under {}", unified.display())
}
