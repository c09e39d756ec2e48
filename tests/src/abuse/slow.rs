//! Connections that hold on to what they are given: silent ones, a byte at a time, and those that never read.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use hickory_proto::rr::RecordType;
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use super::wire;
use crate::lab::Host;

const DNS: u16 = 53;
/// No slow connection is kept up longer, whatever becomes of the test.
const LONGEST: Duration = Duration::from_secs(120);
/// From one move on every connection to the next.
const TICK: Duration = Duration::from_millis(100);
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// Queries that one who never reads sends at a time.
const PIPELINED: usize = 64;

/// What is wrong with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Silent,
    ByteByByte,
    NeverReads,
}

const MANNERS: [Manner; 3] = [Manner::Silent, Manner::ByteByByte, Manner::NeverReads];

/// Slow connections, made anew whenever the server closes one; they end with their handle.
#[derive(Debug)]
pub struct Slow {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

struct Connection {
    stream: TcpStream,
    sent: usize,
}

impl Slow {
    /// Keeps up to `count` connections from a host that owns the foreign addresses, each from another prefix.
    pub fn start(from: &Host, server: Ipv4Addr, (count, name): (u32, &str)) -> Result<Self> {
        let (stop, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let query = wire::query(7, name, RecordType::A)?;
        let framed = [&u16::try_from(query.len())?.to_be_bytes()[..], &query].concat();
        let (host, told, tally) = (from.clone(), Arc::clone(&stop), Arc::clone(&opened));
        let server = SocketAddr::from((server, DNS));
        let work = move || host.inside(|| keep(server, count, &framed, (&told, &tally)));
        let thread = std::thread::Builder::new().name("slow".into()).spawn(work)?;
        Ok(Self { stop, opened, thread: Some(thread) })
    }

    /// Connections that came about so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whoever drops it has nothing to learn from how it ended.
            drop(thread.join());
        }
    }
}

fn keep(
    server: SocketAddr,
    count: u32,
    framed: &[u8],
    (stop, opened): (&AtomicBool, &AtomicU64),
) -> Result<()> {
    let mut connections: Vec<Option<Connection>> = (0..count).map(|_| None).collect();
    let began = Instant::now();
    while !stop.load(Ordering::Relaxed) && began.elapsed() < LONGEST {
        for (number, place) in connections.iter_mut().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let manner = MANNERS[number % MANNERS.len()];
            let closed = match place {
                Some(connection) => connection.go_on(manner, framed).is_err(),
                None => true,
            };
            if closed {
                // The /24 changes from one to the next.
                *place = open(server, wire::foreign((number as u32) << 8 | 9)).ok();
                opened.fetch_add(u64::from(place.is_some()), Ordering::Relaxed);
            }
        }
        std::thread::park_timeout(TICK);
    }
    Ok(())
}

fn open(server: SocketAddr, from: Ipv4Addr) -> Result<Connection> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    // A window that is soon full.
    socket.set_recv_buffer_size(2048)?;
    socket.connect_timeout(&server.into(), CONNECT_TIMEOUT)?;
    socket.set_nonblocking(true)?;
    Ok(Connection { stream: socket.into(), sent: 0 })
}

impl Connection {
    /// The next move. Errors: the server has closed it.
    fn go_on(&mut self, manner: Manner, framed: &[u8]) -> Result<()> {
        match manner {
            Manner::Silent => Ok(self.check_open()?),
            Manner::ByteByByte => {
                let byte = framed[self.sent % framed.len()];
                self.sent += 1;
                Ok(self.stream.write_all(&[byte])?)
            }
            Manner::NeverReads => match self.stream.write_all(&framed.repeat(PIPELINED)) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
                written => Ok(written?),
            },
        }
    }

    fn check_open(&self) -> std::io::Result<()> {
        let mut byte = [0];
        match self.stream.peek(&mut byte) {
            Ok(0) => Err(std::io::ErrorKind::ConnectionReset.into()),
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
