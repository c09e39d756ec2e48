//! Child processes: started with their output in a file, pinned where asked, killed by id when their owner is dropped.
//!
//! Each child also dies with the benchmark itself (`setpriv --pdeathsig`), so that even a killed benchmark leaves
//! nothing behind.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::time::Instant;

/// Time between two looks at something that is awaited.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// `USER_HZ` is 100 on all of Linux.
const TICK_US: f64 = 10_000.0;

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

/// What to start and how.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// For messages.
    pub name: String,
    /// The program with its arguments.
    pub command: Vec<std::ffi::OsString>,
    /// Where its output goes.
    pub log: PathBuf,
    /// The processor that it is pinned to.
    pub cpu: Option<usize>,
}

impl Launch {
    /// A program with arguments, not pinned.
    pub(crate) fn new(name: &str, program: impl AsRef<OsStr>, log: &Path) -> Self {
        let command = vec![program.as_ref().to_owned()];
        Self { name: name.into(), command, log: log.into(), cpu: None }
    }

    /// With one more argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.push(arg.as_ref().to_owned());
        self
    }

    /// With more arguments.
    pub(crate) fn args(self, args: &[&str]) -> Self {
        args.iter().fold(self, |launch, arg| launch.arg(arg))
    }

    /// Pinned to a processor.
    pub(crate) fn pinned(mut self, cpu: Option<usize>) -> Self {
        self.cpu = cpu;
        self
    }

    /// Starts it. Errors: a program is not there.
    pub(crate) fn start(&self) -> Result<Process> {
        let log = std::fs::File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        if let Some(cpu) = self.cpu {
            command.args(["taskset", "-c", &cpu.to_string()]);
        }
        command.args(&self.command).stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
        let child = command.spawn().context("cannot start setpriv; it is in util-linux")?;
        Ok(Process { name: self.name.clone(), log: self.log.clone(), child })
    }
}

impl Process {
    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does and waits until the kernel has closed what it had open.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Errors: it has ended by itself; with the end of its output.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(8).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        Err(anyhow!("{} ended with {status}; its last words:\n{}", self.name, tail.join("\n")))
    }

    /// Waits until `ready` says so. Errors: not in time, or the process ended.
    pub(crate) async fn ready(
        &mut self,
        within: Duration,
        ready: impl AsyncFn() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + within;
        while !ready().await {
            self.check_alive()?;
            if Instant::now() >= deadline {
                bail!("{} was not ready within {within:?}; see {}", self.name, self.log.display());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn end(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Memory of a process in MiB: present and highest resident set.
pub(crate) fn resident_mib(pid: u32) -> Result<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<f64> {
        let line = status.lines().find(|line| line.starts_with(name));
        let number =
            line.and_then(|line| line.split_whitespace().nth(1)).context("no such field")?;
        Ok(number.parse::<f64>()? / 1024.0)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// Processor time of a process, its threads and its children so far, in microseconds.
pub(crate) fn cpu_us(pid: u32) -> f64 {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let threads: f64 = tasks.flatten().map(|task| thread_us(&task.path())).sum();
    threads.max(group_us(pid)) + children(pid).into_iter().map(cpu_us).sum::<f64>()
}

fn thread_us(task: &Path) -> f64 {
    let schedstat = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let ns = schedstat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok());
    ns.unwrap_or_default() / 1000.0
}

/// The same of a process alone, in whole ticks, with the threads that have ended.
fn group_us(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything; utime and stime are the twelfth and thirteenth field behind it.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * TICK_US
}

/// Memory of a process and its children in bytes, each page that they share counted once.
pub(crate) fn proportional_bytes(pid: u32) -> Result<f64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).context("no Pss")?;
    let children = children(pid).into_iter().map(proportional_bytes);
    Ok(kib.parse::<f64>()? * 1024.0 + children.sum::<Result<f64>>()?)
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks.flatten().flat_map(|task| children_of_thread(&task.path())).collect()
}

fn children_of_thread(task: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(task.join("children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Errors: programs that are not installed, with what installs them.
pub(crate) fn require(programs: &[&str]) -> Result<()> {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin", "/usr/local/sbin"];
    let missing =
        |program: &&&str| !folders.iter().any(|folder| Path::new(folder).join(program).exists());
    let missing: Vec<&str> = programs.iter().filter(missing).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("{} not installed; install with: sudo benches/install", missing.join(", "))
}

/// Looks at how much of the machine others take: whatever is neither this process nor its children.
#[derive(Debug)]
pub(crate) struct Others {
    began: Instant,
    busy_us: f64,
    ours_us: f64,
}

impl Others {
    /// From this moment on.
    pub(crate) fn watch() -> Self {
        Self { began: Instant::now(), busy_us: busy_us(), ours_us: cpu_us(std::process::id()) }
    }

    /// The processors that others have used since, on average; children that have ended count as others.
    pub(crate) fn processors(&self) -> f64 {
        let others = busy_us() - self.busy_us - (cpu_us(std::process::id()) - self.ours_us);
        (others / 1e6 / self.began.elapsed().as_secs_f64()).max(0.0)
    }
}

/// What all processors have spent on processes so far, interrupts left out: those of datagrams on loopback fall on
/// whoever sends.
fn busy_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<f64> =
        line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, and steal.
    [0, 1, 2, 7].iter().filter_map(|place| fields.get(*place)).sum::<f64>() * TICK_US
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_processor_time_are_those_of_the_whole_family() {
        let dir = tempfile::tempdir().expect("a directory");
        let process = Launch::new("sh", "sh", &dir.path().join("log"))
            .args(&["-c", "sleep 60 & wait"])
            .start()
            .expect("it starts");
        // What is on its way from one program to the next has no memory to speak of.
        let sleeps = |pid: &u32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name == "sleep\n")
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        let child = loop {
            if let Some(child) = children(process.id()).into_iter().find(sleeps) {
                break child;
            }
            assert!(Instant::now() < deadline, "the shell has no child that sleeps");
            std::thread::yield_now();
        };
        let family = proportional_bytes(process.id()).expect("it runs");
        assert!(family > proportional_bytes(child).expect("it runs"));
        assert!(cpu_us(process.id()) > cpu_us(child));
        assert!(busy_us() > 0.0 && Others::watch().processors().is_finite());
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let process = Launch::new("sleep", "sleep", &dir.path().join("log"))
            .arg("60")
            .start()
            .expect("it starts");
        let path = format!("/proc/{}", process.id());
        assert!(Path::new(&path).exists());
        drop(process);
        assert!(!Path::new(&path).exists());
    }

    #[test]
    fn missing_programs_are_named() {
        let error = require(&["sh", "no-such-program"]).expect_err("it is missing").to_string();
        assert!(error.contains("no-such-program") && !error.contains("sh,"), "{error}");
    }
}
