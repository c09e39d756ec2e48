//! `holdfast audit …`: the audit chain of the member that is asked.

use std::io::Write as _;
use std::path::PathBuf;

use holdfast_wire::pb::v1 as pb;
use tokio_stream::StreamExt as _;

use crate::client::{Client, audit};
use crate::command::events::{self, FilterArgs};
use crate::durable;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Page, json, note};
use crate::session::{Outcome, Session};
use crate::words;

/// The most records that one question asks for.
const PAGE_SIZE: u32 = 500;

/// Commands of `audit`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Show the last records, and with `--follow` what comes after them.
    Tail(TailArgs),
    /// Show the records that fit.
    Search(SearchArgs),
    /// Check every hash, and the end against the replicated head.
    Verify(VerifyArgs),
    /// Take records away as JSON Lines.
    Export(ExportArgs),
}

/// Arguments of `audit tail`.
#[derive(Debug, clap::Args)]
pub(crate) struct TailArgs {
    /// How many of the last records.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000), value_name = "N")]
    last: u32,
    /// Go on with what follows, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Arguments of `audit search`.
#[derive(Debug, clap::Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// At most this many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    limit: u32,
    /// The newest first.
    #[arg(long)]
    newest_first: bool,
}

/// Arguments of `audit verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// From this record on [default: the first that is kept].
    #[arg(long, value_name = "SEQUENCE")]
    first: Option<u64>,
    /// Up to this record [default: the end, which is then compared with the replicated head].
    #[arg(long, value_name = "SEQUENCE")]
    last: Option<u64>,
}

/// Arguments of `audit export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Write to this file, which must not exist yet [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs a command about the audit chain.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    match args {
        Args::Tail(args) => {
            let filter = args.filter.filter();
            if args.follow {
                events::follow(session, filter, args.last).await
            } else {
                events::show_last(session, filter, args.last).await
            }
        }
        Args::Search(args) => search(&args, session).await,
        Args::Verify(args) => verify(&args, session).await,
        Args::Export(args) => export(args, session).await,
    }
}

async fn search(args: &SearchArgs, session: &Session) -> Outcome {
    let mut client = session.client()?;
    let answer = list(&mut client, args.filter.filter(), args.newest_first, args.limit).await?;
    session.out.page(&events::page(&answer, session.out.format))?;
    Ok(Exit::Success)
}

/// Up to `limit` records that fit, page by page.
pub(crate) async fn list(
    client: &mut Client,
    filter: pb::AuditFilter,
    newest_first: bool,
    limit: u32,
) -> Result<pb::ListRecordsResponse, Failure> {
    let mut all = pb::ListRecordsResponse::default();
    loop {
        client.renew();
        let found = u32::try_from(all.records.len()).unwrap_or(u32::MAX);
        let message = pb::ListRecordsRequest {
            filter: Some(filter.clone()),
            newest_first,
            page_size: PAGE_SIZE.min(limit.saturating_sub(found)),
            page_token: all.next_page_token.clone(),
        };
        let asking = &*client;
        let page = asking.call("search the audit chain", async |channel| {
            audit(channel).list_records(asking.request(message.clone())).await
        });
        let page = page.await?.value;
        let stuck = page.next_page_token == all.next_page_token;
        all.records.extend(page.records);
        all.records.truncate(limit as usize);
        (all.next_page_token, all.head) = (page.next_page_token, page.head);
        if all.next_page_token.is_empty() || stuck || all.records.len() >= limit as usize {
            return Ok(all);
        }
    }
}

/// Verifies the chain of a member.
pub(crate) async fn verify_of(
    client: &Client,
    first: Option<u64>,
    last: Option<u64>,
) -> Result<pb::VerifyLogResponse, Failure> {
    let message = pb::VerifyLogRequest { first_sequence: first, last_sequence: last };
    let answer = client.call("verify the audit chain", async |channel| {
        audit(channel).verify_log(client.request(message)).await
    });
    Ok(answer.await?.value)
}

