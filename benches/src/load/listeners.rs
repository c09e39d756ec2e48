//! TCP listeners that are probed: each connection is taken and closed, nothing is read.
//!
//! They are served by a generator between its questions. A process of its own would run on the server's processor, and
//! be laid to the server's charge, or on the generator's, and come between a question's time stamp and its sending.
//! Until a connection is taken it waits in the kernel, which completes it as soon as it comes.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use socket2::{Domain, Socket, Type};

use crate::port;

/// Addresses that they are on. Each has local ports of its own, which stay taken for a minute after a connection.
const ADDRESSES: u8 = 32;
/// Connections that may wait at each; Linux takes no more by default.
const BACKLOG: i32 = 4096;

/// Listeners on loopback addresses of one port.
#[derive(Debug)]
pub(crate) struct Listeners {
    all: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    /// Counts the looks: each is at the next listener.
    looks: AtomicUsize,
    taken: AtomicU64,
}

impl Listeners {
    /// Listens.
    pub(crate) fn open() -> Result<Self> {
        let hosts: Vec<Ipv4Addr> =
            (1..=ADDRESSES).map(|host| Ipv4Addr::new(127, 3, 0, host)).collect();
        let port = port::common(&hosts)?;
        let addresses: Vec<SocketAddr> =
            hosts.into_iter().map(|host| SocketAddr::from((host, port))).collect();
        let all = addresses.iter().map(|address| listen(*address)).collect::<Result<_>>()?;
        Ok(Self { all, addresses, looks: AtomicUsize::new(0), taken: AtomicU64::new(0) })
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connections taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes one connection where one waits at the listener whose turn it is.
    pub(crate) fn look(&self) -> Result<()> {
        let turn = self.looks.fetch_add(1, Ordering::Relaxed) % self.all.len();
        self.take(&self.all[turn]).map(drop)
    }

    /// Takes every connection that waits; returns how many there were.
    pub(crate) fn drain(&self) -> Result<u64> {
        let before = self.taken();
        for listener in &self.all {
            while self.take(listener)? {}
        }
        Ok(self.taken() - before)
    }

    /// Takes a connection; false where none waits.
    fn take(&self, listener: &TcpListener) -> Result<bool> {
        match listener.accept() {
            Ok(_) => {
                self.taken.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            // The other side was gone before, or a signal came: there may be more.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                ) =>
            {
                Ok(true)
            }
            Err(error) => Err(error).context("cannot take a probe's connection"),
        }
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&address.into()).with_context(|| format!("cannot listen on {address}"))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn connections_are_taken_in_turn_and_counted_once() {
        let listeners = Listeners::open().expect("free ports");
        let connect = |place: usize| {
            TcpStream::connect(listeners.addresses()[place]).expect("it listens");
        };
        assert_eq!(listeners.drain().expect("it looks"), 0);
        [0, 0, 1, 31].into_iter().for_each(connect);
        for _ in 0..ADDRESSES {
            listeners.look().expect("it looks");
        }
        assert_eq!(listeners.taken(), 3, "one a look: the second at the first listener waits");
        assert_eq!((listeners.drain().expect("it looks"), listeners.taken()), (1, 4));
    }
}
