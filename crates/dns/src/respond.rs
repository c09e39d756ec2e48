//! Bytes in, bytes out: what both transports call, and what the tests call.
//!
//! ```text
//! wire ─▶ screen ─┬─ silence
//!                 ├─ fault ──────────────────────────────────▶ header [question] ─▶ [OPT]
//!                 └─ query ─┬─ plain ────────────────────────┬─▶ answer, or TC and no records ─▶ [OPT]
//!                           └─ Request ─▶ Handler ─▶ Capture ┘
//! ```
//!
//! hickory's own server cannot be given a reply's size or a compression table, so its message goes into a capturing
//! `ResponseHandler` that encodes it here: never longer than the transport and the client take, owners as pointers to
//! the question (hickory alone never compresses against it). A message that does not fit is replaced by one with TC
//! and no records, so that no client takes a part for the whole. The OPT is written behind whatever was made (`reply_opt`).
//!
//! Invariant: the future of a request is complete at its first poll, for it awaits nothing. A reply has QR=1, the id,
//! and the question byte for byte as asked.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use hickory_net::NetError;
use hickory_net::runtime::TokioTime;
use hickory_net::xfer::Protocol;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::server::{Request, RequestHandler as _, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponse;
use metrics::counter;
use tokio::time::Instant;

use crate::compiled::encoder_behind;
use crate::handler::{Context, Handler, Settings};
use crate::limits::{HEADER, MAX_TCP};
use crate::metric;
use crate::opt::Opt;
use crate::plain::{self, TC, Told};
use crate::publish::AnswersSource;
use crate::query_log::Sampler;
use crate::reply_opt::{ExtendedError, Remarks, ReplyOpt};
use crate::screen::{Fault, Query, Screened, screen};
use crate::streams::{Messages, Special};

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// In a stream.
    Tcp,
    /// In a stream over TLS (RFC 7858).
    Tls,
    /// In an HTTP request (RFC 8484).
    Https,
    /// In a QUIC stream (RFC 9250).
    Quic,
}

impl Transport {
    /// How many there are.
    pub(crate) const COUNT: usize = 5;

    /// What hickory is told: it knows of encryption only with its own servers.
    fn protocol(self) -> Protocol {
        match self {
            Self::Udp => Protocol::Udp,
            Self::Tcp | Self::Tls | Self::Https | Self::Quic => Protocol::Tcp,
        }
    }

    /// Whether only the client can read what it is told.
    pub(crate) fn encrypted(self) -> bool {
        match self {
            Self::Udp | Self::Tcp => false,
            Self::Tls | Self::Https | Self::Quic => true,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
        }
    }
}

/// Where a message came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its source address.
    pub address: SocketAddr,
    /// How it came.
    pub transport: Transport,
}

/// One query in this many is timed.
const TIMED: u32 = 64;

/// Turns messages into replies; one for each task that serves.
pub struct Responder {
    source: AnswersSource,
    handler: Handler,
    capture: Capture,
    tally: Tally,
    compiled: bool,
    until_timed: u32,
    query_log: Option<Sampler>,
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder").field("handler", &self.handler).finish_non_exhaustive()
    }
}

impl Responder {
    /// Makes a responder over a source of views.
    pub fn new(source: AnswersSource, settings: Arc<Settings>, turns: Arc<AtomicU32>) -> Self {
        let handler = Handler::new(None, settings, turns);
        let (capture, tally) = (Capture::default(), Tally::default());
        Self { source, handler, capture, tally, compiled: true, until_timed: 0, query_log: None }
    }

    /// This responder without the compiled answers: what they must equal byte for byte.
    pub fn handler_only(mut self) -> Self {
        self.compiled = false;
        self
    }

    /// This responder with a share of the query log.
    pub(crate) fn logging(mut self, query_log: Option<Sampler>) -> Self {
        self.query_log = query_log;
        self
    }

    /// Takes the view that is served at this moment; the answers until [`release`](Self::release) come from it.
    pub fn acquire(&mut self) {
        self.tally.settle(&self.handler);
        self.handler.set_published(self.source.current());
    }

    /// Lets go of the view, so that an idle task keeps no old one alive.
    pub fn release(&mut self) {
        self.tally.settle(&self.handler);
        self.handler.set_published(None);
    }

    /// The messages of a reply over a stream that are not made here.
    pub(crate) fn stream(&self, message: &[u8], peer: Peer) -> Option<Messages> {
        self.handler.stream(message, peer)
    }

    /// Writes the reply to a message into `out`; false for silence. A message that makes this code panic is a bug
    /// and gets silence; the next one is answered.
    pub fn respond(&mut self, wire: &[u8], peer: Peer, out: &mut Vec<u8>) -> bool {
        // What a panic leaves half done is cleared before each use.
        let answered = catch_unwind(AssertUnwindSafe(|| self.respond_to(wire, peer, out)));
        let answered = answered.unwrap_or_else(|_| {
            counter!(metric::PANICS).increment(1);
            false
        });
        if let Some(query_log) = &mut self.query_log {
            query_log.note(wire, peer, if answered { out } else { &[] });
        }
        answered
    }

