//! Questions over UDP at a fixed rate, answered or not, and how long each answer took.
//!
//! The end of a wait is when the kernel received the reply (`SO_TIMESTAMPNS`), not when this thread came to read it:
//! what else runs on the client's processor is no part of an answer's time. A question that is due while this thread
//! did not run is left out rather than sent in a burst that the server would have to queue.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns,
};
use tokio::time::Instant;

use super::{Question, REPLY, closed};
use crate::wall;

/// How long replies are awaited after the last question.
const LINGER: Duration = Duration::from_millis(500);
/// Ids in use.
const IDS: usize = 1 << 16;

/// What came of paced questions.
#[derive(Debug, Default)]
pub(crate) struct Paced {
    /// Waits for right answers, in microseconds.
    pub waits_us: Vec<f64>,
    /// Replies that are no right answers.
    pub wrong: u64,
    /// Questions without a right answer.
    pub lost: u64,
}

/// A question under way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    question: usize,
    at: Duration,
}

/// Asks `rate` questions per second for this long. Whenever no question is due, `between` is called, which should take
/// no longer than the gap between two.
pub(crate) fn run(
    server: SocketAddr,
    questions: &[Question],
    rate: u32,
    span: Duration,
    mut between: impl FnMut() -> Result<()>,
) -> Result<Paced> {
    let socket = closed::connect(server)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    let mut asked: Vec<Option<Asked>> = vec![None; IDS];
    let mut paced = Paced::default();
    let mut wire = Vec::new();
    let gap = Duration::from_secs(1) / rate.max(1);
    let (began, mut due, mut number) = (Instant::now(), Duration::ZERO, 0_usize);
    loop {
        let elapsed = began.elapsed();
        if elapsed >= span + LINGER {
            break;
        }
        if elapsed >= due && elapsed < span {
            let question = number % questions.len();
            let id = number % IDS;
            wire.clear();
            wire.extend_from_slice(&questions[question].wire);
            wire[..2].copy_from_slice(&(id as u16).to_be_bytes());
            let at = wall::now();
            socket.send(&wire)?;
            paced.lost += u64::from(asked[id].replace(Asked { question, at }).is_some());
            number += 1;
            due = (due + gap).max(elapsed);
        }
        while receive(&socket, questions, &mut asked, &mut paced)? {}
        between()?;
    }
    paced.lost += asked.iter().flatten().count() as u64;
    Ok(paced)
}

/// Takes one reply; false where none waits.
fn receive(
    socket: &UdpSocket,
    questions: &[Question],
    asked: &mut [Option<Asked>],
    paced: &mut Paced,
) -> Result<bool> {
    let mut reply = [0; REPLY];
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let mut vectors = [IoSliceMut::new(&mut reply)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut vectors, Some(&mut control), MsgFlags::MSG_DONTWAIT);
    let (length, received) = match message {
        Ok(message) => {
            let stamp = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
                _ => None,
            });
            (message.bytes, stamp)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let id = reply[..length].first_chunk().copied().map_or(0, u16::from_be_bytes);
    let Some(one) = asked[usize::from(id)].take() else { return Ok(true) };
    match received {
        Some(received) if questions[one.question].is_answered_by(id, &reply[..length]) => {
            paced.waits_us.push(received.saturating_sub(one.at).as_secs_f64() * 1e6);
        }
        _ => paced.wrong += 1,
    }
    Ok(true)
}
