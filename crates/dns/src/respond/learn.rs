//! The step between the responder and the handler that spares the handler questions it has answered for good.

use hickory_proto::op::ResponseCode;

use super::{Asked, Counted, Found, Responder};
use crate::limits::MAX_NAME;
use crate::memory::Question;
use crate::plain::{CLASS_IN, TC};
use crate::reply_opt::Remarks;
use crate::table::lowered;

impl Responder {
    /// Writes the handler's answer: one that is remembered, or a new one, which is remembered if it lasts.
    pub(super) fn write_learnt(&mut self, asked: &Asked<'_>, out: &mut Vec<u8>) -> Found {
        let Asked { wire, query, context, .. } = *asked;
        let field = |at: usize| u16::from_be_bytes([wire[at], wire[at + 1]]);
        let learns = self.compiled && self.handler.published().is_some();
        // What is told to those who ask for signatures is not what others are told to the same question.
        let learns = learns && !self.is_signature_asked(asked);
        if !learns || field(query.name_end + 2) != CLASS_IN {
            return self.write_handled(asked, out);
        }
        let mut scratch = [0; MAX_NAME];
        let name = lowered(asked.name(), &mut scratch);
        let question = Question { name, kind: field(query.name_end), limit: context.limit };
        let recalled = self.memory.recall(question, &wire[..query.question_end()], out);
        if let Some((code, place)) = recalled {
            self.handler.next_turn();
            let counted = Counted::Recalled(place);
            return Found { code, remarks: Remarks::default(), counted };
        }
        let found = self.write_handled(asked, out);
        let (code, remarks) = (found.code, found.remarks);
        let told = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        let whole = told && remarks == Remarks::default() && out[2] & TC == 0;
        if let Some(answered) = self.handler.lasting().filter(|_| whole) {
            self.memory.keep(question, (out, query.question_end()), answered);
        }
        found
    }
}
