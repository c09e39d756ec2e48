//! The side of the agent that starts: finds the one that runs, takes its sockets, and then its place.
//!
//! Each step consumes the one before, so the data directory cannot be asked for before DNS is answered. Dropping any of
//! them tells the running agent to go on. Whoever is not this user, root or the account that the agent will run as is
//! not listened to.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::message::{Message, PAGE};
use super::{HandoverError, Waits, socket_in};

/// The most descriptors that are taken: more than a server of the most addresses and threads has.
const MAX_SOCKETS: usize = 64 * PAGE;

/// A connection to the agent that runs with this data directory; `None` where none does.
pub(crate) fn running(data_dir: &Path) -> Option<UnixStream> {
    UnixStream::connect(socket_in(data_dir)).ok()
}

/// The agent that ran, from the moment at which it let go of the data directory.
#[derive(Debug)]
pub(crate) struct Predecessor {
    stream: UnixStream,
    waits: Waits,
}

/// What it gave.
pub(crate) type Given = (Vec<OwnedFd>, Option<(u64, u64)>);

impl Predecessor {
    /// Asks for the sockets and waits until the data directory is let go of; `trusted` are the user ids that may be at
    /// the other end. Errors: the agent goes on.
    pub(crate) async fn ask(
        stream: UnixStream,
        trusted: Vec<u32>,
        waits: Waits,
    ) -> Result<(Self, Given), HandoverError> {
        let asking = move || {
            let given = ask(&stream, &trusted, waits)?;
            Ok((Self { stream, waits }, given))
        };
        tokio::task::spawn_blocking(asking).await.expect("asking does not panic")
    }

    /// Says that DNS is answered and waits for the data directory. Errors: the other agent goes on, and this one must
    /// end without a look at the data directory.
    pub(crate) async fn take_over(self) -> Result<(), HandoverError> {
        let step = "taking over";
        let taking = move || {
            Message::Serving.send(&self.stream).map_err(|error| broken(step, error, self.waits))?;
            match expect(&self.stream, step, self.waits)? {
                Message::Yours => Ok(()),
                _ => Err(HandoverError::Unexpected { step }),
            }
        };
        tokio::task::spawn_blocking(taking).await.expect("taking over does not panic")
    }
}

fn ask(stream: &UnixStream, trusted: &[u32], waits: Waits) -> Result<Given, HandoverError> {
    let step = "asking for the sockets";
    let uid = rustix::net::sockopt::socket_peercred(stream)
        .map_err(|error| HandoverError::Broken { step, source: error.into() })?
        .uid
        .as_raw();
    if !trusted.contains(&uid) {
        return Err(HandoverError::Stranger { uid });
    }
    Message::Hello.send(stream).map_err(|error| broken(step, error, waits))?;
    let mut all = Vec::new();
    loop {
        let Message::Sockets { sockets, pages_left } = expect(stream, step, waits)? else {
            return Err(HandoverError::Unexpected { step });
        };
        all.extend(sockets);
        if all.len() > MAX_SOCKETS {
            return Err(HandoverError::Unexpected { step });
        }
        if pages_left == 0 {
            break;
        }
    }
    let step = "waiting until the running agent has stopped all but DNS";
    let waits = Waits { greeting: waits.free, ..waits };
    match expect(stream, step, waits)? {
        Message::Free(at) => Ok((all, at)),
        _ => Err(HandoverError::Unexpected { step }),
    }
}

fn expect(stream: &UnixStream, step: &'static str, waits: Waits) -> Result<Message, HandoverError> {
    let received =
        stream.set_read_timeout(Some(waits.greeting)).and_then(|()| Message::receive(stream));
    match received.map_err(|error| broken(step, error, waits))? {
        Message::Refused(why) => Err(HandoverError::Refused(why)),
        message => Ok(message),
    }
}

fn broken(step: &'static str, source: io::Error, waits: Waits) -> HandoverError {
    match source.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            HandoverError::Silent { step, waited: waits.greeting }
        }
        ErrorKind::InvalidData => HandoverError::Unexpected { step },
        _ => HandoverError::Broken { step, source },
    }
}
