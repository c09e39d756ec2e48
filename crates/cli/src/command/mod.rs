//! The commands, one per file: each takes its arguments and a session, asks the cluster, shows what came of it.
//!
//! A command decides nothing that belongs to the cluster, keeps no state, and can be repeated: what it changes carries
//! a request number.

pub(crate) mod agent;
pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod ca;
pub(crate) mod check;
pub(crate) mod check_config;
pub(crate) mod cluster;
pub(crate) mod completion;
pub(crate) mod demo;
pub(crate) mod dns;
pub(crate) mod dns_propagation;
pub(crate) mod dns_ttl;
pub(crate) mod doctor;
pub(crate) mod endpoint;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod overrides;
pub(crate) mod pause;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod tsig;
pub(crate) mod version;
pub(crate) mod zone;
pub(crate) mod zone_dnssec;
mod zone_file;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::session::Session;

/// Runs the command.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let session = Session::new(cli.options);
    let exit = match cli.command {
        Command::Demo(args) => demo::run(&args, &session).await,
        Command::Agent(args) => agent::run(args).await,
        Command::CheckConfig(args) => check_config::run(&args, &session),
        Command::Ca(args) => ca::run(args, &session),
        Command::Secret(args) => secret::run(args, &session),
        Command::Status(args) => status::run(&args, &session).await,
        Command::Explain(args) => service::explain(args, &session).await,
        Command::Apply(args) => apply::run(&args, &session).await,
        Command::Export(args) => export::run(&args, &session).await,
        Command::Service(args) => service::run(args, &session).await,
        Command::Zone(args) => zone::run(args, &session).await,
        Command::Tsig(args) => tsig::run(args, &session).await,
        Command::Endpoint(args) => endpoint::run(args, &session).await,
        Command::Check(args) => check::run(args, &session).await,
        Command::Override(args) => overrides::run(args, &session).await,
        Command::Pause(args) => pause::pause(args, &session).await,
        Command::Resume(args) => pause::resume(args, &session).await,
        Command::Cluster(args) => cluster::run(args, &session).await,
        Command::Settings(args) => settings::run(args, &session).await,
        Command::Audit(args) => audit::run(args, &session).await,
        Command::Dns(args) => dns::run(args, &session).await,
        Command::Events(args) => events::run(args, &session).await,
        Command::Doctor(args) => doctor::run(&args, &session).await,
        Command::Completion(args) => completion::run(&args, &session),
        Command::Version => version::run(&session),
    }?;
    Ok(exit.into())
}