async fn verify(args: &VerifyArgs, session: &Session) -> Outcome {
    let answer = verify_of(&session.client()?, args.first, args.last).await?;
    session.out.page(&verify_page(&answer))?;
    Ok(if answer.intact { Exit::Success } else { Exit::Error })
}

fn verify_page(answer: &pb::VerifyLogResponse) -> Page {
    let head = answer.head.clone().unwrap_or_default();
    let range = format!("{}..{}", answer.first_sequence, head.length);
    let checked = words::count(usize::try_from(answer.checked).unwrap_or(usize::MAX), "record");
    let mut text = if answer.intact {
        let against = match &answer.replicated_head {
            Some(replicated) if *replicated == head => {
                ", the end is the replicated head".to_owned()
            }
            Some(replicated) => format!(", the replicated head is at {}", replicated.length),
            None => String::new(),
        };
        format!("OK {checked} {range}, every hash fits{against}\nhead {}", head.hash)
    } else {
        format!("NOT INTACT: only {checked} {range} fit")
    };
    if let (Some(first), Some(last)) = (answer.missing_first, answer.missing_last) {
        text = format!(
            "{text}\nrecords {first}..{last} were not received yet and are awaited from a peer"
        );
    }
    let finding = answer.finding.as_ref().map(|finding| {
        format!(
            "{} at record {}: {}",
            words::tampering(finding.kind),
            finding.sequence,
            finding.detail
        )
    });
    Page::line(json::of(answer), text).warnings(finding)
}

async fn export(args: ExportArgs, session: &Session) -> Outcome {
    let client = session.client()?;
    let message = pb::ExportLogRequest { filter: Some(args.filter.filter()) };
    let stream = client.call("export the audit chain", async |channel| {
        audit(channel).export_log(client.request(message.clone())).await
    });
    let mut stream = stream.await?.value;
    let mut file = args.out.as_ref().map(create).transpose()?;
    let mut lines = 0;
    while let Some(part) = stream.next().await {
        let part = part.map_err(|status| Failure::refused("export the audit chain", &status))?;
        lines += part.lines.lines().count();
        match (&mut file, &args.out) {
            (Some(file), Some(path)) => {
                file.write_all(part.lines.as_bytes()).map_err(|error| unwritable(path, &error))?
            }
            _ => session.out.raw(&part.lines)?,
        }
    }
    if let (Some(file), Some(path)) = (file, &args.out) {
        durable::settle(path, &file).map_err(|error| unwritable(path, &error))?;
        note(&format!("{} written to {}", words::count(lines, "record"), path.display()));
    }
    Ok(Exit::Success)
}

fn create(path: &PathBuf) -> Result<std::fs::File, Failure> {
    let options = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    options.map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::error(format!("cannot write {}: {error}", path.display()))
        .next("name another file with --out")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn head(length: u64) -> Option<pb::AuditHead> {
        Some(pb::AuditHead { length, hash: "ab".repeat(4) })
    }

    #[test]
    fn an_intact_chain_says_what_was_compared() {
        let answer = pb::VerifyLogResponse {
            intact: true,
            checked: 90,
            first_sequence: 1,
            head: head(90),
            replicated_head: head(90),
            ..pb::VerifyLogResponse::default()
        };
        let text = verify_page(&answer).render(Format::Table, false).expect("printable");
        let expected =
            "OK 90 records 1..90, every hash fits, the end is the replicated head\nhead abababab\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_broken_chain_names_the_first_bad_record() {
        let answer = pb::VerifyLogResponse {
            checked: 41,
            first_sequence: 1,
            head: head(41),
            finding: Some(pb::Tampering {
                sequence: 42,
                kind: pb::TamperingKind::Flip as i32,
                detail: "its hash does not fit".into(),
            }),
            ..pb::VerifyLogResponse::default()
        };
        let text = verify_page(&answer).render(Format::Table, false).expect("printable");
        assert!(text.contains("NOT INTACT"), "{text}");
        assert!(text.contains("! flip at record 42: its hash does not fit\n"), "{text}");
    }
}