    fn respond_to(&mut self, wire: &[u8], peer: Peer, out: &mut Vec<u8>) -> bool {
        self.until_timed = self.until_timed.checked_sub(1).unwrap_or(TIMED - 1);
        let begun = (self.until_timed == 0).then(Instant::now);
        out.clear();
        match screen(wire, peer) {
            Screened::Silence(why) => {
                counter!(metric::DROPPED, "why" => why, "transport" => peer.transport.name())
                    .increment(1);
                return false;
            }
            Screened::Query(query) if query.special && self.handler.streams().is_some() => {
                return self.respond_specially(wire, peer, out);
            }
            Screened::Fault(_) if is_told(wire) && self.handler.streams().is_some() => {
                return self.respond_specially(wire, peer, out);
            }
            Screened::Fault(fault) => self.write_fault(wire, &fault, peer, out),
            Screened::Query(query) => self.write_answer(wire, &query, peer, out),
        }
        if let Some(begun) = begun {
            metrics::histogram!(metric::QUERY_DURATION).record(begun.elapsed());
        }
        true
    }

    /// Answers what is signed, or is no query.
    fn respond_specially(&mut self, wire: &[u8], peer: Peer, out: &mut Vec<u8>) -> bool {
        let Some(streams) = self.handler.streams() else { return false };
        match streams.special(wire, peer, self.handler.published()) {
            Special::Reply(reply) => *out = reply,
            Special::Query(query, finish) => {
                match screen(&query, peer) {
                    Screened::Query(plain) => self.write_answer(&query, &plain, peer, out),
                    Screened::Fault(fault) => self.write_fault(&query, &fault, peer, out),
                    Screened::Silence(_) => return false,
                }
                finish(out);
            }
            // Only a connection is given a reply that takes a while.
            Special::Later(_) => return false,
        }
        true
    }

    fn write_fault(&self, wire: &[u8], fault: &Fault, peer: Peer, out: &mut Vec<u8>) {
        self.handler.count(None, fault.code, peer.transport);
        write_bare(wire, fault.code, fault.question_end, out);
        if let Some(opt) = fault.opt {
            ReplyOpt::bare(opt).push(fault.code, Remarks::default(), MAX_TCP, out);
        }
    }

    fn write_answer(&mut self, wire: &[u8], query: &Query, peer: Peer, out: &mut Vec<u8>) {
        let most = limit(query, peer);
        let needed = query.opt.map_or(0, |opt| self.reply_opt(opt, peer).needed());
        let context =
            Context { limit: most - needed, subnet: query.subnet(), transport: peer.transport };
        let plain = self.write_plain(wire, query, (context, peer), out);
        let (code, mut remarks) =
            plain.unwrap_or_else(|| self.write_handled(wire, query, (context, peer), out));
        let Some(opt) = query.opt else { return };
        if matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) && self.is_stale() {
            remarks.error.get_or_insert(ExtendedError::StaleAnswer);
        }
        self.reply_opt(opt, peer).push(code, remarks, most, out);
    }

    /// What the reply to a query with this OPT must say in its own.
    fn reply_opt(&self, opt: Opt, peer: Peer) -> ReplyOpt<'_> {
        let settings = self.handler.settings();
        let units = settings.idle_timeout.as_millis() / 100;
        ReplyOpt {
            opt,
            cookie: None,
            keepalive: opt.options.keepalive.then(|| units.try_into().unwrap_or(u16::MAX)),
            nsid: settings.nsid.as_deref().filter(|_| opt.options.nsid).unwrap_or("").as_bytes(),
            padded: opt.options.padding && peer.transport.encrypted(),
        }
    }

    /// Whether the answers come from disk.
    fn is_stale(&self) -> bool {
        self.handler.published().is_some_and(|published| !published.position().live)
    }

    /// Writes the answer to a plain question; `None` for one that the handler must answer.
    fn write_plain(
        &mut self,
        wire: &[u8],
        query: &Query,
        (context, peer): (Context, Peer),
        out: &mut Vec<u8>,
    ) -> Option<(ResponseCode, Remarks)> {
        let published = self.handler.published().filter(|_| self.compiled)?;
        let asker = self.handler.asker(peer.address.ip(), context.subnet);
        let turn = || self.handler.next_turn();
        let (told, remarks) =
            plain::answer(published.table(), (wire, query), context.limit, (&asker, turn), out)?;
        self.tally.count(told, peer.transport);
        Some((told.code, remarks))
    }

    /// Writes the handler's answer.
    fn write_handled(
        &mut self,
        wire: &[u8],
        query: &Query,
        (context, peer): (Context, Peer),
        out: &mut Vec<u8>,
    ) -> (ResponseCode, Remarks) {
        let question_end = Some(query.question_end());
        let protocol = peer.transport.protocol();
        let Ok(request) = Request::from_bytes(query.normalized(wire), peer.address, protocol)
        else {
            return self.write_failure(wire, (ResponseCode::FormErr, question_end), peer, out);
        };
        self.capture.lock().prepare(&wire[..query.question_end()], query.name_end, context.limit);
        self.handler.prepare(context);
        self.handler
            .handle_request::<_, TokioTime>(&request, self.capture.clone())
            .now_or_never()
            .expect("the handler awaits only the capture, which is ready at once");
        let mut captured = self.capture.lock();
        let Some(code) = captured.code else {
            return self.write_failure(wire, (ResponseCode::ServFail, question_end), peer, out);
        };
        std::mem::swap(out, &mut captured.bytes);
        if out[2] & TC != 0 {
            let flags = [out[2], out[3]];
            write_bare(wire, code, question_end, out);
            out[2..4].copy_from_slice(&flags);
        }
        drop(captured);
        (code, self.handler.remarks())
    }

    fn write_failure(
        &self,
        wire: &[u8],
        (code, question_end): (ResponseCode, Option<usize>),
        peer: Peer,
        out: &mut Vec<u8>,
    ) -> (ResponseCode, Remarks) {
        self.handler.count(None, code, peer.transport);
        write_bare(wire, code, question_end, out);
        (code, Remarks::default())
    }
}

