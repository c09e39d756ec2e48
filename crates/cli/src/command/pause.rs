//! `holdfast pause` and `holdfast resume`: automation of the whole cluster.

use std::time::Duration;

use holdfast_core::time::millis;
use holdfast_wire::pb::v1 as pb;

use crate::client::overrides;
use crate::exit::Exit;
use crate::output::{Page, json};
use crate::session::{Outcome, Session};
use crate::words::{self, parse_duration};

/// Arguments of `pause`.
#[derive(Debug, clap::Args)]
pub(crate) struct PauseArgs {
    /// For how long: 1s to 30d.
    #[arg(long = "for", value_parser = parse_duration, value_name = "DURATION")]
    lasting: Duration,
    /// Why; stands in the audit chain.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new(), value_name = "TEXT")]
    reason: String,
}

/// Arguments of `resume`.
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// Why; stands in the audit chain.
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

/// Stops automatic moves for a while.
pub(crate) async fn pause(args: PauseArgs, session: &Session) -> Outcome {
    let client = session.client()?;
    let message = pb::PauseAutomationRequest {
        request_id: client.request_id(),
        reason: args.reason,
        lasting_ms: millis(args.lasting),
    };
    let answer = client.call("pause automation", async |channel| {
        overrides(channel).pause_automation(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    let until = words::moment(answer.expires_at_ms);
    let text = format!(
        "automation is paused until {until}; verdicts and DNS go on\nundo: holdfast resume"
    );
    session.out.page(&Page::line(json::of(&answer), text))?;
    Ok(Exit::Success)
}

/// Lets automatic moves happen again.
pub(crate) async fn resume(args: ResumeArgs, session: &Session) -> Outcome {
    let client = session.client()?;
    let message =
        pb::ResumeAutomationRequest { request_id: client.request_id(), reason: args.reason };
    let answer = client.call("resume automation", async |channel| {
        overrides(channel).resume_automation(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    session.out.page(&Page::line(
        json::of(&answer),
        format!("automation goes on (index {})", answer.index),
    ))?;
    Ok(Exit::Success)
}
