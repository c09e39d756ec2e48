//! Starts the server: reads the last-known-good file, opens the sockets, spreads them over threads, and stops.
//!
//! The view on disk is served before the first socket is open, so that a restarted agent never answers with less than
//! it knows. A damaged file is reported and left as it is, for people to look at; the next view replaces it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread;
use std::time::Duration;

use holdfast_core::seam::Clock;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::bind::{Bound, bind};
use crate::config::{DnsConfig, DnsError, LastKnownGood};
use crate::cookie::Cookies;
use crate::dnssec::Presigner;
use crate::encrypted::{Encrypted, Serving};
use crate::geo::Geo;
use crate::handler::Settings;
use crate::inherit::{Inherited, Kept};
use crate::later::Later;
use crate::lkg;
use crate::lkg_writer::LkgWriter;
use crate::metric;
use crate::parts::Parts;
use crate::precedence::Precedence;
use crate::publish::AnswersSource;
use crate::query_log::{self, Sampler};
use crate::queue_drops::QueueDrops;
use crate::respond::{Responder, Transport};
use crate::shared::SharedResponder;
use crate::tcp::{Session, TcpLoop};
use crate::udp::UdpLoop;
use crate::udp_thread::{UdpThread, Wake};

/// How far apart the turns of two threads begin.
const TURN_STRIDE: u32 = 0x9e37_79b9;
/// How long a stop may take; each part ends within 3 s by itself, and then the last view is written to disk.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A running server.
#[derive(Debug)]
pub struct DnsServer {
    geo: Geo,
    addresses: Vec<SocketAddr>,
    encrypted: Vec<(Transport, SocketAddr)>,
    kept: Kept,
    tasks: TaskTracker,
    threads: Vec<thread::JoinHandle<()>>,
    parts: Parts,
    shutdown: CancellationToken,
}

