//! One command under way: its options, its output and the client that it makes of them.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use holdfast_core::RequestId;

use crate::client::Client;
use crate::clock;
use crate::context::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::options::Options;
use crate::output::Output;

/// What a command comes to.
pub(crate) type Outcome = Result<Exit, Failure>;

/// One command under way.
#[derive(Debug)]
pub(crate) struct Session {
    /// What every command takes.
    pub options: Options,
    /// Where it prints.
    pub out: Output,
    /// Whether there is somebody to ask.
    pub terminal: bool,
}

impl Session {
    /// A session with these options.
    pub(crate) fn new(options: Options) -> Self {
        let out = Output::standard(options.output);
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        Self { options, out, terminal }
    }

    /// A client of the cluster that the options name. Errors: what is missing or wrong.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let connection = Connection::new(&self.options, clock::now())?;
        let request_id =
            self.options.request_id.unwrap_or_else(|| RequestId(uuid::Uuid::new_v4().as_u128()));
        Client::new(connection, request_id, self.options.timeout)
    }

    /// Makes sure that somebody wants this: by `--yes`, or by asking on a terminal. `action` is such as
    /// `delete service shop`. Errors: nobody says so.
    pub(crate) fn confirm(&self, action: &str) -> Result<(), Failure> {
        if self.options.yes {
            return Ok(());
        }
        if !self.terminal {
            let message = format!(
                "cannot {action}: it needs a confirmation, and there is no terminal to ask on"
            );
            return Err(Failure::usage(message).next("add --yes to the command"));
        }
        let mut answer = String::new();
        let asked = write!(io::stderr(), "{}? type yes: ", capital(action));
        asked.and_then(|()| io::stdin().lock().read_line(&mut answer)).map_err(|error| {
            Failure::error(format!("cannot ask: {error}")).next("add --yes to the command")
        })?;
        if answer.trim() == "yes" {
            Ok(())
        } else {
            Err(Failure::error(format!("did not {action}: not confirmed")))
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
