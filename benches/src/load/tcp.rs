//! Closed loop over TCP: some connections that stay open, one question under way on each.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;

use super::{Outcome, Question, REPLY};

/// Connections; every server takes so many from one address.
const CONNECTIONS: usize = 32;
/// How long a look for replies waits.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

struct Connection {
    stream: TcpStream,
    question: usize,
    id: u16,
    /// What has been read of a reply with its length.
    read: Vec<u8>,
}

/// Asks these questions, over and over, for this long. Errors: a server that closes a connection.
pub(crate) fn run(server: SocketAddr, questions: &[Question], span: Duration) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut next = 0;
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        let stream = TcpStream::connect_timeout(&server, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut one = Connection { stream, question: 0, id: number as u16, read: Vec::new() };
        one.ask(questions, &mut next)?;
        connections.push(one);
    }
    let began = Instant::now();
    while began.elapsed() < span {
        let mut waited: Vec<PollFd<'_>> = connections
            .iter()
            .map(|one| PollFd::from_borrowed_fd(one.stream.as_fd(), PollFlags::IN))
            .collect();
        // An interrupted wait ends in another look.
        let _ = poll(&mut waited, Some(&LOOK));
        let ready: Vec<bool> = waited.iter().map(|one| !one.revents().is_empty()).collect();
        for (one, _) in connections.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            one.take(questions, &mut outcome)?;
            if one.read.is_empty() {
                one.ask(questions, &mut next)?;
            }
        }
    }
    outcome.span = began.elapsed();
    Ok(outcome)
}

impl Connection {
    /// Sends the next question; a message is far smaller than the room of an idle connection.
    fn ask(&mut self, questions: &[Question], next: &mut usize) -> Result<()> {
        self.question = *next;
        *next = (*next + 1) % questions.len();
        self.id = self.id.wrapping_add(0x100);
        let wire = &questions[self.question].wire;
        let mut framed = Vec::with_capacity(wire.len() + 2);
        framed.extend_from_slice(&u16::try_from(wire.len())?.to_be_bytes());
        framed.extend_from_slice(wire);
        framed[2..4].copy_from_slice(&self.id.to_be_bytes());
        Ok(self.stream.write_all(&framed)?)
    }

    /// Reads what is there; `read` is empty again once the reply is whole.
    fn take(&mut self, questions: &[Question], outcome: &mut Outcome) -> Result<()> {
        let mut buffer = [0; REPLY];
        match self.stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed a connection after {} answers", outcome.answered),
            Ok(count) => self.read.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let Some((length, reply)) = self.read.split_first_chunk() else { return Ok(()) };
        if reply.len() < usize::from(u16::from_be_bytes(*length)) {
            return Ok(());
        }
        if questions[self.question].is_answered_by(self.id, reply) {
            outcome.answered += 1;
        } else {
            outcome.wrong += 1;
        }
        self.read.clear();
        Ok(())
    }
}
