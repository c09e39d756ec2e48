//! Looks at a message before hickory does, and says whether it deserves silence, a fault's reply, or an answer.
//!
//! A reply (QR=1) always gets silence, malformed or not: two servers that answer each other's errors never stop
//! (RUSTSEC-2023-0041). So do messages too short for a header, and those from ports that echo or do not exist.
//! Everything else that is wrong costs one header's reply. What passes is rewritten to the header, the one question
//! and a plain OPT, so that hickory decodes nothing that was not looked at here.
//!
//! Invariant: total on any bytes, and linear in their number. It decides nothing about names.

use std::net::IpAddr;

use hickory_proto::op::ResponseCode;

use crate::cursor::Cursor;
use crate::limits::{HEADER, OPT};
use crate::opt::{Opt, Options, Subnet};
use crate::respond::{Peer, Transport};
use crate::tsig;

/// Source ports that no resolver uses: none, echo, quotd and chargen, with which a forged query would make a loop.
const DEAF_PORTS: [u16; 4] = [0, 7, 17, 19];

const TYPE_OPT: u16 = 41;
const TYPE_IXFR: u16 = 251;
/// It only stands in proofs (RFC 9824, 3.5).
const TYPE_NXNAME: u16 = 128;

/// What is to be done with a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Screened {
    /// Nothing.
    Silence(Silence),
    /// A reply without records.
    Fault(Fault),
    /// A cookie: it was asked for without a question (RFC 7873, 5.4).
    Ping(Opt),
    /// An answer.
    Query(Query),
}

/// Why a message gets no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It has no whole header.
    Short,
    /// It is a reply itself.
    Reply,
    /// It comes from a port that no resolver uses.
    Port,
    /// It comes from an address that is no single host's.
    Source,
}

impl Silence {
    pub(crate) const ALL: [Self; 4] = [Self::Short, Self::Reply, Self::Port, Self::Source];

    /// Its name in the metric.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Reply => "reply",
            Self::Port => "port",
            Self::Source => "source",
        }
    }
}

/// A message that is not a query we answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: ResponseCode,
    /// Where the question ends, when it is one that can be repeated.
    pub(crate) question_end: Option<usize>,
    pub(crate) opt: Option<Opt>,
}

/// A well-formed query of one question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// Where the question's name ends, its root included.
    pub(crate) name_end: usize,
    pub(crate) opt: Option<Opt>,
    /// It is signed, or asks for an increment of a zone.
    pub(crate) special: bool,
}

impl Query {
    /// Where the question ends.
    pub(crate) fn question_end(&self) -> usize {
        self.name_end + 4
    }

    /// The network that the client asks for (RFC 7871).
    pub(crate) fn subnet(&self) -> Option<Subnet> {
        self.opt.and_then(|opt| opt.options.subnet)
    }

    /// The message for hickory: id, opcode and RD, the question as it is, and a plain OPT.
    pub(crate) fn normalized(&self, wire: &[u8]) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.question_end() + OPT);
        message.extend_from_slice(&[wire[0], wire[1], wire[2] & 0x79, 0]);
        message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(self.opt.is_some())]);
        message.extend_from_slice(&wire[HEADER..self.question_end()]);
        if let Some(opt) = self.opt {
            message.extend_from_slice(&opt.record(Opt::limit(Some(opt)), 0));
        }
        message
    }
}

/// Looks at a message.
pub(crate) fn screen(wire: &[u8], peer: Peer) -> Screened {
    if let Some(why) = silence(wire, peer) {
        return Screened::Silence(why);
    }
    let transport = peer.transport;
    let mut scan = Scan {
        wire,
        transport,
        cursor: Cursor::new(wire, HEADER),
        question: None,
        opt: None,
        signed: false,
        fault: false,
    };
    let whole = scan.records().is_some();
    let code = scan.verdict(whole);
    let question_end = scan.question.filter(|_| whole).map(|question| question.name_end + 4);
    match (code, scan.question, scan.opt) {
        (ResponseCode::NoError, Some(question), opt) => {
            let special = scan.signed || question.kind == TYPE_IXFR;
            Screened::Query(Query { name_end: question.name_end, opt, special })
        }
        (ResponseCode::NoError, None, Some(opt)) => Screened::Ping(opt),
        (_, _, opt) => Screened::Fault(Fault { code, question_end, opt }),
    }
}

