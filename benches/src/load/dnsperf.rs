//! dnsperf beside our own generators, so that their figures have a witness. It saturates near 250,000 questions per
//! second: above that, processor time per answer tells servers apart where its rate cannot.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// What dnsperf said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Said {
    /// Answers per second.
    pub rate: f64,
    /// Answers.
    pub completed: f64,
    /// Questions without an answer.
    pub lost: f64,
}

/// Runs it on a processor with a file of questions.
pub(crate) async fn run(
    server: SocketAddr,
    cpu: usize,
    questions: &Path,
    span: Duration,
) -> Result<Said> {
    let (ip, port, seconds) =
        (server.ip().to_string(), server.port().to_string(), span.as_secs().max(1).to_string());
    let output = tokio::process::Command::new("taskset")
        .args(["-c", &cpu.to_string(), "dnsperf", "-s", &ip, "-p", &port, "-l", &seconds])
        .args(["-c", "8", "-T", "1", "-q", "200", "-d"])
        .arg(questions)
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        bail!("dnsperf ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(text: &str) -> Result<Said> {
    Ok(Said {
        rate: field(text, "Queries per second:")?,
        completed: field(text, "Queries completed:")?,
        lost: field(text, "Queries lost:")?,
    })
}

/// The number after a label.
fn field(text: &str, label: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.with_context(|| format!("dnsperf printed no {label:?}"))?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_dnsperf_prints() {
        let text = "Statistics:\n\n  Queries sent:         1000\n  Queries completed:    997 (99.70%)\n  \
                    Queries lost:         3 (0.30%)\n\n  Queries per second:   5123.250000\n";
        let said = Said { rate: 5123.25, completed: 997.0, lost: 3.0 };
        assert_eq!(parse(text).expect("whole"), said);
        assert!(parse("Queries per second: 1.0").is_err());
    }
}
