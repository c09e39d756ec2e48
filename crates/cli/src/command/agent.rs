//! `holdfast agent --config FILE`: runs an agent until it is told to stop.

use std::error::Error;
use std::path::PathBuf;

use holdfast_agent::{Start, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::command::check_config;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Outcome;

/// Arguments of `agent`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration, TOML.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Take the place of the agent that runs with this data directory, without a lost DNS answer. Where none runs, start
    /// as ever.
    #[arg(long)]
    replace: bool,
}

/// Runs an agent until it is told to stop or another one has taken its place. SIGTERM and SIGINT stop it in good order; a second one ends the process at once.
pub(crate) async fn run(args: Args) -> Outcome {
    let config = check_config::read(&args.config)?;
    let unusable = |error| Failure::error(format!("{}: {error}", args.config.display()));
    telemetry::start_logs(&config.telemetry).map_err(unusable)?;
    telemetry::start_metrics().map_err(unusable)?;
    let shutdown = CancellationToken::new();
    let deaf =
        |error: std::io::Error| Failure::error(format!("cannot listen for signals: {error}"));
    let mut term = signal(SignalKind::terminate()).map_err(deaf)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(deaf)?;
    let start = if args.replace { Start::Replace } else { Start::Alone };
    let agent = holdfast_agent::run(config, start, shutdown.clone());
    tokio::pin!(agent);
    loop {
        tokio::select! {
            ended = &mut agent => {
                return ended.map(|()| Exit::Success).map_err(|error| Failure::error(chain(&error)));
            }
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        if shutdown.is_cancelled() {
            return Err(Failure::error(
                "stopped at the second signal, without waiting for a clean end",
            ));
        }
        tracing::info!("stopping: a second signal stops at once");
        shutdown.cancel();
    }
}

/// An error with its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the log")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_told_once() {
        assert_eq!(
            chain(&Outer(std::io::Error::other("disk full"))),
            "cannot open the log: disk full"
        );
    }
}
