//! Who may connect: a bounded number in all and per address, and nobody who says nothing.
//!
//! ```text
//! accept ─▶ room in all and for the address? ──no──▶ closed at once
//!                        └─yes─▶ a place, held until the connection ends or has been silent for too long
//! ```
//!
//! The last places are for this machine alone: whoever fills all others, its operator still gets in.
//!
//! A connection that is well is never silent for long, because the server pings it; so silence alone tells a peer that
//! is gone, a TCP connection that was opened to hold a place, and a peer that speaks no HTTP/2. The TLS handshake has a
//! limit of its own, in `wire`.
//!
//! An `accept` that fails for want of descriptors is tried again with back-off: the pending connection keeps the
//! listener readable, and a loop without a pause would take a whole core.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::metrics::{CONNECTIONS, CONNECTIONS_CLOSED};

/// How long a new connection may say nothing.
const FIRST_WORD: Duration = Duration::from_secs(5);
/// How long any connection may say nothing: longer than the pings of the server and the time to answer one.
pub(crate) const SILENCE: Duration = Duration::from_secs(45);
/// The first pause after a failed accept; doubled with each more.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause after failed accepts.
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// How many connections are open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all.
    pub total: usize,
    /// Of these, places that only this machine itself is given.
    pub local: usize,
    /// From one IPv4 address or one IPv6 /64, which is what one host is given.
    pub per_address: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: 4096, local: 64, per_address: 1024 }
    }
}

/// Counts who is in.
#[derive(Debug)]
pub(crate) struct Door {
    limits: ConnectionLimits,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
struct Place {
    door: Arc<Door>,
    address: IpAddr,
}

impl Door {
    pub(crate) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, inside: Mutex::default() })
    }

    /// A place for a connection from one address to another, ours. Errors: which limit is reached.
    fn admit(self: &Arc<Self>, from: IpAddr, to: IpAddr) -> Result<Place, &'static str> {
        let (kept, address) = if is_local(from, to) {
            (0, from.to_canonical())
        } else {
            (self.limits.local, host_of(from))
        };
        let mut inside = self.lock();
        if inside.total >= self.limits.total.saturating_sub(kept) {
            return Err("total");
        }
        let here = inside.by_address.entry(address).or_default();
        if *here >= self.limits.per_address {
            return Err("address");
        }
        *here += 1;
        inside.total += 1;
        show(inside.total);
        Ok(Place { door: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.door.lock();
        inside.total -= 1;
        show(inside.total);
        if let Some(here) = inside.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                inside.by_address.remove(&self.address);
            }
        }
    }
}

fn show(total: usize) {
    metrics::gauge!(CONNECTIONS).set(f64::from(u32::try_from(total).unwrap_or(u32::MAX)));
}

/// Whether the connection comes from this machine: nobody else completes a handshake from such an address.
fn is_local(from: IpAddr, to: IpAddr) -> bool {
    from.to_canonical().is_loopback() || from == to
}

/// What one host is known by.
fn host_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

/// The connections that find room, without end.
pub(crate) fn incoming(
    listener: TcpListener,
    door: Arc<Door>,
) -> impl Stream<Item = io::Result<Connection>> {
    futures_util::stream::unfold((listener, door), |(listener, door)| async {
        let connection = next(&listener, &door).await;
        Some((Ok(connection), (listener, door)))
    })
}

async fn next(listener: &TcpListener, door: &Arc<Door>) -> Connection {
    let mut pause = FIRST_PAUSE;
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                pause = FIRST_PAUSE;
                let to =
                    stream.local_addr().map_or(IpAddr::from(Ipv6Addr::UNSPECIFIED), |to| to.ip());
                match door.admit(from.ip(), to) {
                    Ok(place) => return Connection::new(stream, place),
                    Err(limit) => {
                        metrics::counter!(CONNECTIONS_CLOSED, "limit" => limit).increment(1);
                        tracing::debug!(%from, limit, "a connection found no room");
                    }
                }
            }
            Err(error) if gone(&error) => {}
            Err(error) => {
                tracing::warn!(%error, ?pause, "the API accepts no connection; are there descriptors left?");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

/// Whether the error is about the connection that was to be accepted, which is gone.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

/// A connection that holds a place, and fails when it has been silent for too long.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    heard: Option<Instant>,
    /// When to look at the silence again; bytes do not move it, so that they cost nothing.
    look: Pin<Box<Sleep>>,
    _place: Place,
}

impl Connection {
    fn new(stream: TcpStream, place: Place) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays with delays");
        }
        let look = Box::pin(tokio::time::sleep(FIRST_WORD));
        Self { stream, heard: None, look, _place: place }
    }

    /// Fails when the peer has been silent for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.look.as_mut().poll(context));
            let until = self.heard.map(|heard| heard + SILENCE);
            match until.filter(|until| *until > Instant::now()) {
                Some(until) => self.look.as_mut().reset(until),
                None => {
                    metrics::counter!(CONNECTIONS_CLOSED, "limit" => "silence").increment(1);
                    return Poll::Ready(io::Error::new(ErrorKind::TimedOut, "the peer is silent"));
                }
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                this.heard = Some(Instant::now());
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_silence(context).map(Err),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x99));

    #[test]
    fn the_last_places_are_for_this_machine() {
        let door = Door::new(ConnectionLimits { total: 5, local: 3, per_address: 2 });
        let admit = |text: &str| door.admit(text.parse().expect("an address"), OURS);
        let others = ["2001:db8::1", "2001:db8::2"].map(|from| admit(from).expect("there is room"));
        assert_eq!(admit("192.0.2.3").err(), Some("total"));
        let own = ["127.0.0.1", "::1", "2001:db8::99"].map(|from| admit(from).expect("it is kept"));
        assert_eq!(admit("127.0.0.1").err(), Some("total"));
        drop(others);
        assert_eq!(admit("192.0.2.3").err(), Some("total"), "what this machine holds counts");
        drop(own);
        admit("192.0.2.3").expect("there is room");
    }

    #[test]
    fn places_are_counted_by_host_and_given_back() {
        let door = Door::new(ConnectionLimits { total: 3, local: 0, per_address: 2 });
        let admit = |text: &str| door.admit(text.parse().expect("an address"), OURS);
        let first = admit("192.0.2.1").expect("there is room");
        let mapped = admit("::ffff:192.0.2.1").expect("there is room");
        assert_eq!(
            admit("192.0.2.1").err(),
            Some("address"),
            "the mapped address is the same host"
        );
        let other = admit("2001:db8::1").expect("there is room");
        assert_eq!(admit("2001:db8::2").err(), Some("total"));
        drop(first);
        let neighbour = admit("2001:db8::2").expect("a place was given back");
        drop(mapped);
        assert_eq!(admit("2001:db8::3").err(), Some("address"), "one /64 is one host");
        drop((other, neighbour));
        let inside = door.lock();
        assert_eq!((inside.total, inside.by_address.len()), (0, 0));
    }
}
