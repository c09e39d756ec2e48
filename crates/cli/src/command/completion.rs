//! `holdfast completion SHELL`: a script that completes commands and options.

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Outcome, Session};

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args, session: &Session) -> Outcome {
    session.out.raw(&script(args.shell)?)?;
    Ok(Exit::Success)
}

fn script(shell: clap_complete::Shell) -> Result<String, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "holdfast", &mut script);
    String::from_utf8(script)
        .map_err(|error| Failure::error(format!("cannot make the script: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_know_the_commands() {
        for shell in
            [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish]
        {
            let script = script(shell).expect("text");
            assert!(script.contains("transfer-leader") && script.contains("force-down"), "{shell}");
        }
    }
}
