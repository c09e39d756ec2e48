//! The step between the responder and the handler that spares the handler questions it has answered for good.

use hickory_proto::op::ResponseCode;

use super::{Asked, Responder};
use crate::limits::{HEADER, MAX_NAME};
use crate::memory::Question;
use crate::plain::{CLASS_IN, TC};
use crate::reply_opt::Remarks;

impl Responder {
    /// Writes the handler's answer: one that is remembered, or a new one, which is remembered if it lasts.
    pub(super) fn write_learnt(
        &mut self,
        asked: &Asked<'_>,
        out: &mut Vec<u8>,
    ) -> (ResponseCode, Remarks) {
        let Asked { wire, query, peer, context, .. } = *asked;
        let field = |at: usize| u16::from_be_bytes([wire[at], wire[at + 1]]);
        let learns = self.compiled && self.handler.published().is_some();
        // What is told to those who ask for signatures is not what others are told to the same question.
        let learns = learns && !self.is_signature_asked(asked);
        if !learns || field(query.name_end + 2) != CLASS_IN {
            return self.write_handled(asked, out);
        }
        let mut scratch = [0; MAX_NAME];
        let name = &mut scratch[..query.name_end - HEADER];
        name.copy_from_slice(asked.name());
        name.make_ascii_lowercase();
        let question = Question { name, kind: field(query.name_end), limit: context.limit };
        let recalled = self.memory.recall(question, &wire[..query.question_end()], out);
        if let Some((answered, counters)) = recalled {
            self.handler.next_turn();
            counters.count(answered, peer.transport, 1);
            return (answered.0, Remarks::default());
        }
        let (code, remarks) = self.write_handled(asked, out);
        let told = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        let whole = told && remarks == Remarks::default() && out[2] & TC == 0;
        if let Some((class, counters)) = self.handler.lasting().filter(|_| whole) {
            let answered = ((code, class), counters);
            self.memory.keep(question, (out, query.question_end()), answered);
        }
        (code, remarks)
    }
}
