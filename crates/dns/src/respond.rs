//! Bytes in, bytes out: what both transports call, and what the tests call.
//!
//! ```text
//! wire ─▶ screen ─┬─ silence
//!                 ├─ fault ──────────────────────────────────▶ header [question] ─▶ [OPT]
//!                 └─ query ─┬─ plain ────────────────────────┬─▶ answer, or TC and no records ─▶ [OPT]
//!                           └─ remembered, or by Handler ────┘
//! ```
//!
//! A message that does not fit is replaced by one with TC and no records, so that no client takes a part for the whole.
//! The OPT is written behind whatever was made (`reply_opt`). Over UDP, and without a valid cookie, a client gets no
//! more than its share (`rate_limit`): what the table answers is counted when its kind is known, what the handler would
//! answer before it is asked, since it costs more.
//!
//! Invariant: the future of a request is complete at its first poll, for it awaits nothing. A reply has QR=1, the id,
//! and the question byte for byte as asked.

mod learn;
mod limit;
mod peer;
mod sign;
mod special;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use futures_util::{FutureExt as _, stream};
use hickory_net::runtime::TokioTime;
use hickory_proto::op::ResponseCode;
use hickory_server::server::{Request, RequestHandler as _};
use metrics::counter;
use tokio::time::Instant;

pub use self::peer::{Peer, Transport};
use crate::ahead;
use crate::capture::Capture;
use crate::class::Class;
use crate::cookie::{Judged, Standing};
use crate::dnssec::Completer;
use crate::handler::{Context, Handler, Settings};
use crate::limits::{HEADER, MAX_TCP, MAX_UDP};
use crate::memory::Memory;
use crate::metric::{self, Counters};
use crate::opt::Opt;
use crate::plain::{self, Plain, TC, Told};
use crate::publish::AnswersSource;
use crate::query_log::Sampler;
use crate::rate_limit::{Limited, Limiter, RateLimit, Subject};
use crate::reply_opt::{ExtendedError, Remarks, ReplyOpt};
use crate::screen::{Fault, Query, Screened, screen};
use crate::streams::Messages;
use crate::tally::{Instead, Tally, Withheld};

/// One query in this many is timed.
const TIMED: u32 = 64;

/// Turns messages into replies; one for each task that serves.
pub struct Responder {
    source: AnswersSource,
    handler: Handler,
    capture: Capture,
    tally: Tally,
    withheld: Withheld,
    limiter: Option<Limiter>,
    compiled: bool,
    until_timed: u32,
    query_log: Option<Sampler>,
    completer: Option<Completer>,
    memory: Memory,
    later: Option<Messages>,
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder").field("handler", &self.handler).finish_non_exhaustive()
    }
}

impl Responder {
    /// Makes a responder over a source of views.
    pub fn new(source: AnswersSource, settings: Arc<Settings>, turns: Arc<AtomicU32>) -> Self {
        let completer = source.signing().map(|(_, memory)| Completer::new(Arc::clone(memory)));
        Self {
            source,
            handler: Handler::new(None, settings, turns),
            capture: Capture::default(),
            tally: Tally::default(),
            withheld: Withheld::default(),
            limiter: None,
            compiled: true,
            until_timed: 0,
            query_log: None,
            completer,
            memory: Memory::default(),
            later: None,
        }
    }

    /// This responder with a limit for its replies over UDP; one of `threads` among which clients are spread.
    pub fn limited(mut self, limit: &RateLimit, threads: usize) -> Self {
        self.limiter = Limiter::new(limit, threads);
        self
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
        self.memory.serve(self.handler.published().map(|published| published.position()));
        if let Some(limiter) = &mut self.limiter {
            limiter.tick();
        }
    }

