//! The side of the agent that runs: listens for one that wants its place, gives the sockets, then the data directory.
//!
//! One is heard at a time; another waits. Who is neither root nor this agent's user is not heard at all, whatever the
//! mode of the socket's file. An agent whose data directory takes no socket runs and cannot be replaced.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::message::{Message, PAGE};
use super::{HandoverError, Waits, socket_in};

/// The pause after an error of the listener itself, which would otherwise repeat without end.
const ERROR_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// Where an agent can be asked for its place; its file goes with it.
#[derive(Debug)]
pub(crate) struct Station {
    listener: UnixListener,
    path: PathBuf,
    waits: Waits,
}

impl Drop for Station {
    fn drop(&mut self) {
        // A file that stays behind answers nobody and is replaced by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl Station {
    /// Listens in the data directory. Errors: it takes no socket.
    pub(crate) fn open(data_dir: &Path, waits: Waits) -> io::Result<Self> {
        let path = socket_in(data_dir);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        let station = Self { listener, path, waits };
        fs::set_permissions(&station.path, fs::Permissions::from_mode(0o600))?;
        Ok(station)
    }

    /// Waits for an agent that wants this one's place and gives it `sockets`. What fails is logged, and the next one is
    /// waited for.
    pub(crate) async fn next(&self, sockets: impl Fn() -> io::Result<Vec<OwnedFd>>) -> Successor {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "nobody can ask for this agent's place");
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                }
            };
            match self.greet(stream, &sockets).await {
                Ok(Some(successor)) => return successor,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a process that asked for this agent's place does not get it")
                }
            }
        }
    }

    async fn greet(
        &self,
        stream: tokio::net::UnixStream,
        sockets: &impl Fn() -> io::Result<Vec<OwnedFd>>,
    ) -> Result<Option<Successor>, HandoverError> {
        let step = "greeting";
        let broken = |source| HandoverError::Broken { step, source };
        let uid = stream.peer_cred().map_err(broken)?.uid();
        if uid != 0 && uid != rustix::process::geteuid().as_raw() {
            return Err(HandoverError::Stranger { uid });
        }
        let stream = stream.into_std().map_err(broken)?;
        stream.set_nonblocking(false).map_err(broken)?;
        stream.set_write_timeout(Some(self.waits.greeting)).map_err(broken)?;
        let successor = Successor { stream, waits: self.waits };
        let hello = successor.receive(step, self.waits.greeting).await;
        match hello {
            Ok(Message::Hello) => {}
            // It only looked whether an agent runs.
            Err(HandoverError::Broken { .. }) => return Ok(None),
            Ok(_) | Err(HandoverError::Unexpected { .. }) => {
                let why = "it speaks another version of the handover; stop it and start without `--replace`";
                successor.refuse(why.to_owned()).await;
                return Err(HandoverError::Unexpected { step });
            }
            Err(error) => return Err(error),
        }
        successor.give(sockets().map_err(broken)?).await?;
        Ok(Some(successor))
    }
}

/// An agent that starts, and holds the sockets.
#[derive(Debug)]
pub(crate) struct Successor {
    stream: UnixStream,
    waits: Waits,
}

impl Successor {
    async fn give(&self, mut sockets: Vec<OwnedFd>) -> Result<(), HandoverError> {
        let mut pages = sockets.len().div_ceil(PAGE).max(1);
        while pages > 0 {
            pages -= 1;
            let rest = sockets.split_off(sockets.len().min(PAGE));
            let page = std::mem::replace(&mut sockets, rest);
            // At most 64 addresses of each transport and 64 threads.
            let pages_left = u8::try_from(pages).unwrap_or(u8::MAX);
            self.send("giving the sockets", Message::Sockets { sockets: page, pages_left }).await?;
        }
        Ok(())
    }

    /// Says why it does not get the place. What fails is of no consequence.
    pub(crate) async fn refuse(self, why: String) {
        let _ = self.send("refusing", Message::Refused(why)).await;
    }

    /// Says that the data directory is let go of and waits until the sockets are answered. Errors: this agent goes on.
    pub(crate) async fn succeed(&self, at: Option<(u64, u64)>) -> Result<(), HandoverError> {
        self.send("giving the data directory up", Message::Free(at)).await?;
        let step = "waiting until the starting agent answers";
        match self.receive(step, self.waits.serving).await? {
            Message::Serving => Ok(()),
            _ => Err(HandoverError::Unexpected { step }),
        }
    }

    /// Gives the data directory. Errors: the other side is gone, and this agent goes on.
    pub(crate) async fn give_place(self) -> Result<(), HandoverError> {
        self.send("giving the place", Message::Yours).await
    }

    async fn send(&self, step: &'static str, message: Message) -> Result<(), HandoverError> {
        let stream = self.clone_stream(step)?;
        let sent = tokio::task::spawn_blocking(move || message.send(&stream)).await;
        let sent = sent.expect("sending does not panic");
        sent.map_err(|error| told(step, error, self.waits.greeting))
    }

    async fn receive(
        &self,
        step: &'static str,
        wait: std::time::Duration,
    ) -> Result<Message, HandoverError> {
        let stream = self.clone_stream(step)?;
        let receive =
            move || stream.set_read_timeout(Some(wait)).and_then(|()| Message::receive(&stream));
        let received = tokio::task::spawn_blocking(receive).await;
        received.expect("receiving does not panic").map_err(|error| told(step, error, wait))
    }

    fn clone_stream(&self, step: &'static str) -> Result<UnixStream, HandoverError> {
        self.stream.try_clone().map_err(|source| HandoverError::Broken { step, source })
    }
}

fn told(step: &'static str, source: io::Error, waited: std::time::Duration) -> HandoverError {
    match source.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => HandoverError::Silent { step, waited },
        ErrorKind::InvalidData => HandoverError::Unexpected { step },
        _ => HandoverError::Broken { step, source },
    }
}
