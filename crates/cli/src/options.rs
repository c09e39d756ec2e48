//! What every command takes: how to print, whom to ask, how to prove who asks.

use std::path::PathBuf;
use std::time::Duration;

use crate::output::Format;
use crate::words::parse_duration;

const HEADING: &str = "Global options";

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Options {
    /// Form of the output.
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// File with endpoints and TLS paths [default: ~/.config/holdfast/context.toml where it exists].
    #[arg(long, global = true, env = "HOLDFAST_CONTEXT", value_name = "FILE")]
    pub context: Option<PathBuf>,
    /// Members to ask, one after the other until one answers.
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_ENDPOINT",
        value_delimiter = ',',
        value_name = "HOST:PORT"
    )]
    pub endpoint: Vec<String>,
    /// PEM of the authorities to trust.
    #[arg(long, global = true, env = "HOLDFAST_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// PEM of the certificate to show.
    #[arg(long, global = true, env = "HOLDFAST_CERT", value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// PEM of its key.
    #[arg(long, global = true, env = "HOLDFAST_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Speak without TLS; to loopback addresses only.
    #[arg(long, global = true)]
    pub plaintext: bool,
    /// How long the whole command may wait for answers.
    #[arg(long, global = true, default_value = "10s", value_parser = parse_timeout, value_name = "DURATION")]
    pub timeout: Duration,
    /// UUID of the request: a repetition with the same one does nothing twice [default: a random one].
    #[arg(long, global = true, value_parser = parse_request_id, value_name = "UUID")]
    pub request_id: Option<RequestId>,
    /// Do it without asking.
    #[arg(long, global = true)]
    pub yes: bool,
}

/// The number of a request.
pub(crate) use holdfast_core::RequestId;

fn parse_request_id(text: &str) -> Result<RequestId, String> {
    holdfast_wire::convert::request_id(text)
        .map_err(|_| format!("{text:?} is not a UUID; leave --request-id out for a random one"))
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse_duration(text)?;
    if timeout.is_zero() { Err("0 would never wait for an answer".to_owned()) } else { Ok(timeout) }
}
