//! `holdfast settings …`: what holds for the whole group and not for one service.

use std::time::Duration;

use holdfast_core::time::millis;
use holdfast_wire::pb::v1 as pb;
use pb::settings_change::Moves;

use crate::client::cluster;
use crate::exit::Exit;
use crate::output::{Cell, Column, Page, Table, json};
use crate::session::{Outcome, Session};
use crate::survey::leader_view;
use crate::words::{self, parse_duration};

/// Commands of `settings`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Show the settings as the leader knows them.
    Show,
    /// Change those that are named; the others stay.
    Set(SetArgs),
}

/// Arguments of `settings set`.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct SetArgs {
    /// No service is answered with a shorter TTL, whatever is declared or ordered: 1s to 5m.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    ttl_floor: Option<Duration>,
    /// No automatic move for this long after a leader took office: at most 10m.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    warm_up: Option<Duration>,
    /// At most this many automatic moves of all services per window: 1 to 10000, or `none`.
    #[arg(long, value_parser = parse_moves, value_name = "NUMBER")]
    max_moves: Option<Moves>,
    /// The window of `--max-moves`: 1s to 1d.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    window: Option<Duration>,
}

fn parse_moves(text: &str) -> Result<Moves, String> {
    match text {
        "none" => Ok(Moves::Unbounded(pb::Unbounded {})),
        number => number
            .parse()
            .map(Moves::MaxMoves)
            .map_err(|_| format!("{number:?} is neither a number nor `none`")),
    }
}

/// Runs a command about the settings.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    match args {
        Args::Show => show(session).await,
        Args::Set(args) => set(args, session).await,
    }
}

async fn show(session: &Session) -> Outcome {
    let answer = leader_view(&session.client()?).await?;
    session.out.page(&page(&answer.settings.unwrap_or_default()))?;
    Ok(Exit::Success)
}

fn page(settings: &pb::Settings) -> Page {
    let mut table = Table::new([Column::new("SETTING"), Column::new("VALUE")]);
    let moves = settings.max_moves.map_or("none".to_owned(), |most| most.to_string());
    for (name, value) in [
        ("ttl_floor", words::seconds(settings.ttl_floor_ms)),
        ("warm_up", words::seconds(settings.warm_up_ms)),
        ("max_moves", moves),
        ("window", words::seconds(settings.window_ms)),
    ] {
        table.row([Cell::new(name), Cell::new(value)]);
    }
    Page::new(json::of(settings)).table(table)
}

async fn set(args: SetArgs, session: &Session) -> Outcome {
    let client = session.client()?;
    let change = pb::SettingsChange {
        warm_up_ms: args.warm_up.map(millis),
        moves: args.max_moves,
        window_ms: args.window.map(millis),
        ttl_floor_ms: args.ttl_floor.map(millis),
    };
    let message =
        pb::ChangeSettingsRequest { request_id: client.request_id(), change: Some(change) };
    let answer = client.call("change the settings", async |channel| {
        cluster(channel).change_settings(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    let text =
        format!("the settings are changed (index {})\nsee: holdfast settings show", answer.index);
    session.out.page(&Page::line(json::of(&answer), text))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_bound_of_moves_is_a_number_or_none() {
        assert_eq!(parse_moves("7"), Ok(Moves::MaxMoves(7)));
        assert_eq!(parse_moves("none"), Ok(Moves::Unbounded(pb::Unbounded {})));
        assert!(parse_moves("-1").is_err_and(|why| why.contains("none")));
    }

    #[test]
    fn every_setting_is_shown() {
        let settings = pb::Settings {
            warm_up_ms: 1000,
            max_moves: None,
            window_ms: 60_000,
            ttl_floor_ms: 5000,
        };
        let text = page(&settings).render(Format::Csv, false).expect("it has rows");
        assert_eq!(text, "setting,value\nttl_floor,5s\nwarm_up,1s\nmax_moves,none\nwindow,60s\n");
    }
}
