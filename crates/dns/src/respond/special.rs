//! Replies that others make: to what is signed, to transfers over UDP, to what is told (NOTIFY) or asked of a zone (UPDATE).
//!
//! They are counted like all replies over UDP, before they are made and by their length: their senders may be forged,
//! though a signature is right only of whoever has the key.

use hickory_proto::op::ResponseCode;

use super::{Peer, Responder};
use crate::plain::TC;
use crate::rate_limit::{Limited, Subject};
use crate::screen::{Screened, screen};
use crate::streams::{Finish, Special};
use crate::tally::Instead;
use crate::transfer::Question;

impl Responder {
    /// Answers what is signed, or is no query.
    pub(super) fn respond_specially(&mut self, wire: &[u8], peer: Peer, out: &mut Vec<u8>) -> bool {
        let admitted = self.admit(peer, Subject::Failure);
        match admitted.and_then(|()| self.write_special(wire, peer, out)) {
            Ok(told) => told,
            Err(limited) => self.write_cut(wire, limited, out),
        }
    }

    /// Errors: the reply is one too many, or too long for its query.
    fn write_special(
        &mut self,
        wire: &[u8],
        peer: Peer,
        out: &mut Vec<u8>,
    ) -> Result<bool, Limited> {
        let Some(streams) = self.handler.streams() else { return Ok(false) };
        match streams.special(wire, peer, self.handler.published()) {
            Special::Reply(reply) => {
                *out = reply;
                self.weigh(peer, wire.len(), out.len()).map(|()| true)
            }
            Special::Query(query, Finish { room, append }) => {
                let told = match screen(&query, peer) {
                    Screened::Query(plain) => self.write_reply((&query, room), &plain, peer, out),
                    Screened::Fault(fault) => self.write_fault(&query, &fault, peer, out),
                    Screened::Ping(opt) => self.write_ping(&query, opt, peer, out),
                    Screened::Silence(_) => false,
                };
                if told {
                    append(out);
                }
                Ok(told)
            }
            Special::Later(messages) => {
                self.later = Some(messages);
                Ok(false)
            }
        }
    }

    /// Tells whoever sent one message too many to come by a connection, if it can understand that; false for nothing.
    fn write_cut(&mut self, wire: &[u8], limited: Limited, out: &mut Vec<u8>) -> bool {
        let question = Question::of(wire);
        let told = limited == Limited::Cut && question.opcode == 0;
        self.withheld.count_limited(if told { Instead::Truncated } else { Instead::Nothing });
        if told {
            *out = question.bare(ResponseCode::NoError);
            out[2] |= TC;
        }
        told
    }
}

/// Whether a message is a NOTIFY or an UPDATE.
pub(super) fn is_told(wire: &[u8]) -> bool {
    matches!((wire[2] >> 3) & 0x0f, 4 | 5)
}
