//! Many seeds, each in a process of its own: what one run leaves behind in a process cannot touch the next.
//!
//! A child that does not end is ended and counts as failed: with virtual time, only a loop that never waits takes
//! long.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _};
use tokio::process::Command;

/// How long a child may take per virtual second, and in addition.
const REAL_PER_VIRTUAL: u32 = 3;
const REAL_AT_LEAST: Duration = Duration::from_secs(90);

/// The seeds to run, each for so many seconds, so many at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// For how many virtual seconds there are faults.
    pub seconds: u64,
    /// Processes at a time.
    pub jobs: usize,
}

/// What a child did.
struct Ended {
    passed: bool,
    output: Vec<u8>,
}

/// Runs every seed and prints a line for each. Errors: no process can be started; `false` where a seed failed.
pub async fn run(batch: Batch) -> anyhow::Result<bool> {
    let seeds = stream::iter(batch.first..batch.first + batch.seeds);
    let mut runs = seeds
        .map(|seed| async move { (seed, child("one", seed, batch.seconds).await) })
        .buffered(batch.jobs);
    let mut failed = 0;
    while let Some((seed, ended)) = runs.next().await {
        let ended = ended?;
        print!("{}", String::from_utf8_lossy(&ended.output));
        if !ended.passed {
            failed += 1;
            println!("  again: {}", again(seed, batch.seconds));
        }
    }
    println!("{} passed, {failed} failed", batch.seeds - failed);
    Ok(failed == 0)
}

/// Runs every seed twice and compares the traces byte by byte. Errors: as [`run`]; `false` where two differ.
pub async fn meta(batch: Batch) -> anyhow::Result<bool> {
    let seeds = stream::iter(batch.first..batch.first + batch.seeds);
    let pairs = seeds.map(|seed| async move {
        let first = child("replay", seed, batch.seconds).await;
        (seed, first, child("replay", seed, batch.seconds).await)
    });
    let mut pairs = pairs.buffered(batch.jobs);
    let mut failed = 0;
    while let Some((seed, first, second)) = pairs.next().await {
        let (first, second) = (first?, second?);
        match difference(&first.output, &second.output) {
            None if first.passed => {
                println!("seed {seed} twice the same: {} bytes", first.output.len())
            }
            None => {
                failed += 1;
                println!(
                    "seed {seed} fails, twice the same; again: {}",
                    again(seed, batch.seconds)
                );
            }
            Some(why) => {
                failed += 1;
                println!("seed {seed} is not deterministic: {why}");
            }
        }
    }
    println!("{} passed, {failed} failed", batch.seeds - failed);
    Ok(failed == 0)
}

/// The command that shows a seed's run again.
fn again(seed: u64, seconds: u64) -> String {
    format!("cargo run -p holdfast-sim -- replay --seed {seed} --seconds {seconds}")
}

async fn child(what: &str, seed: u64, seconds: u64) -> anyhow::Result<Ended> {
    let program: PathBuf =
        std::env::current_exe().context("the path of this program is not known")?;
    let mut command = Command::new(program);
    command.arg(what).arg("--seed").arg(seed.to_string()).arg("--seconds").arg(seconds.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let child = command.spawn().context("a process for one seed cannot be started")?;
    let real = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(REAL_PER_VIRTUAL);
    let limit = REAL_AT_LEAST + Duration::from_secs(real.into());
    match tokio::time::timeout(limit, child.wait_with_output()).await {
        Ok(output) => {
            let output = output.context("the output of a seed's process cannot be read")?;
            Ok(Ended { passed: output.status.success(), output: output.stdout })
        }
        Err(_) => {
            let why =
                format!("seed {seed} FAILED: it does not end within {limit:?} of real time\n");
            Ok(Ended { passed: false, output: why.into_bytes() })
        }
    }
}

/// The first line in which two traces differ.
fn difference(first: &[u8], second: &[u8]) -> Option<String> {
    if first == second {
        return None;
    }
    let (first, second) = (String::from_utf8_lossy(first), String::from_utf8_lossy(second));
    let (mut one, mut two) = (first.lines(), second.lines());
    for line in 1.. {
        match (one.next(), two.next()) {
            (a, b) if a == b && a.is_some() => {}
            (a, b) => {
                let shown = |side: Option<&str>| side.unwrap_or("(the end)").to_owned();
                return Some(format!("line {line}:\n  {}\n  {}", shown(a), shown(b)));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(difference(b"a\nb\n", b"a\nb\n"), None);
        let found = difference(b"a\nb\nc\n", b"a\nx\nc\n").expect("they differ");
        assert!(found.starts_with("line 2:"), "{found}");
        let found = difference(b"a\n", b"a\nb\n").expect("one is longer");
        assert!(found.contains("(the end)"), "{found}");
    }
}
