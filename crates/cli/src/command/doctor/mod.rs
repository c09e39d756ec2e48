//! `holdfast doctor`: looks at the cluster from outside, and says what is wrong and what to do about it.
//!
//! Each check is a function from what the members said to findings; only DNS is asked on the wire, because what the
//! API says of it is not what a resolver sees. Nothing is changed.

mod checks;
mod dns;
mod keys;
mod signing;

use serde_json::{Value, json};

use crate::clock;
use crate::context::Security;
use crate::exit::Exit;
use crate::output::{Cell, Column, Page, Table, Tone};
use crate::session::{Outcome, Session};
use crate::survey::survey;
use crate::words;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End with 2 where something is wrong.
    #[arg(long)]
    exit_code: bool,
    /// Leave out what takes long: hashing the state and verifying the audit chain of each member.
    #[arg(long)]
    quick: bool,
    /// How many names are asked for over DNS, at each member.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=10_000), value_name = "N")]
    names: u32,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warning,
    Bad,
}

impl Level {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    level: Level,
    check: &'static str,
    text: String,
    next: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, check, text: text.into(), next: None }
    }

    fn warning(check: &'static str, text: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Warning, check, text: text.into(), next: Some(next.into()) }
    }

    fn bad(check: &'static str, text: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Bad, check, text: text.into(), next: Some(next.into()) }
    }
}

/// Looks for what is wrong.
pub(crate) async fn run(args: &Args, session: &Session) -> Outcome {
    let client = session.client()?;
    let survey = survey(&client, !args.quick).await?;
    let now = clock::now();
    let mut findings = checks::members(&survey);
    findings.extend(checks::quorum(&survey));
    findings.extend(checks::changes(&survey));
    findings.extend(checks::versions(&survey));
    findings.extend(checks::readiness(&survey));
    findings.extend(checks::replicas(&survey));
    findings.extend(keys::missing(&client).await);
    findings.extend(checks::clocks(&survey, now.0));
    findings.extend(checks::certificates(&survey, now.0));
    if let Security::Mutual(material) = &client.connection().security {
        findings.extend(checks::certificate(
            "your own certificate",
            Some(material.expires().0),
            now.0,
        ));
    }
    if !args.quick {
        findings.extend(checks::audit(&client, &survey).await);
    }
    findings.extend(signing::parents(&client).await);
    findings.extend(dns::answers(&client, &survey, args.names as usize).await);
    session.out.page(&page(&survey.cluster.cluster, &findings))?;
    let wrong = findings.iter().any(|finding| finding.level > Level::Ok);
    Ok(if args.exit_code && wrong { Exit::Differs } else { Exit::Success })
}

fn page(cluster: &str, findings: &[Finding]) -> Page {
    let mut table =
        Table::new([Column::new("CHECK"), Column::new("RESULT"), Column::new("FINDING")]);
    for finding in findings {
        let tone = match finding.level {
            Level::Ok => Tone::Good,
            Level::Warning => Tone::Warn,
            Level::Bad => Tone::Bad,
        };
        let text = match &finding.next {
            Some(next) => format!("{} → {next}", finding.text),
            None => finding.text.clone(),
        };
        table.row([finding.check.into(), Cell::toned(finding.level.label(), tone), text.into()]);
    }
    let wrong = findings.iter().filter(|finding| finding.level > Level::Ok).count();
    let summary = match wrong {
        0 => format!("cluster {cluster}: nothing is wrong"),
        _ => format!("cluster {cluster}: {} to look at", words::count(wrong, "thing")),
    };
    let data: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check,
                "result": finding.level.label(),
                "finding": finding.text,
                "next_step": finding.next,
            })
        })
        .collect();
    Page::new(json!({ "cluster": cluster, "healthy": wrong == 0, "findings": data }))
        .table(table)
        .text(summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn findings_are_told_with_the_next_step() {
        let findings = [
            Finding::ok("members", "3 of 3 answer"),
            Finding::bad("quorum", "there is none", "start the agents that are missing"),
        ];
        let text = page("prod", &findings).render(Format::Table, false).expect("printable");
        let expected = "CHECK    RESULT  FINDING\n\
            members  ok      3 of 3 answer\n\
            quorum   bad     there is none → start the agents that are missing\n\
            cluster prod: 1 thing to look at\n";
        assert_eq!(text, expected);
    }
}