fn silence(wire: &[u8], peer: Peer) -> Option<Silence> {
    if wire.len() < HEADER {
        return Some(Silence::Short);
    }
    if wire[2] & 0x80 != 0 {
        return Some(Silence::Reply);
    }
    if peer.transport != Transport::Udp {
        return None;
    }
    let source = peer.address.ip().to_canonical();
    let nobody = match source {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    };
    let deaf = DEAF_PORTS.contains(&peer.address.port());
    deaf.then_some(Silence::Port).or(nobody.then_some(Silence::Source))
}

#[derive(Debug, Clone, Copy)]
struct Question {
    name_end: usize,
    kind: u16,
}

/// A walk over a message.
struct Scan<'a> {
    wire: &'a [u8],
    transport: Transport,
    cursor: Cursor<'a>,
    /// The question, when there is exactly one.
    question: Option<Question>,
    opt: Option<Opt>,
    /// There is a TSIG record.
    signed: bool,
    /// Something is not as it must be, though the walk could go on.
    fault: bool,
}

impl Scan<'_> {
    /// What is wrong, in the order in which it matters.
    fn verdict(&self, whole: bool) -> ResponseCode {
        let opcode = (self.wire[2] >> 3) & 0x0f;
        let transfer = self.question.is_some_and(|question| question.kind == TYPE_IXFR);
        let laden = self.count(3) > 0 || (self.count(4) > 0 && !transfer);
        let meta = self.question.is_some_and(|question| question.kind == TYPE_NXNAME);
        if opcode != 0 {
            ResponseCode::NotImp
        } else if !whole
            || self.fault
            || laden
            || meta
            || (self.question.is_none() && !self.asks_cookie())
        {
            ResponseCode::FormErr
        } else if self.opt.is_some_and(|opt| opt.version > 0) {
            ResponseCode::BADVERS
        } else {
            ResponseCode::NoError
        }
    }

    /// Whether there is no question because a cookie is all that is asked for.
    fn asks_cookie(&self) -> bool {
        self.count(2) == 0 && self.opt.is_some_and(|opt| opt.options.cookie.is_some())
    }

    /// The 16-bit field of the header at this place: 2 counts questions, 3 answers, 4 authorities, 5 additionals.
    fn count(&self, place: usize) -> u16 {
        u16::from_be_bytes([self.wire[place * 2], self.wire[place * 2 + 1]])
    }

    /// Walks all sections; `None` where the message ends too early.
    fn records(&mut self) -> Option<()> {
        let questions = self.count(2);
        for _ in 0..questions {
            // Nothing stands before it that its name could point to.
            self.cursor.plain_name()?;
            let name_end = self.cursor.at();
            let kind = self.cursor.u16()?;
            self.cursor.u16()?;
            self.question = Some(Question { name_end, kind }).filter(|_| questions == 1);
        }
        for _ in 0..u32::from(self.count(3)) + u32::from(self.count(4)) {
            self.record(false)?;
        }
        for _ in 0..self.count(5) {
            self.record(true)?;
        }
        Some(())
    }

    fn record(&mut self, additional: bool) -> Option<()> {
        let cursor = &mut self.cursor;
        let rooted = cursor.peek() == Some(0);
        cursor.skip_name()?;
        let (kind, class) = (cursor.u16()?, cursor.u16()?);
        let [_, version, flags, _] = *cursor.take(4)?.first_chunk()?;
        let length = cursor.u16()?;
        let data = cursor.take(usize::from(length))?;
        self.signed |= kind == tsig::TYPE;
        if kind == TYPE_OPT {
            let options = Options::parse(data, self.transport);
            self.fault |= !additional || !rooted || self.opt.is_some() || options.is_none();
            let (dnssec_ok, compact_ok) = (flags & 0x80 != 0, flags & 0x40 != 0);
            let options = options.unwrap_or_default();
            let opt = Opt { payload: class, version, dnssec_ok, compact_ok, options };
            self.opt.get_or_insert(opt);
        }
        Some(())
    }
}