/// Whether a message is a NOTIFY or an UPDATE.
fn is_told(wire: &[u8]) -> bool {
    matches!((wire[2] >> 3) & 0x0f, 4 | 5)
}

/// The most bytes of a reply.
fn limit(query: &Query, peer: Peer) -> u16 {
    match peer.transport {
        Transport::Udp => Opt::limit(query.opt),
        _ => MAX_TCP,
    }
}

/// What was answered from the compiled table of one view, and is counted when the view is let go.
#[derive(Debug, Default)]
struct Tally(Vec<(Told, Transport, u64)>);

impl Tally {
    fn count(&mut self, told: Told, transport: Transport) {
        match self.0.iter_mut().find(|(known, by, _)| (*known, *by) == (told, transport)) {
            Some((.., queries)) => *queries += 1,
            None => self.0.push((told, transport, 1)),
        }
    }

    fn settle(&mut self, handler: &Handler) {
        let Some(published) = handler.published() else { return };
        for (Told { zone, code }, transport, queries) in self.0.drain(..) {
            let zone = zone.map(|number| published.table().zone(number).name());
            published.counters().count(zone, code, transport, queries);
        }
    }
}

/// Writes a reply without records and without an OPT.
fn write_bare(wire: &[u8], code: ResponseCode, question_end: Option<usize>, out: &mut Vec<u8>) {
    let questions = u8::from(question_end.is_some());
    out.clear();
    // QR, the opcode and RD as asked; no other flag.
    out.extend_from_slice(&[wire[0], wire[1], 0x80 | (wire[2] & 0x79), code.low()]);
    out.extend_from_slice(&[0, questions, 0, 0, 0, 0, 0, 0]);
    if let Some(end) = question_end {
        out.extend_from_slice(&wire[HEADER..end]);
    }
}

/// The `ResponseHandler` that keeps a reply's bytes. Its lock is never contended: a responder uses it alone.
#[derive(Debug, Clone, Default)]
struct Capture(Arc<Mutex<Captured>>);

#[derive(Debug, Default)]
struct Captured {
    bytes: Vec<u8>,
    /// Header and question as asked, the name in lower case.
    seed: Vec<u8>,
    name_end: usize,
    limit: u16,
    /// The response code of a reply that is whole.
    code: Option<ResponseCode>,
}

impl Capture {
    fn lock(&self) -> MutexGuard<'_, Captured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Captured {
    fn prepare(&mut self, wire: &[u8], name_end: usize, limit: u16) {
        self.seed.clear();
        self.seed.extend_from_slice(wire);
        // Length bytes are at most 63 and so no letters.
        self.seed[HEADER..name_end].make_ascii_lowercase();
        self.name_end = name_end;
        self.limit = limit;
        self.code = None;
    }

    /// An encoder that knows the question's name as a target of compression, and begins at the header.
    fn encoder(&mut self) -> BinEncoder<'_> {
        self.bytes.clear();
        self.bytes.extend_from_slice(&self.seed);
        let mut encoder = encoder_behind(&mut self.bytes, self.name_end);
        encoder.set_max_size(self.limit);
        encoder.set_offset(0);
        encoder
    }
}

#[async_trait::async_trait]
impl ResponseHandler for Capture {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut captured = self.lock();
        let info = response.destructive_emit(&mut captured.encoder())?;
        captured.code = Some(info.response_code);
        Ok(info)
    }
}
