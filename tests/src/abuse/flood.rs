//! Datagrams with forged sources, at a rate, until told to stop.
//!
//! A flood sends what it has made again and again once that is much: more different names and sources than a server
//! remembers, and a packet costs what the kernel asks for it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::Instant;

use super::wire;
use crate::lab::Host;

/// No flood takes longer, whatever becomes of the test.
const LONGEST: Duration = Duration::from_secs(120);
/// Packets that are due are sent together, this far apart.
const TICK: Duration = Duration::from_millis(1);
/// So many different packets are made.
const STOCK: usize = 1 << 16;
const DNS: u16 = 53;

/// A datagram to be sent.
#[derive(Debug)]
pub struct Shot {
    /// Whom it claims to come from.
    pub from: SocketAddrV4,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// What a flood has sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Datagrams.
    pub packets: u64,
    /// Bytes in them, headers left out.
    pub payload: u64,
    /// How long it took.
    pub span: Duration,
}

impl Sent {
    /// Datagrams per second.
    pub fn rate(&self) -> f64 {
        self.packets as f64 / self.span.as_secs_f64()
    }
}

/// A flood that goes on; it ends with its handle.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Sent>>>,
}

impl Flood {
    /// Sends what `shoot` makes from chance, from a host to an agent's port 53, at most `pace` datagrams per second; what
    /// it made first comes again after 65,536 of them.
    pub fn start(
        from: &Host,
        target: Ipv4Addr,
        pace: u32,
        shoot: impl FnMut(&mut StdRng) -> Result<Shot> + Send + 'static,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (host, told) = (from.clone(), Arc::clone(&stop));
        let to = SocketAddrV4::new(target, DNS);
        let work = move || host.inside(|| send(to, pace, &told, shoot));
        let thread = std::thread::Builder::new().name("flood".into()).spawn(work)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends it.
    pub fn finish(mut self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or_else(|| anyhow!("it has ended"))?;
        thread.join().map_err(|_| anyhow!("the flood panicked"))?
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whoever drops it has another failure to tell.
            drop(thread.join());
        }
    }
}

fn send(
    to: SocketAddrV4,
    pace: u32,
    stop: &AtomicBool,
    mut shoot: impl FnMut(&mut StdRng) -> Result<Shot>,
) -> Result<Sent> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc_raw())))?;
    socket.set_header_included_v4(true)?;
    let mut chance = StdRng::seed_from_u64(u64::from(pace));
    let mut stock: Vec<(Vec<u8>, usize)> = Vec::new();
    let receiver = to.into();
    let mut sent = Sent { packets: 0, payload: 0, span: Duration::ZERO };
    let began = Instant::now();
    while !stop.load(Ordering::Relaxed) && began.elapsed() < LONGEST {
        let due = (began.elapsed().as_secs_f64() * f64::from(pace)) as u64;
        while sent.packets < due && !stop.load(Ordering::Relaxed) {
            let place = sent.packets as usize % STOCK;
            if place == stock.len() {
                let Shot { from, payload } = shoot(&mut chance)?;
                stock.push((wire::packet(from, to, &payload), payload.len()));
            }
            let (packet, payload) = &stock[place];
            // A full queue drops what a flood sends, as a full line would.
            drop(socket.send_to(packet, &receiver));
            sent.packets += 1;
            sent.payload += *payload as u64;
        }
        std::thread::park_timeout(TICK);
    }
    sent.span = began.elapsed();
    Ok(sent)
}

/// `IPPROTO_RAW`: the sender writes the IP header.
const fn libc_raw() -> i32 {
    255
}

/// A source in any of 16,384 prefixes of length 24.
pub fn anyone(chance: &mut StdRng) -> SocketAddrV4 {
    SocketAddrV4::new(wire::foreign(chance.random()), chance.random_range(1024..=u16::MAX))
}

/// A label that nobody has asked for before.
pub fn random_label(chance: &mut StdRng) -> String {
    (0..12).map(|_| char::from(chance.random_range(b'a'..=b'z'))).collect()
}
