//! The words of a handover, and how they and descriptors go over a Unix socket.
//!
//! A message is four bytes (version, kind, length of what follows as a big-endian u16) and a body of at most
//! [`MAX_BODY`] bytes; descriptors go beside the four bytes (SCM_RIGHTS), at most [`PAGE`] at a time. The four bytes and the kinds
//! `hello` and `refused` stay as they are in all versions, so that two versions can at least tell each other so.
//!
//! Invariant: any bytes are either one message or an error; descriptors that come with a message that has none are closed.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The version of what is said.
pub(super) const VERSION: u8 = 1;
/// The most bytes of a body.
const MAX_BODY: usize = 1024;
/// The most descriptors of a message; the kernel takes 253.
pub(super) const PAGE: usize = 128;
/// Room for the descriptors of a message.
const SPACE: usize = rustix::cmsg_space!(ScmRights(PAGE));

/// One word of a handover.
#[derive(Debug)]
pub(super) enum Message {
    /// From the starting agent: I want to replace you.
    Hello,
    /// No, and why.
    Refused(String),
    /// Some of the sockets; so many more messages of them follow.
    Sockets { sockets: Vec<OwnedFd>, pages_left: u8 },
    /// The data directory is let go of; the last-known-good file is at this (generation, index), if anything is answered.
    Free(Option<(u64, u64)>),
    /// From the starting agent: I answer.
    Serving,
    /// The data directory is yours.
    Yours,
}

impl Message {
    fn kind(&self) -> u8 {
        match self {
            Self::Hello => 0,
            Self::Refused(_) => 1,
            Self::Sockets { .. } => 2,
            Self::Free(_) => 3,
            Self::Serving => 4,
            Self::Yours => 5,
        }
    }

    fn body(&self) -> Vec<u8> {
        match self {
            Self::Hello | Self::Serving | Self::Yours | Self::Free(None) => Vec::new(),
            Self::Refused(why) => why.as_bytes()[..why.len().min(MAX_BODY)].to_vec(),
            Self::Sockets { pages_left, .. } => vec![*pages_left],
            Self::Free(Some((generation, index))) => {
                [generation.to_be_bytes(), index.to_be_bytes()].concat()
            }
        }
    }

    fn parse(kind: u8, body: &[u8], sockets: Vec<OwnedFd>) -> Option<Self> {
        match (kind, body) {
            (0, []) => Some(Self::Hello),
            (1, why) => Some(Self::Refused(String::from_utf8_lossy(why).into_owned())),
            (2, [pages_left]) => Some(Self::Sockets { sockets, pages_left: *pages_left }),
            (3, []) => Some(Self::Free(None)),
            (3, body) => {
                let (generation, rest) = body.split_first_chunk()?;
                let index = rest.try_into().ok()?;
                Some(Self::Free(Some((u64::from_be_bytes(*generation), u64::from_be_bytes(index)))))
            }
            (4, []) => Some(Self::Serving),
            (5, []) => Some(Self::Yours),
            _ => None,
        }
    }

    /// Sends it.
    pub(super) fn send(&self, mut stream: &UnixStream) -> io::Result<()> {
        let body = self.body();
        // A body has at most MAX_BODY bytes.
        let [high, low] = (body.len() as u16).to_be_bytes();
        let head = [VERSION, self.kind(), high, low];
        let sockets: Vec<BorrowedFd<'_>> = match self {
            Self::Sockets { sockets, .. } => sockets.iter().map(OwnedFd::as_fd).collect(),
            _ => Vec::new(),
        };
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "too many descriptors at a time"));
        }
        let sent = retry_on_intr(|| {
            sendmsg(stream, &[IoSlice::new(&head)], &mut ancillary, SendFlags::NOSIGNAL)
        })?;
        stream.write_all(&head[sent..])?;
        stream.write_all(&body)
    }

    /// Receives the next one; of another version, only what all versions have in common. Errors:
    /// [`ErrorKind::InvalidData`] for what is none.
    pub(super) fn receive(mut stream: &UnixStream) -> io::Result<Self> {
        let mut head = [0; 4];
        let (count, sockets) = receive_head(stream, &mut head)?;
        stream.read_exact(&mut head[count..])?;
        let [version, kind, high, low] = head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > MAX_BODY {
            return Err(invalid("a message that is too long"));
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let message = Self::parse(kind, &body, sockets);
        let message = message.ok_or_else(|| invalid("a message of no known kind"))?;
        if version != VERSION && !matches!(message, Self::Refused(_)) {
            return Err(invalid("a message of another version"));
        }
        Ok(message)
    }
}

fn receive_head(stream: &UnixStream, head: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = retry_on_intr(|| {
        recvmsg(stream, &mut [IoSliceMut::new(head)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    if received.bytes == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let mut sockets = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            sockets.extend(descriptors);
        }
    }
    Ok((received.bytes, sockets))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