    /// Says which messages come next, and from whom, so that what they ask for is near when they are answered.
    pub fn look_ahead<'a>(&self, messages: impl Iterator<Item = (&'a [u8], SocketAddr)>) {
        if let Some(table) = self.handler.published().and_then(|published| published.table()) {
            ahead::look_ahead(table, self.limiter.as_ref(), messages);
        }
    }

    /// Lets go of the view, so that an idle task keeps no old one alive.
    pub fn release(&mut self) {
        self.tally.settle(&self.handler);
        self.handler.set_published(None);
    }

    /// The messages of a reply over a stream that are not made here. A message that makes that code panic ends its
    /// connection.
    pub(crate) fn stream(&self, message: &[u8], peer: Peer) -> Option<Messages> {
        catch_unwind(AssertUnwindSafe(|| self.handler.stream(message, peer))).unwrap_or_else(|_| {
            counter!(metric::PANICS).increment(1);
            Some(Box::pin(stream::iter([Vec::new()])))
        })
    }

    /// The reply to the datagram before that takes a while, if it has one.
    pub(crate) fn take_later(&mut self) -> Option<Messages> {
        self.later.take()
    }

    /// Writes the reply to a message into `out`; false for silence, and where [`take_later`](Self::take_later) has it. A
    /// message that makes this code panic is a bug and gets silence; the next one is answered.
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
        let told = match screen(wire, peer) {
            Screened::Silence(why) => {
                self.withheld.count_silence(why, peer.transport);
                false
            }
            Screened::Query(query) if query.special && self.handler.streams().is_some() => {
                return self.respond_specially(wire, peer, out);
            }
            Screened::Fault(_) if special::is_told(wire) && self.handler.streams().is_some() => {
                return self.respond_specially(wire, peer, out);
            }
            Screened::Fault(fault) => self.write_fault(wire, &fault, peer, out),
            Screened::Ping(opt) => self.write_ping(wire, opt, peer, out),
            Screened::Query(query) => self.write_reply((wire, 0), &query, peer, out),
        };
        if let Some(begun) = begun.filter(|_| told) {
            metrics::histogram!(metric::QUERY_DURATION).record(begun.elapsed());
        }
        told
    }

    /// Writes the answer to a query, or what is sent where it is one too many; false for nothing at all. `room` bytes are
    /// left free.
    fn write_reply(
        &mut self,
        (wire, room): (&[u8], u16),
        query: &Query,
        peer: Peer,
        out: &mut Vec<u8>,
    ) -> bool {
        let asked = self.asked((wire, room), query, peer);
        let answered = self.write_answer(&asked, out);
        answered.map_or_else(|limited| self.write_limited(&asked, limited, out), |()| true)
    }

    fn asked<'a>(&self, (wire, room): (&'a [u8], u16), query: &'a Query, peer: Peer) -> Asked<'a> {
        let cookie = query.opt.and_then(|opt| self.judge(opt, peer));
        let mut asked = Asked { wire, query, peer, cookie, most: 0, context: Context::default() };
        asked.most = self.most(&asked).saturating_sub(room);
        let needed = self.reply_opt(&asked).map_or(0, |opt| opt.needed());
        asked.context =
            Context { limit: asked.most.saturating_sub(needed), subnet: query.subnet() };
        asked
    }

    /// The most bytes of a reply.
    fn most(&self, asked: &Asked<'_>) -> u16 {
        match asked.peer.transport {
            Transport::Udp if asked.is_known() => Opt::limit(asked.query.opt),
            Transport::Udp => {
                let settings = self.handler.settings();
                Opt::limit(asked.query.opt)
                    .min(settings.max_reply_without_cookie.unwrap_or(MAX_UDP))
            }
            _ => MAX_TCP,
        }
    }

    fn judge(&self, opt: Opt, peer: Peer) -> Option<Judged> {
        let cookies = self.handler.settings().cookies.as_ref()?;
        Some(cookies.judge(opt.options.cookie?, peer.address.ip()))
    }

    fn write_fault(&mut self, wire: &[u8], fault: &Fault, peer: Peer, out: &mut Vec<u8>) -> bool {
        if self.admit(peer, Subject::Failure) == Err(Limited::Dropped) {
            self.withheld.count_limited(Instead::Nothing);
            return false;
        }
        self.handler.count((fault.code, Class::of_bare(fault.code)), peer.transport);
        write_bare(wire, fault.code, fault.question_end, out);
        if let Some(opt) = fault.opt {
            ReplyOpt::bare(opt).push(fault.code, Remarks::default(), MAX_TCP, out);
        }
        true
    }

    /// Answers a message without a question that asks for a cookie (RFC 7873, 5.4); without cookies it is a fault.
    fn write_ping(&mut self, wire: &[u8], opt: Opt, peer: Peer, out: &mut Vec<u8>) -> bool {
        let Some(cookie) = self.judge(opt, peer) else {
            let fault = Fault { code: ResponseCode::FormErr, question_end: None, opt: Some(opt) };
            return self.write_fault(wire, &fault, peer, out);
        };
        let known = cookie.standing == Standing::Valid;
        if !known && self.admit(peer, Subject::Failure) == Err(Limited::Dropped) {
            self.withheld.count_limited(Instead::Nothing);
            return false;
        }
        let invalid = cookie.standing == Standing::Invalid;
        let code = if invalid { ResponseCode::BADCOOKIE } else { ResponseCode::NoError };
        self.handler.count((code, Class::of_bare(code)), peer.transport);
        write_bare(wire, code, None, out);
        let opt = ReplyOpt { cookie: Some(cookie.told), ..ReplyOpt::bare(opt) };
        opt.push(code, Remarks::default(), MAX_TCP, out);
        true
    }

    /// Writes the answer to a query. Errors: it is one too many.
    fn write_answer(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> Result<(), Limited> {
        let limits = self.limiter.is_some() && !asked.is_known();
        // Of wildcards nothing is compiled, so what is answered plainly has the name that was asked for.
        let plain = self.write_plain(asked, out);
        let exists = plain.is_some_and(|plain| plain.told.code == ResponseCode::NoError);
        let found = match plain {
            Some(plain) => {
                if limits {
                    self.admit(asked.peer, self.subject_of(plain))?;
                }
                let Plain { told, remarks, .. } = plain;
                Found { code: told.code, remarks, counted: Counted::Plain(told) }
            }
            None => {
                if limits {
                    self.admit(asked.peer, self.subject(asked))?;
                }
                self.write_apex(asked, out).unwrap_or_else(|| self.write_learnt(asked, out))
            }
        };
        let (code, mut remarks) = self.sign(asked, (&found, exists), out);
        self.count(found.counted, code, asked.peer.transport);
        if matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) && self.is_stale() {
            remarks.error.get_or_insert(ExtendedError::StaleAnswer);
        }
        if let Some(opt) = self.reply_opt(asked) {
            opt.push(code, remarks, asked.most, out);
        }
        if limits { self.weigh(asked.peer, asked.wire.len(), out.len()) } else { Ok(()) }
    }

    /// Counts an answer under what was found, unless it could not be sent for want of its signatures.
    fn count(&mut self, counted: Counted, code: ResponseCode, transport: Transport) {
        let failed = code == ResponseCode::ServFail;
        let sent = |found| if failed { (code, Class::of_bare(code)) } else { found };
        match counted {
            Counted::Plain(told) => {
                let (code, class) = sent((told.code, told.class));
                self.tally.count(Told { code, class, ..told }, transport, &self.handler);
            }
            Counted::Recalled(place) => {
                if let Some((answered, counters)) = self.memory.kept_at(place) {
                    counters.count(sent(answered), transport, 1);
                }
            }
            Counted::Handled => {
                if let Some((answered, counters)) = self.handler.answered() {
                    counters.count(sent(answered), transport, 1);
                }
            }
            Counted::Apex(answered, counters) => counters.count(sent(answered), transport, 1),
            Counted::Bare(answered) => self.handler.count(sent(answered), transport),
        }
    }

    /// What the reply's OPT must say, where the query has one.
    fn reply_opt(&self, asked: &Asked<'_>) -> Option<ReplyOpt<'_>> {
        let opt = asked.query.opt?;
        let settings = self.handler.settings();
        let units = settings.idle_timeout.as_millis() / 100;
        Some(ReplyOpt {
            opt,
            cookie: asked.cookie.map(|cookie| cookie.told),
            keepalive: opt.options.keepalive.then(|| units.try_into().unwrap_or(u16::MAX)),
            nsid: settings.nsid.as_deref().filter(|_| opt.options.nsid).unwrap_or("").as_bytes(),
            padded: opt.options.padding && asked.peer.transport.encrypted(),
        })
    }

    /// Whether the answers come from disk.
    fn is_stale(&self) -> bool {
        self.handler.published().is_some_and(|published| !published.position().live)
    }

    /// Writes the answer to a plain question; `None` for one that the handler must answer.
    fn write_plain(&self, asked: &Asked<'_>, out: &mut Vec<u8>) -> Option<Plain> {
        let published = self.handler.published().filter(|_| self.compiled)?;
        if sign::is_of_signing(published.signers(), asked) {
            return None;
        }
        let table = published.table()?;
        let asker = self.handler.asker(asked.peer.address.ip(), asked.context.subnet);
        let turn = || self.handler.next_turn();
        let question = (asked.wire, asked.query);
        plain::answer(table, question, asked.context.limit, (&asker, turn), out)
    }

    /// Writes the handler's answer.
    fn write_handled(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> Found {
        let Asked { wire, query, peer, context, .. } = *asked;
        let protocol = peer.transport.protocol();
        let message = self.message_of(asked);
        let Ok(request) = Request::from_bytes(message, peer.address, protocol) else {
            return write_failure(asked, ResponseCode::FormErr, out);
        };
        self.capture.lock().prepare(&wire[..query.question_end()], query.name_end, context.limit);
        self.handler.prepare(context);
        self.handler
            .handle_request::<_, TokioTime>(&request, self.capture.clone())
            .now_or_never()
            .expect("the handler awaits only the capture, which is ready at once");
        let mut captured = self.capture.lock();
        let Some(code) = captured.code else {
            return write_failure(asked, ResponseCode::ServFail, out);
        };
        std::mem::swap(out, &mut captured.bytes);
        // Another type may have stood for the one that was asked for.
        let kind = query.name_end..query.name_end + 2;
        out[kind.clone()].copy_from_slice(&wire[kind]);
        if out[2] & TC != 0 {
            let flags = [out[2], out[3]];
            write_bare(wire, code, Some(query.question_end()), out);
            out[2..4].copy_from_slice(&flags);
        }
        drop(captured);
        Found { code, remarks: self.handler.remarks(), counted: Counted::Handled }
    }
}

/// An answer before it is signed.
struct Found {
    code: ResponseCode,
    remarks: Remarks,
    counted: Counted,
}

/// Where the counters of an answer are.
#[derive(Debug, Clone)]
enum Counted {
    /// With the zone of the compiled table.
    Plain(Told),
    /// In this place of the memory.
    Recalled(usize),
    /// With the handler's last answer.
    Handled,
    /// With the zone whose keys were asked for.
    Apex((ResponseCode, Class), Arc<Counters>),
    /// With no zone.
    Bare((ResponseCode, Class)),
}

/// A query on its way to a reply.
struct Asked<'a> {
    wire: &'a [u8],
    query: &'a Query,
    peer: Peer,
    cookie: Option<Judged>,
    /// The most bytes of the reply.
    most: u16,
    context: Context,
}

impl<'a> Asked<'a> {
    /// The name asked for, as it is on the wire.
    fn name(&self) -> &'a [u8] {
        &self.wire[HEADER..self.query.name_end]
    }

    /// Whether the client has shown that it is where it says.
    fn is_known(&self) -> bool {
        self.cookie.is_some_and(|cookie| cookie.standing == Standing::Valid)
    }
}

fn write_failure(asked: &Asked<'_>, code: ResponseCode, out: &mut Vec<u8>) -> Found {
    write_bare(asked.wire, code, Some(asked.query.question_end()), out);
    let counted = Counted::Bare((code, Class::of_bare(code)));
    Found { code, remarks: Remarks::default(), counted }
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
