//! The sampled query log: who asked what, and what was answered, as JSON lines in a file.
//!
//! ```text
//! responder ─ one in N ─▶ bounded queue ─▶ thread "dns-query-log" ─▶ file (opened anew when it was moved away)
//! ```
//!
//! A responder copies the sampled messages into the queue and goes on; where the queue is full, or the file takes
//! nothing, the sample is lost and counted. The gaps between samples are random, so that a client that asks in a
//! rhythm is seen as often as others. Client addresses are cut to their prefix unless the whole ones are asked for.
//!
//! What it deliberately does not do: rotate, compress or delete files.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use hickory_proto::op::{Message, ResponseCode};
use holdfast_core::Timestamp;
use holdfast_core::seam::Clock;
use metrics::{Counter, counter};
use rand::Rng as _;
use serde::Serialize;

use crate::config::DnsError;
use crate::metric;
use crate::respond::Peer;

/// How many samples wait for the file at the most.
const QUEUE: usize = 4096;

/// Where queries are logged, and how many of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryLogConfig {
    /// The file that lines are appended to; created where it is not there.
    pub file: PathBuf,
    /// One query in this many, on average; at least 1, which is every one.
    pub one_in: u32,
    /// Whether whole client addresses are written, rather than their prefixes (IPv4 /24, IPv6 /56).
    pub whole_addresses: bool,
}

/// A query and what became of it.
#[derive(Debug)]
struct Sample {
    at: Timestamp,
    peer: Peer,
    query: Vec<u8>,
    /// Empty for silence.
    reply: Vec<u8>,
}

/// Takes samples on the side of a responder.
pub(crate) struct Sampler {
    one_in: u32,
    until_next: u32,
    queue: SyncSender<Sample>,
    lost: Counter,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler").field("one_in", &self.one_in).finish_non_exhaustive()
    }
}

impl Clone for Sampler {
    /// A sampler of the same log, with gaps of its own.
    fn clone(&self) -> Self {
        Self::new(self.one_in, self.queue.clone(), Arc::clone(&self.clock))
    }
}

impl Sampler {
    fn new(one_in: u32, queue: SyncSender<Sample>, clock: Arc<dyn Clock>) -> Self {
        let until_next = rand::rng().random_range(0..one_in);
        Self { one_in, until_next, queue, lost: counter!(metric::QUERY_LOG_LOST), clock }
    }

    /// Logs a message and its reply, empty for silence, if its turn has come.
    pub(crate) fn note(&mut self, query: &[u8], peer: Peer, reply: &[u8]) {
        if self.until_next > 0 {
            self.until_next -= 1;
            return;
        }
        // On average `one_in` from here to the next.
        self.until_next = rand::rng().random_range(0..=(self.one_in - 1).saturating_mul(2));
        let sample =
            Sample { at: self.clock.now(), peer, query: query.to_vec(), reply: reply.to_vec() };
        if self.queue.try_send(sample).is_err() {
            self.lost.increment(1);
        }
    }
}

/// Starts the thread that writes; it ends with the last clone of the sampler, and has flushed what it took. Errors: no
/// thread can be had.
pub(crate) fn start(config: QueryLogConfig, clock: Arc<dyn Clock>) -> Result<Sampler, DnsError> {
    let (queue, samples) = sync_channel(QUEUE);
    let sampler = Sampler::new(config.one_in, queue, clock);
    let name = "dns-query-log".to_owned();
    thread::Builder::new()
        .name(name.clone())
        .spawn(move || Writer { config, file: None, failed: false }.run(&samples))
        .map_err(|source| DnsError::Thread { name, source })?;
    Ok(sampler)
}

struct Writer {
    config: QueryLogConfig,
    file: Option<BufWriter<File>>,
    failed: bool,
}

impl Writer {
    fn run(mut self, samples: &Receiver<Sample>) {
        while let Ok(first) = samples.recv() {
            let batch: Vec<Sample> =
                [first].into_iter().chain(samples.try_iter().take(QUEUE)).collect();
            match self.write(&batch) {
                Ok(()) => self.failed = false,
                Err(error) => self.lose(batch.len(), &error),
            }
        }
    }

    fn write(&mut self, batch: &[Sample]) -> io::Result<()> {
        let mut file = self.file()?;
        for sample in batch {
            serde_json::to_writer(&mut file, &Line::of(sample, self.config.whole_addresses))?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
        self.file = Some(file);
        Ok(())
    }

    /// The open file, or the one that stands at its path if somebody has moved it away.
    fn file(&mut self) -> io::Result<BufWriter<File>> {
        if let Some(open) = self.file.take()
            && let (Ok(open_is), Ok(there)) =
                (open.get_ref().metadata(), std::fs::metadata(&self.config.file))
            && (open_is.dev(), open_is.ino()) == (there.dev(), there.ino())
        {
            return Ok(open);
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.config.file)?;
        Ok(BufWriter::new(file))
    }

    fn lose(&mut self, samples: usize, error: &io::Error) {
        counter!(metric::QUERY_LOG_LOST).increment(samples as u64);
        if !self.failed {
            tracing::warn!(%error, file = %self.config.file.display(),
                "query log not written, samples are lost until it can be");
        }
        self.failed = true;
    }
}

/// A sample as it is written.
#[derive(Debug, Serialize)]
struct Line {
    at_ms: u64,
    client: IpAddr,
    port: u16,
    transport: &'static str,
    /// `None` for what is no message with a question.
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    query_bytes: usize,
    /// `None` for silence.
    rcode: Option<String>,
    answers: usize,
    truncated: bool,
    reply_bytes: usize,
}

impl Line {
    fn of(sample: &Sample, whole_addresses: bool) -> Self {
        let asked = Message::from_vec(&sample.query).ok();
        let told = Message::from_vec(&sample.reply).ok();
        let question = asked.as_ref().and_then(|asked| asked.queries.first());
        let client = sample.peer.address.ip().to_canonical();
        Self {
            at_ms: sample.at.0,
            client: if whole_addresses { client } else { prefix(client) },
            port: sample.peer.address.port(),
            transport: sample.peer.transport.name(),
            name: question.map(|question| question.name().to_ascii()),
            kind: question.map(|question| question.query_type().to_string()),
            query_bytes: sample.query.len(),
            rcode: told.as_ref().map(|told| rcode_of(told.metadata.response_code)),
            answers: told.as_ref().map_or(0, |told| told.answers.len()),
            truncated: told.is_some_and(|told| told.metadata.truncation),
            reply_bytes: sample.reply.len(),
        }
    }
}

fn rcode_of(code: ResponseCode) -> String {
    metric::code_name(code).map_or_else(|| u16::from(code).to_string(), str::to_owned)
}

fn prefix(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & (!0 << 8)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (!0 << 72)).into(),
    }
}

#[cfg(test)]
mod tests;
