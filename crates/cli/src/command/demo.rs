//! `holdfast demo`: the arguments of the story that [`crate::demo`] tells.

use crate::demo;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use crate::session::{Outcome, Session};

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End after the story: with 0 only if every step was seen from outside.
    #[arg(long)]
    once: bool,
}

/// Tells the story.
pub(crate) async fn run(args: &Args, session: &Session) -> Outcome {
    let json = match session.out.format {
        Format::Table | Format::Wide => false,
        Format::Json => true,
        Format::Yaml | Format::Csv => {
            return Err(Failure::usage("the demo tells its story as table or json")
                .next("holdfast demo --once -o json"));
        }
    };
    match demo::run(demo::DemoArgs { once: args.once, json }).await {
        Ok(true) => Ok(Exit::Success),
        Ok(false) => Ok(Exit::Error),
        Err(error) => Err(Failure::error(format!("the demo did not work: {error:#}"))),
    }
}
