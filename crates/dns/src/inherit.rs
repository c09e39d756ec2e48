//! Sockets that outlive a process: what a server gives to the one that replaces it, and what that one takes.
//!
//! Both hold the very same sockets, so a datagram that waits, or a connection that was not yet accepted, is read by
//! whichever looks first and never lost. What a descriptor is, its receiver reads from the descriptor itself, not from
//! what it was told: a socket that is none of DNS's is closed unused.
//!
//! Invariant: a server that was given sockets answers from nothing older than the one that gave them. How descriptors
//! go from one process to another is not decided here.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::{Socket, Type};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bind::Bound;
use crate::config::DnsError;
use crate::encrypted::Encrypted;
use crate::publish::{AnswersSource, Position};

/// Sockets of a running server, by their addresses.
#[derive(Debug, Default)]
pub struct Inherited {
    listeners: Vec<(SocketAddr, TcpListener)>,
    datagrams: Vec<(SocketAddr, UdpSocket)>,
    at: Option<(u64, u64)>,
}

impl Inherited {
    /// What of these descriptors is a bound UDP socket or a TCP listener; `at` is the (generation, index) of the view
    /// from which their server answers.
    pub fn new(descriptors: Vec<OwnedFd>, at: Option<(u64, u64)>) -> Self {
        let mut inherited = Self { at, ..Self::default() };
        for descriptor in descriptors {
            if let Err(error) = inherited.take(descriptor.into()) {
                tracing::warn!(%error, "a descriptor that was given is no socket of DNS and is closed");
            }
        }
        inherited
    }

    fn take(&mut self, socket: Socket) -> io::Result<()> {
        let address = socket.local_addr()?.as_socket();
        let address = address.filter(|address| address.port() != 0);
        let address = address.ok_or_else(|| io::Error::other("it has no internet address"))?;
        socket.set_nonblocking(true)?;
        if socket.r#type()? == Type::DGRAM {
            self.datagrams.push((address, socket.into()));
        } else if socket.is_listener()? {
            self.listeners.push((address, socket.into()));
        } else {
            return Err(io::Error::other("it does not listen"));
        }
        Ok(())
    }

    /// The listener of an address.
    pub(crate) fn listener(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let place = self.listeners.iter().position(|(at, _)| *at == address)?;
        Some(self.listeners.swap_remove(place).1)
    }

    /// All UDP sockets of an address.
    pub(crate) fn datagrams(&mut self, address: SocketAddr) -> Vec<UdpSocket> {
        self.datagrams.extract_if(.., |(at, _)| *at == address).map(|(_, socket)| socket).collect()
    }

    /// Says whether answers from `source` would go back.
    pub(crate) fn check(&self, source: &AnswersSource) -> Result<(), DnsError> {
        let here = source.current().map(|current| place(current.position()));
        if here >= self.at {
            return Ok(());
        }
        let found =
            here.map_or_else(|| "no view".to_owned(), |(_, index)| format!("index {index}"));
        Err(DnsError::WouldGoBack { found, expected: self.at.map_or(0, |(_, index)| index) })
    }
}

fn place(position: Position) -> (u64, u64) {
    (position.generation, position.index)
}

/// What a server keeps for one that replaces it.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Empty once the server stops: a socket that is not read must not be kept open.
    sockets: Arc<Mutex<Vec<OwnedFd>>>,
    source: AnswersSource,
    written: Option<watch::Receiver<Option<Position>>>,
}

impl Kept {
    /// Takes more descriptors of these sockets. Errors: there are none left.
    pub(crate) fn of(
        bound: &[Bound],
        encrypted: Option<&Encrypted>,
        source: &AnswersSource,
    ) -> io::Result<Self> {
        let mut sockets = encrypted.map(Encrypted::duplicates).transpose()?.unwrap_or_default();
        for bound in bound {
            sockets.push(bound.tcp.as_fd().try_clone_to_owned()?);
            for udp in &bound.udp {
                sockets.push(udp.as_fd().try_clone_to_owned()?);
            }
        }
        let sockets = Arc::new(Mutex::new(sockets));
        Ok(Self { sockets, source: source.clone(), written: None })
    }

    /// Learns from `written` what is in the last-known-good file.
    pub(crate) fn follow(&mut self, written: watch::Receiver<Option<Position>>) {
        self.written = Some(written);
    }

    /// Closes the descriptors at `shutdown`.
    pub(crate) async fn close(self, shutdown: CancellationToken) {
        shutdown.cancelled().await;
        drop(std::mem::take(&mut *self.lock()));
    }

    pub(crate) fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        self.lock().iter().map(OwnedFd::try_clone).collect()
    }

    pub(crate) async fn on_disk(&self) -> Option<(u64, u64)> {
        let current = self.source.current()?.position();
        if let Some(mut written) = self.written.clone().filter(|_| current.live) {
            // An error means that the writer has ended, and that it wrote what it could.
            let _ = written.wait_for(|written| *written >= Some(current)).await;
        }
        Some(place(current))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;
    use crate::publish::channel;

    #[test]
    fn sockets_are_known_by_what_they_are() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let tcp = listener.local_addr().expect("bound");
        let client = TcpStream::connect(tcp).expect("connects");
        let other = client.local_addr().expect("bound");
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let at = udp.local_addr().expect("bound");
        let again = udp.try_clone().expect("a descriptor");
        let file = File::open("/dev/null").expect("opens");
        let all = vec![file.into(), client.into(), udp.into(), listener.into(), again.into()];
        let mut inherited = Inherited::new(all, None);
        assert!(inherited.listener(other).is_none(), "a connection is no listener");
        assert!(inherited.listener(at).is_none() && inherited.datagrams(tcp).is_empty());
        assert_eq!(inherited.datagrams(at).len(), 2, "each socket of the address");
        assert!(inherited.listener(tcp).is_some() && inherited.listener(tcp).is_none());
    }

    #[test]
    fn answers_do_not_go_back() {
        let (publisher, source) = channel();
        let given = |at| Inherited::new(Vec::new(), at);
        assert!(given(None).check(&source).is_ok());
        assert!(given(Some((0, 1))).check(&source).is_err(), "nothing is served here");
        let answers = holdfast_core::view::Answers { index: 5, ..Default::default() };
        publisher.publish(Arc::new(answers));
        assert!(given(Some((0, 5))).check(&source).is_ok());
        let error = given(Some((0, 6))).check(&source).expect_err("older").to_string();
        assert!(error.contains("index 5") && error.contains("index 6"), "{error}");
        assert!(given(Some((1, 0))).check(&source).is_err(), "an earlier generation");
    }
}
