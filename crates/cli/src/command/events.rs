//! `holdfast events`: what happened and what happens, from the audit chain, one line each.
//!
//! A stream that breaks is taken up again at another member behind the last record that was shown: nothing is shown
//! twice and nothing is left out.

use std::time::Duration;

use holdfast_core::{ServiceId, Timestamp};
use holdfast_wire::pb::v1 as pb;
use tokio_stream::StreamExt as _;

use crate::client::{Client, audit};
use crate::clock;
use crate::command::audit::list;
use crate::events::{detail_of, line};
use crate::exit::Exit;
use crate::failure::{Failure, causes};
use crate::output::{Cell, Column, Format, Page, Table, json, note};
use crate::session::{Outcome, Session};
use crate::words;

/// How often in a row a broken stream is taken up again without a record in between.
const MAX_RESUMPTIONS: u32 = 30;
/// Time before a broken stream is taken up again.
const RESUME_AFTER: Duration = Duration::from_secs(1);

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with what happens.
    #[arg(long, short)]
    follow: bool,
    /// How many of the last records to begin with.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1000), value_name = "N")]
    last: u32,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Which records are wanted: all conditions that are given hold.
#[derive(Debug, clap::Args)]
pub(crate) struct FilterArgs {
    /// About this service.
    #[arg(long, value_name = "NAME")]
    service: Option<ServiceId>,
    /// Caused by this actor.
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Of this kind, such as verdict.changed; verdict.* is the family.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Caused by this request.
    #[arg(long, value_name = "UUID")]
    request: Option<String>,
    /// Not before this moment: 30m ago, or 2026-01-31T14:00:00Z.
    #[arg(long, value_parser = moment, value_name = "MOMENT")]
    since: Option<Timestamp>,
    /// Before this moment.
    #[arg(long, value_parser = moment, value_name = "MOMENT")]
    until: Option<Timestamp>,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    words::parse_moment(text, clock::now())
}

impl FilterArgs {
    /// The filter of the API.
    pub(crate) fn filter(&self) -> pb::AuditFilter {
        pb::AuditFilter {
            service: self.service.as_ref().map(ToString::to_string).unwrap_or_default(),
            actor: self.actor.clone().unwrap_or_default(),
            kind: self.kind.clone().unwrap_or_default(),
            request_id: self.request.clone().unwrap_or_default(),
            from_ms: self.since.map(|at| at.0),
            until_ms: self.until.map(|at| at.0),
            ..pb::AuditFilter::default()
        }
    }
}

/// Shows events.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    let filter = args.filter.filter();
    if args.follow {
        follow(session, filter, args.last).await
    } else {
        show_last(session, filter, args.last).await
    }
}

/// Shows the last records that fit, the oldest of them first.
pub(crate) async fn show_last(session: &Session, filter: pb::AuditFilter, last: u32) -> Outcome {
    let mut client = session.client()?;
    let mut answer = list(&mut client, filter, true, last).await?;
    answer.records.reverse();
    session.out.page(&page(&answer, session.out.format))?;
    Ok(Exit::Success)
}

/// The records as a page.
pub(crate) fn page(answer: &pb::ListRecordsResponse, format: Format) -> Page {
    let lines: Vec<String> =
        answer.records.iter().map(|record| line(record, format == Format::Wide)).collect();
    let text = if lines.is_empty() { "no records fit".to_owned() } else { lines.join("\n") };
    Page::line(json::of(answer), text).rows(rows(answer))
}

fn rows(answer: &pb::ListRecordsResponse) -> Table {
    let mut table = Table::new(
        ["SEQUENCE", "AT", "SERVICE", "KIND", "DETAIL", "ACTOR", "REQUEST", "INDEX", "HASH"]
            .map(Column::new),
    );
    for record in &answer.records {
        table.row([
            Cell::new(record.sequence),
            words::moment(record.at_ms).into(),
            record.service.as_str().into(),
            record.kind.as_str().into(),
            detail_of(record).into(),
            record.actor.as_ref().map_or("", |actor| actor.name.as_str()).into(),
            record.request_id.as_str().into(),
            Cell::new(record.index),
            record.hash.as_str().into(),
        ]);
    }
    table
}

