//! Closed loop over UDP: a fixed number of questions under way, each answer followed by the next question at once.
//!
//! Many datagrams go through one system call in both directions, which puts the generator well above the quarter of a
//! million questions per second where dnsperf ends. A question without a reply for [`PATIENCE`] is lost and asked anew
//! under another id, so that a late reply is not taken for the new one.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};
use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg};
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use super::{Outcome, Question, REPLY};

/// Questions under way.
const WINDOW: usize = 256;
/// Datagrams per system call at the most.
const BATCH: usize = 64;
/// A reply that takes longer is lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a look for replies waits for the first one.
const LOOK: Duration = Duration::from_millis(50);
/// What is asked of the kernel for datagrams that wait.
const BUFFER: usize = 4 << 20;

/// A question under way; its place among its kind is the low byte of its id.
#[derive(Debug, Clone, Copy)]
struct Slot {
    question: usize,
    id: u16,
    asked: Instant,
}

struct Loop<'a> {
    socket: UdpSocket,
    questions: &'a [Question],
    next: usize,
    slots: Vec<Slot>,
    /// Places whose questions are to be sent.
    idle: Vec<usize>,
    outgoing: Vec<Vec<u8>>,
    incoming: Vec<[u8; REPLY]>,
    outcome: Outcome,
}

/// Asks these questions, over and over, for this long.
pub(crate) fn run(server: SocketAddr, questions: &[Question], span: Duration) -> Result<Outcome> {
    let began = Instant::now();
    let mut load = Loop::new(connect(server)?, questions, began);
    let mut send = MultiHeaders::<()>::preallocate(BATCH, None);
    let mut receive = MultiHeaders::<()>::preallocate(BATCH, None);
    let mut swept = began;
    loop {
        let now = Instant::now();
        if now - began >= span {
            load.outcome.span = now - began;
            return Ok(load.outcome);
        }
        load.ask(&mut send, now)?;
        load.take_replies(&mut receive)?;
        if now - swept >= LOOK {
            load.sweep(now);
            swept = now;
        }
    }
}

/// A socket that hears of one server only.
pub(super) fn connect(server: SocketAddr) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    socket.connect(&server.into())?;
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(LOOK))?;
    Ok(socket)
}

impl<'a> Loop<'a> {
    fn new(socket: UdpSocket, questions: &'a [Question], now: Instant) -> Self {
        let slot = |place: usize| Slot { question: 0, id: place as u16, asked: now };
        Self {
            socket,
            questions,
            next: 0,
            slots: (0..WINDOW).map(slot).collect(),
            idle: (0..WINDOW).collect(),
            outgoing: vec![Vec::new(); BATCH],
            incoming: vec![[0; REPLY]; BATCH],
            outcome: Outcome::default(),
        }
    }

    /// Sends the questions of all idle places.
    fn ask(&mut self, headers: &mut MultiHeaders<()>, now: Instant) -> Result<()> {
        while !self.idle.is_empty() {
            let count = self.idle.len().min(BATCH);
            let from = self.idle.len() - count;
            for (place, wire) in self.idle[from..].iter().zip(&mut self.outgoing) {
                let slot = &mut self.slots[*place];
                // The high byte is another one each time.
                *slot = Slot { question: self.next, id: slot.id.wrapping_add(0x100), asked: now };
                wire.clear();
                wire.extend_from_slice(&self.questions[self.next].wire);
                wire[..2].copy_from_slice(&slot.id.to_be_bytes());
                self.next = (self.next + 1) % self.questions.len();
            }
            self.idle.truncate(from);
            send_all(self.socket.as_raw_fd(), headers, &self.outgoing[..count])?;
        }
        Ok(())
    }

    /// Waits for replies and takes those that are there.
    fn take_replies(&mut self, headers: &mut MultiHeaders<()>) -> Result<()> {
        let mut lengths = [0; BATCH];
        let mut buffers: Vec<[IoSliceMut<'_>; 1]> =
            self.incoming.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let received = recvmmsg(
            self.socket.as_raw_fd(),
            headers,
            buffers.iter_mut(),
            MsgFlags::MSG_WAITFORONE,
            None,
        );
        let count = match received {
            Ok(messages) => {
                messages.zip(&mut lengths).map(|(message, length)| *length = message.bytes).count()
            }
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for (place, length) in lengths[..count].iter().enumerate() {
            self.take(place, *length);
        }
        Ok(())
    }

    fn take(&mut self, buffer: usize, length: usize) {
        let reply = &self.incoming[buffer][..length];
        let Some(id) = reply.first_chunk().copied().map(u16::from_be_bytes) else {
            self.outcome.wrong += 1;
            return;
        };
        let place = usize::from(id) % WINDOW;
        let slot = self.slots[place];
        if slot.id != id {
            return;
        }
        if self.questions[slot.question].is_answered_by(id, reply) {
            self.outcome.answered += 1;
        } else {
            self.outcome.wrong += 1;
        }
        self.slots[place].id = id.wrapping_add(0x100);
        self.idle.push(place);
    }

    /// Gives up questions that took too long.
    fn sweep(&mut self, now: Instant) {
        let idle: std::collections::BTreeSet<usize> = self.idle.iter().copied().collect();
        for (place, slot) in self.slots.iter().enumerate() {
            if !idle.contains(&place) && now - slot.asked >= PATIENCE {
                self.outcome.lost += 1;
                self.idle.push(place);
            }
        }
    }
}

/// Sends all of these, waiting for room where there is none.
fn send_all(socket: RawFd, headers: &mut MultiHeaders<()>, wires: &[Vec<u8>]) -> Result<()> {
    let slices: Vec<[IoSlice<'_>; 1]> = wires.iter().map(|wire| [IoSlice::new(wire)]).collect();
    let nobody = [None; BATCH];
    let mut sent = 0;
    while sent < slices.len() {
        let left = &slices[sent..];
        match sendmmsg(socket, headers, left, &nobody[..left.len()], [], MsgFlags::empty()) {
            Ok(messages) => sent += messages.count(),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
