//! From records to messages: as many records to a message as fit, each message signed where the request was.
//!
//! The question stands in the first message only (RFC 5936, 2.2.1), and so does the OPT. Names are compressed within a
//! message. A message is made when it is asked for, so a transfer takes the room of one.

use std::iter::Peekable;
use std::sync::Arc;

use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinEncodable as _, BinEncoder};
use holdfast_core::answer::AnswerRecord;
use holdfast_core::seam::Clock;

use crate::compiled::encoder_behind;
use crate::limits::{HEADER, OPT};
use crate::opt::Opt;
use crate::record::wire_record;
use crate::reply_opt::{Remarks, ReplyOpt};
use crate::tsig::Signer;

use super::request::Question;

/// The most bytes of a message of a transfer: a longer one saves nothing, for pointers reach 16 KiB (RFC 5936, 3.4).
pub(crate) const MAX_MESSAGE: u16 = 16 * 1024;

/// QR and AA.
const FLAGS: u8 = 0x84;

/// The messages of a reply.
pub(crate) struct Messages<I: Iterator<Item = AnswerRecord>> {
    question: Question,
    /// The request's OPT, until it is answered.
    opt: Option<Opt>,
    records: Peekable<I>,
    signer: Option<Signer>,
    clock: Arc<dyn Clock>,
    limit: u16,
    begun: bool,
}

impl<I: Iterator<Item = AnswerRecord>> Messages<I> {
    /// Messages of at most `limit` bytes each.
    pub(crate) fn new(
        question: Question,
        records: I,
        signer: Option<Signer>,
        clock: Arc<dyn Clock>,
        limit: u16,
    ) -> Self {
        let opt = question.opt;
        Self { question, opt, records: records.peekable(), signer, clock, limit, begun: false }
    }

    /// The only message, if one is enough.
    pub(crate) fn only(mut self) -> Option<Vec<u8>> {
        let message = self.next()?;
        self.records.peek().is_none().then_some(message)
    }

    fn begin(&mut self) -> (Vec<u8>, Option<usize>) {
        let Question { id, recursion_desired, wire, .. } = &self.question;
        let mut message = Vec::with_capacity(usize::from(self.limit));
        message.extend_from_slice(&id.to_be_bytes());
        let first = !std::mem::replace(&mut self.begun, true);
        message.extend_from_slice(&[FLAGS | u8::from(*recursion_desired), 0, 0, u8::from(first)]);
        message.extend_from_slice(&[0; 6]);
        if !first {
            return (message, None);
        }
        message.extend_from_slice(wire);
        // Behind the name stand its type and class.
        let name_end = message.len() - 4;
        (message, Some(name_end))
    }

    /// Room for what stands behind the records.
    fn tail(&self) -> usize {
        self.opt.map_or(0, |_| OPT) + self.signer.as_ref().map_or(0, Signer::room)
    }

    /// Writes records as long as they fit; how many. `None` for a record that cannot be written at all.
    fn fill(&mut self, message: &mut Vec<u8>, name_end: Option<usize>) -> Option<u16> {
        let most = usize::from(self.limit).saturating_sub(self.tail());
        let mut encoder = match name_end {
            Some(name_end) => encoder_behind(message, name_end),
            None => BinEncoder::with_offset(message, HEADER as u32),
        };
        encoder.set_max_size(u16::try_from(most).unwrap_or(u16::MAX));
        let mut count = 0;
        while let Some(record) = self.records.peek() {
            let before = encoder.offset();
            let record: Record = wire_record(record)?;
            if count == u16::MAX || record.emit(&mut encoder).is_err() {
                encoder.set_offset(before);
                encoder.trim();
                return (count > 0).then_some(count);
            }
            count += 1;
            self.records.next();
        }
        Some(count)
    }
}

impl<I: Iterator<Item = AnswerRecord>> Iterator for Messages<I> {
    type Item = Vec<u8>;

    /// The next message; an empty one where a record cannot be written, which ends the transfer.
    fn next(&mut self) -> Option<Vec<u8>> {
        self.records.peek()?;
        let (mut message, name_end) = self.begin();
        let Some(count) = self.fill(&mut message, name_end) else {
            return Some(Vec::new());
        };
        message[6..8].copy_from_slice(&count.to_be_bytes());
        if let Some(opt) = self.opt.take() {
            let code = hickory_proto::op::ResponseCode::NoError;
            ReplyOpt::bare(opt).push(code, Remarks::default(), self.limit, &mut message);
        }
        if let Some(signer) = &mut self.signer {
            signer.sign(&mut message, seconds(&*self.clock));
        }
        Some(message)
    }
}

/// The time in seconds, as TSIG has it.
pub(super) fn seconds(clock: &dyn Clock) -> u64 {
    clock.now().0 / 1000
}
