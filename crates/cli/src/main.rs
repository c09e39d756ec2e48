//! Operates: the one binary, which is the agent, the demo and every operator command.
//!
//! Here a command line becomes a command, and what came of it an exit code; everything else is in its module.
//! Nothing is decided here that the cluster has to decide: commands send and show.

mod cli;
mod client;
mod clock;
mod command;
mod context;
mod demo;
mod dns_client;
mod durable;
mod events;
mod exit;
mod failure;
mod known_types;
mod manifest;
mod options;
mod output;
mod session;
mod survey;
mod words;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::exit::Exit;

/// Many small allocations that one thread makes and another frees: glibc spends a quarter of an agent's time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be told where the output is closed.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Success }.into();
        }
    };
    // Another part of the process may have chosen already; both choose ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("error: cannot start threads: {error}"));
            return Exit::Error.into();
        }
    };
    match runtime.block_on(command::run(cli)) {
        Ok(code) => code,
        Err(failure) => {
            if !failure.is_quiet() {
                output::note(&failure.to_string());
            }
            failure.exit().into()
        }
    }
}