impl DnsServer {
    /// Starts to answer from `source` until `shutdown`; `clock` stamps what is logged. Errors: the configuration is not possible, or a socket or
    /// thread cannot be had; nothing is left open then.
    pub async fn start(
        config: DnsConfig,
        source: AnswersSource,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Result<Self, DnsError> {
        Self::succeed(config, Inherited::default(), source, clock, shutdown).await
    }

    /// Starts likewise, at the sockets that a running server gave; those of other addresses are closed. Errors: as of
    /// [`start`](Self::start), and where the last-known-good file holds less than that server answered from.
    pub async fn succeed(
        config: DnsConfig,
        inherited: Inherited,
        source: AnswersSource,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Result<Self, DnsError> {
        config.validate()?;
        // Reads a file, and may have to drop runtimes that it made: neither belongs on a runtime's own thread.
        let started = tokio::task::spawn_blocking(move || {
            let start = Start::new(config, source, clock, shutdown)?;
            start.run(inherited).inspect_err(|_| start.shutdown.cancel())
        })
        .await;
        started.expect("starting does not panic and is not aborted")
    }

    /// Where clients are, as this server looks it up.
    pub fn geo(&self) -> &Geo {
        &self.geo
    }

    /// The addresses that are answered at, over UDP and TCP both, in the order of the configuration.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses of the encrypted transports: TLS, HTTPS, QUIC, each in the order of the configuration.
    pub fn encrypted_addrs(&self) -> &[(Transport, SocketAddr)] {
        &self.encrypted
    }

    /// The threads and endless tasks, of which none ends before a stop unless it failed.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// More descriptors of all its sockets, for a server that is to go on with them; none once it stops. Errors: the
    /// process has no room for them.
    pub fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        self.kept.sockets()
    }

    /// Waits until what is served is in the last-known-good file, and says at which (generation, index) it is; `None`
    /// where nothing is served. Ends early only if nothing is published meanwhile and the disk takes it.
    pub async fn on_disk(&self) -> Option<(u64, u64)> {
        self.kept.on_disk().await
    }

    /// Waits until everything has stopped after `shutdown`, the last write of the last-known-good file included; no longer
    /// than 10 s after it, for what has not ended by then never will.
    pub async fn stopped(self) {
        self.shutdown.cancelled().await;
        self.tasks.close();
        let ended = async {
            self.tasks.wait().await;
            self.parts.wait().await;
        };
        let all = timeout(STOP_PATIENCE, ended).await.is_ok();
        if !all {
            tracing::error!(
                tasks = self.tasks.len(),
                "dns did not stop in time and is left: report this"
            );
        }
        let threads = self.threads.into_iter().filter(|thread| all || thread.is_finished());
        let panicked = threads.map(thread::JoinHandle::join).filter(Result::is_err).count();
        if panicked > 0 {
            tracing::error!(
                panicked,
                "dns threads ended by a panic: report this with the log before it"
            );
        }
    }
}

struct Start {
    config: DnsConfig,
    source: AnswersSource,
    shutdown: CancellationToken,
    settings: Arc<Settings>,
    tasks: TaskTracker,
    parts: Parts,
    query_log: Option<Sampler>,
}

impl Start {
    fn new(
        config: DnsConfig,
        source: AnswersSource,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Result<Self, DnsError> {
        let settings = Arc::new(Settings {
            chaos: config.chaos.clone(),
            nsid: config.nsid.clone(),
            idle_timeout: config.tcp.idle_timeout,
            geo: config.geo.clone(),
            streams: config.streams.clone(),
            cookies: (!config.cookie_secrets.is_empty())
                .then(|| Cookies::new(&config.cookie_secrets, Arc::clone(&clock))),
            max_reply_without_cookie: config.max_reply_without_cookie,
        });
        let shutdown = shutdown.child_token();
        let query_log = config.query_log.clone();
        let query_log = query_log.map(|log| query_log::start(log, clock)).transpose()?;
        let tasks = TaskTracker::new();
        let parts = Parts::default();
        Ok(Self { config, source, shutdown, settings, tasks, parts, query_log })
    }

    fn run(&self, mut inherited: Inherited) -> Result<DnsServer, DnsError> {
        metric::describe();
        if let Some(file) = &self.config.last_known_good {
            self.restore(file);
        }
        inherited.check(&self.source)?;
        let per_address = self.config.threads.max(1);
        let bind = |address: &SocketAddr| bind(*address, per_address, &mut inherited);
        let bound: Vec<Bound> = self.config.listen.iter().map(bind).collect::<Result<_, _>>()?;
        let addresses: Vec<SocketAddr> = bound.iter().map(|bound| bound.address).collect();
        let encrypted = self.config.encrypted.as_ref();
        let encrypted = encrypted.map(|told| Encrypted::bind(told, &mut inherited)).transpose()?;
        drop(inherited);
        let mut kept = Kept::of(&bound, encrypted.as_ref(), &self.source)
            .map_err(|source| DnsError::Thread { name: "dns".to_owned(), source })?;
        self.tasks.spawn(kept.clone().close(self.shutdown.clone()));
        self.count_queue_drops(&bound)?;
        let mut threads = if self.config.threads == 0 {
            self.serve_on(&Handle::current(), bound)?;
            Vec::new()
        } else {
            self.serve_on_threads(bound)?
        };
        let encrypted = match encrypted {
            Some(encrypted) => self.serve_encrypted(encrypted, &mut threads)?,
            None => Vec::new(),
        };
        self.sign_beforehand(&mut threads)?;
        if let Some(file) = self.config.last_known_good.clone() {
            let writer = LkgWriter::new(self.source.clone(), file);
            kept.follow(writer.written());
            let written = writer.run(self.shutdown.clone());
            self.run_behind(("last-known-good", Precedence::Later), written, &mut threads)?;
        }
        if !self.settings.geo.is_empty() {
            let followed = self.settings.geo.clone().follow(self.shutdown.clone());
            self.tasks.spawn(self.parts.task("geo", followed));
        }
        tracing::info!(?addresses, ?encrypted, threads = self.config.threads, "answering dns");
        let geo = self.settings.geo.clone();
        let (tasks, parts) = (self.tasks.clone(), self.parts.clone());
        let shutdown = self.shutdown.clone();
        Ok(DnsServer { geo, addresses, encrypted, kept, tasks, threads, parts, shutdown })
    }

    /// Signs what may be asked.
    fn sign_beforehand(&self, threads: &mut Vec<thread::JoinHandle<()>>) -> Result<(), DnsError> {
        let Some(presigner) = Presigner::new(self.source.clone()) else { return Ok(()) };
        let signing = presigner.run(self.shutdown.clone());
        self.run_behind(("dns-presign", Precedence::Last), signing, threads)
    }

    /// Runs what answers wait for never on a thread of its own, or on the caller's runtime where DNS has no threads.
    fn run_behind(
        &self,
        (name, precedence): (&'static str, Precedence),
        task: impl Future<Output = ()> + Send + 'static,
        threads: &mut Vec<thread::JoinHandle<()>>,
    ) -> Result<(), DnsError> {
        if self.config.threads == 0 {
            self.tasks.spawn(self.parts.task(name, task));
            return Ok(());
        }
        let part = Part::new(name, precedence)?;
        self.tasks.spawn_on(self.parts.task(name, task), part.runtime.handle());
        threads.push(self.start_part(part)?);
        Ok(())
    }

    fn count_queue_drops(&self, bound: &[Bound]) -> Result<(), DnsError> {
        let name = "udp queues";
        let drops = QueueDrops::of(bound.iter().flat_map(|bound| &bound.udp))
            .map_err(|source| DnsError::Thread { name: name.to_owned(), source })?;
        self.tasks.spawn(self.parts.task(name, drops.follow(self.shutdown.clone())));
        Ok(())
    }

    fn restore(&self, file: &LastKnownGood) {
        match lkg::load(&file.path, &file.cluster, file.group) {
            Ok(Some(answers)) => {
                tracing::info!(
                    generation = answers.generation,
                    index = answers.index,
                    "answering from the last-known-good file until the group has a view"
                );
                self.source.restore(Arc::new(answers));
            }
            Ok(None) => {
                tracing::info!("no last-known-good file: SERVFAIL until the group has a view")
            }
            Err(error) => {
                metrics::counter!(metric::LKG_FAILURES).increment(1);
                tracing::warn!(error = %error, source = ?std::error::Error::source(&error),
                    "last-known-good file not used: SERVFAIL until the group has a view");
            }
        }
    }

    /// Serves everything on one runtime.
    fn serve_on(&self, runtime: &Handle, bound: Vec<Bound>) -> Result<(), DnsError> {
        let admission = Admission::new(self.config.tcp.clone(), Transport::Tcp);
        let _guard = runtime.enter();
        for (number, bound) in bound.into_iter().enumerate() {
            for udp in bound.udp {
                self.spawn_udp(number, bound.address, udp)?;
            }
            self.spawn_tcp(number, bound.address, bound.tcp, &admission)?;
        }
        Ok(())
    }

    /// Serves UDP on threads with one socket per address each, and TCP on one more, so that a flood of connections
    /// does not slow datagrams.
    fn serve_on_threads(&self, bound: Vec<Bound>) -> Result<Vec<thread::JoinHandle<()>>, DnsError> {
        let admission = Admission::new(self.config.tcp.clone(), Transport::Tcp);
        let tcp = Part::new("dns-tcp", Precedence::First)?;
        let mut sockets: Vec<Vec<std::net::UdpSocket>> = Vec::new();
        sockets.resize_with(self.config.threads, Vec::new);
        for bound in bound {
            spread(bound.udp, &mut sockets)
                .map_err(|source| DnsError::Thread { name: "dns-udp".to_owned(), source })?;
            let _guard = tcp.runtime.enter();
            self.spawn_tcp(self.config.threads, bound.address, bound.tcp, &admission)?;
        }
        let wake = Wake::new()
            .map_err(|source| DnsError::Thread { name: "dns-udp-0".to_owned(), source })?;
        self.tasks.spawn_on(wake.clone().on(self.shutdown.clone()), tcp.runtime.handle());
        let later = self.later(tcp.runtime.handle());
        let mut threads = vec![self.start_part(tcp)?];
        for (number, sockets) in sockets.into_iter().enumerate() {
            let udp = UdpThread {
                sockets,
                responder: self.responder(turns(number)),
                wake: wake.clone(),
                later: later.clone(),
                // A token of its own: looking at one takes its lock, and threads need not share it.
                shutdown: self.shutdown.child_token(),
            };
            let run = move || {
                Precedence::First.take();
                udp.run();
            };
            threads.push(self.parts.thread(format!("dns-udp-{number}"), run)?);
        }
        Ok(threads)
    }

    /// Serves the encrypted transports on a thread of their own, or on the caller's runtime where DNS has no threads.
    fn serve_encrypted(
        &self,
        encrypted: Encrypted,
        threads: &mut Vec<thread::JoinHandle<()>>,
    ) -> Result<Vec<(Transport, SocketAddr)>, DnsError> {
        let name = "dns-encrypted";
        let failed = |source| DnsError::Thread { name: name.to_owned(), source };
        let addresses = encrypted.addresses().map_err(failed)?;
        let part =
            if self.config.threads == 0 { None } else { Some(Part::new(name, Precedence::First)?) };
        let runtime =
            part.as_ref().map_or_else(Handle::current, |part| part.runtime.handle().clone());
        let _guard = runtime.enter();
        let (limits, tasks, parts) = (&self.config.tcp, &self.tasks, &self.parts);
        let shutdown = &self.shutdown;
        let responder = self.shared_responder(turns(self.config.threads + 1));
        encrypted.serve(&Serving { limits, responder, tasks, parts, shutdown }).map_err(failed)?;
        if let Some(part) = part {
            threads.push(self.start_part(part)?);
        }
        Ok(addresses)
    }

    /// Drives the runtime of a part on a thread of its own until `shutdown` and until the tasks have ended.
    fn start_part(&self, part: Part) -> Result<thread::JoinHandle<()>, DnsError> {
        let Part { name, runtime, precedence } = part;
        let (tasks, shutdown) = (self.tasks.clone(), self.shutdown.clone());
        self.parts.thread(name, move || {
            precedence.take();
            runtime.block_on(async move {
                shutdown.cancelled().await;
                // Each task sees the same token; the tracker is closed by whoever waits for the server.
                tasks.close();
                tasks.wait().await;
            });
        })
    }

    /// The responder of the connections that one thread serves.
    fn shared_responder(&self, turns: Arc<AtomicU32>) -> SharedResponder {
        SharedResponder::new(self.unlimited(turns))
    }

    /// The responder of a UDP socket or thread.
    fn responder(&self, turns: Arc<AtomicU32>) -> Responder {
        self.unlimited(turns).limited(&self.config.rate_limit, self.config.threads)
    }

    fn unlimited(&self, turns: Arc<AtomicU32>) -> Responder {
        Responder::new(self.source.clone(), Arc::clone(&self.settings), turns)
            .logging(self.query_log.clone())
    }

    /// What sends replies over UDP that take a while, on this runtime.
    fn later(&self, runtime: &Handle) -> Later {
        let (tasks, shutdown) = (self.tasks.clone(), self.shutdown.clone());
        Later { runtime: runtime.clone(), tasks, shutdown }
    }

    fn spawn_udp(
        &self,
        number: usize,
        address: SocketAddr,
        socket: std::net::UdpSocket,
    ) -> Result<(), DnsError> {
        let transport = Transport::Udp.name();
        let socket = UdpSocket::from_std(socket).map_err(|source| DnsError::Bind {
            address,
            transport,
            source,
        })?;
        let responder = self.responder(turns(number));
        // A token of its own: waiting on one takes its lock, and threads need not share it.
        let shutdown = self.shutdown.child_token();
        let later = self.later(&Handle::current());
        let serving = UdpLoop::new(socket, responder, later).run(shutdown);
        self.tasks.spawn(self.parts.task(format!("udp at {address}"), serving));
        Ok(())
    }

    fn spawn_tcp(
        &self,
        number: usize,
        address: SocketAddr,
        listener: std::net::TcpListener,
        admission: &Arc<Admission>,
    ) -> Result<(), DnsError> {
        let transport = Transport::Tcp.name();
        let listener = TcpListener::from_std(listener).map_err(|source| DnsError::Bind {
            address,
            transport,
            source,
        })?;
        let responder = self.shared_responder(turns(number));
        let admission = Arc::clone(admission);
        let connections = self.tasks.clone();
        let tcp = TcpLoop { listener, admission, session: Session::Plain, responder, connections };
        let serving = tcp.run(self.shutdown.clone());
        self.tasks.spawn(self.parts.task(format!("tcp at {address}"), serving));
        Ok(())
    }
}

/// Gives the sockets of an address to threads in turn: each socket has a thread, and each thread a socket, if need be
/// one that others read as well.
fn spread(
    sockets: Vec<std::net::UdpSocket>,
    threads: &mut [Vec<std::net::UdpSocket>],
) -> io::Result<()> {
    let (given, wanted) = (sockets.len(), threads.len());
    for number in given..wanted {
        threads[number].push(sockets[number % given].try_clone()?);
    }
    for (number, socket) in sockets.into_iter().enumerate() {
        threads[number % wanted].push(socket);
    }
    Ok(())
}

fn turns(number: usize) -> Arc<AtomicU32> {
    // At most 64 threads and addresses.
    Arc::new(AtomicU32::new((number as u32).wrapping_mul(TURN_STRIDE)))
}

/// A thread to be that drives a runtime.
struct Part {
    name: String,
    runtime: Runtime,
    precedence: Precedence,
}

impl Part {
    fn new(name: &str, precedence: Precedence) -> Result<Self, DnsError> {
        let name = name.to_owned();
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => Ok(Self { name, runtime, precedence }),
            Err(source) => Err(DnsError::Thread { name, source }),
        }
    }
}

#[cfg(test)]
mod tests;