/// Shows the last records that fit and then what follows, until the output is closed or no member answers.
pub(crate) async fn follow(session: &Session, filter: pb::AuditFilter, last: u32) -> Outcome {
    let mut client = session.client()?;
    let mut place = Place { shown: None, last };
    let mut failures = 0;
    loop {
        client.renew();
        let before = place.shown;
        let problem = match stream(&client, session, &filter, &mut place).await {
            Ok(()) => "the member ended the stream".to_owned(),
            Err(Interrupted::Refused(failure))
                if failures == 0 || failure.exit() != Exit::Unavailable =>
            {
                return Err(failure);
            }
            Err(Interrupted::Refused(failure)) => failure.message().to_owned(),
            Err(Interrupted::Broken(problem)) => problem,
        };
        failures = if place.shown == before { failures + 1 } else { 1 };
        if failures > MAX_RESUMPTIONS {
            return Err(Failure::new(
                Exit::Unavailable,
                format!("the stream cannot be taken up again: {problem}"),
            )
            .next("holdfast doctor"));
        }
        if session.out.format.is_text() {
            note(&format!("! {problem}; taking it up again"));
        }
        tokio::time::sleep(RESUME_AFTER).await;
    }
}

/// How far a stream has come.
#[derive(Debug)]
struct Place {
    shown: Option<u64>,
    last: u32,
}

/// Why a stream ended.
enum Interrupted {
    Refused(Failure),
    Broken(String),
}

async fn stream(
    client: &Client,
    session: &Session,
    filter: &pb::AuditFilter,
    place: &mut Place,
) -> Result<(), Interrupted> {
    let message = pb::TailRecordsRequest {
        filter: Some(filter.clone()),
        after_sequence: place.shown,
        last: if place.shown.is_some() { 0 } else { place.last },
    };
    let answer = client.call("follow the audit chain", async |channel| {
        audit(channel).tail_records(client.request(message.clone())).await
    });
    let mut records = answer.await.map_err(Interrupted::Refused)?.value;
    while let Some(next) = records.next().await {
        let next = next.map_err(|status| Interrupted::Broken(causes(&status)))?;
        let Some(record) = next.record else { continue };
        place.shown = Some(record.sequence);
        let text = line(&record, session.out.format == Format::Wide);
        session.out.event(&text, &json::of(&record)).map_err(Interrupted::Refused)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    #[test]
    fn filters_are_made_of_flags() {
        let line = "holdfast events --service shop --kind verdict.* --since 1970-01-01T00:00:05Z";
        let Command::Events(args) = Cli::try_parse_from(line.split(' ')).expect("valid").command
        else {
            panic!("another command");
        };
        let expected = pb::AuditFilter {
            service: "shop".into(),
            kind: "verdict.*".into(),
            from_ms: Some(5000),
            ..pb::AuditFilter::default()
        };
        assert_eq!(args.filter.filter(), expected);
    }

    #[test]
    fn csv_has_a_row_for_each_record() {
        let record = pb::AuditRecord {
            sequence: 3,
            kind: "term.began".into(),
            ..pb::AuditRecord::default()
        };
        let answer =
            pb::ListRecordsResponse { records: vec![record], ..pb::ListRecordsResponse::default() };
        let csv = page(&answer, Format::Csv).render(Format::Csv, false).expect("printable");
        let expected = "sequence,at,service,kind,detail,actor,request,index,hash\n\
            3,1970-01-01T00:00:00.000Z,,term.began,,,,0,\n";
        assert_eq!(csv, expected);
    }

    #[test]
    fn no_records_are_told_as_such() {
        let text =
            page(&pb::ListRecordsResponse::default(), Format::Table).render(Format::Table, false);
        assert_eq!(text, Ok("no records fit\n".to_owned()));
    }
}
