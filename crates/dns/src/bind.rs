//! Opens the sockets: for each address one TCP listener, and one UDP socket per thread.
//!
//! TCP comes first and is exclusive, so that a port in use shows as an error even where the UDP sockets share theirs
//! (`SO_REUSEPORT`). With port 0 the port that TCP was given is tried for UDP, and another one if that is taken.
//!
//! Sockets that a running server gave are taken before any is opened. All UDP sockets of an address are, whatever the
//! number of threads: the kernel goes on to give each its share of the datagrams.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::config::DnsError;
use crate::inherit::Inherited;
use crate::respond::Transport;
use crate::udp_socket;

/// How many connections wait to be accepted.
const BACKLOG: i32 = 1024;
/// How many ports are tried for port 0.
const PORT_ATTEMPTS: usize = 32;

/// The sockets of one address.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) address: SocketAddr,
    pub(crate) tcp: TcpListener,
    pub(crate) udp: Vec<UdpSocket>,
}

/// Takes or opens one listener.
pub(crate) fn bind_listener(
    address: SocketAddr,
    transport: Transport,
    inherited: &mut Inherited,
) -> Result<TcpListener, DnsError> {
    if let Some(listener) = inherited.listener(address) {
        return Ok(listener);
    }
    open_tcp(address).map_err(|error| refused(address, transport, error))
}

/// Takes or opens one socket for datagrams.
pub(crate) fn bind_datagrams(
    address: SocketAddr,
    transport: Transport,
    inherited: &mut Inherited,
) -> Result<UdpSocket, DnsError> {
    if let Some(socket) = inherited.datagrams(address).into_iter().next() {
        return Ok(socket);
    }
    open_udp(address, false).map_err(|error| refused(address, transport, error))
}

/// Takes the sockets of one address, and opens those that were not given; `udp_sockets` is at least 1 and counts only
/// where none was given.
pub(crate) fn bind(
    address: SocketAddr,
    udp_sockets: usize,
    inherited: &mut Inherited,
) -> Result<Bound, DnsError> {
    let mut attempt = 1;
    loop {
        match bind_once(address, udp_sockets, inherited) {
            Err(DnsError::InUse { .. }) if address.port() == 0 && attempt < PORT_ATTEMPTS => {
                attempt += 1
            }
            done => return done,
        }
    }
}

fn bind_once(
    address: SocketAddr,
    udp_sockets: usize,
    inherited: &mut Inherited,
) -> Result<Bound, DnsError> {
    let tcp = bind_listener(address, Transport::Tcp, inherited)?;
    let address = tcp.local_addr().map_err(|error| refused(address, Transport::Tcp, error))?;
    let given = inherited.datagrams(address);
    if !given.is_empty() {
        return Ok(Bound { address, tcp, udp: given });
    }
    let udp = (0..udp_sockets)
        .map(|_| open_udp(address, udp_sockets > 1))
        .collect::<io::Result<_>>()
        .map_err(|error| refused(address, Transport::Udp, error))?;
    Ok(Bound { address, tcp, udp })
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, Type::STREAM, Protocol::TCP)?;
    // A restart need not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn open_udp(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = open(address, Type::DGRAM, Protocol::UDP)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if let Err(error) = udp_socket::tune(&socket, address) {
        tracing::warn!(%address, %error, "a udp option cannot be set; the socket is used as the system made it");
    }
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn refused(address: SocketAddr, transport: Transport, source: io::Error) -> DnsError {
    let transport = transport.name();
    match source.kind() {
        io::ErrorKind::AddrInUse => DnsError::InUse { address, transport, source },
        io::ErrorKind::PermissionDenied => DnsError::Denied { address, transport, source },
        _ => DnsError::Bind { address, transport, source },
    }
}
