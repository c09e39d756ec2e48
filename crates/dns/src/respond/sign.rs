//! The step between an answer and its OPT that is for clients that ask for DNSSEC.

use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use holdfast_core::Timestamp;
use metrics::counter;

use super::{Asked, Counted, Found, Responder, Transport, write_bare};
use crate::class::Class;
use crate::dnssec::{self, Completed, Signers, apex};
use crate::metric;
use crate::plain::{AA, TC};
use crate::rate_limit::prefix_of;
use crate::reply_opt::{ExtendedError, Remarks};

/// An RRSIG is asked for as one set of the name (RFC 8482, 4.1), of which the signatures are told alone.
const ANY: u16 = 255;

/// Whether a question is for what only signed zones have.
pub(super) fn is_of_signing(signers: &Signers, asked: &Asked<'_>) -> bool {
    !signers.is_empty()
        && (apex::is_asked(asked.wire, asked.query)
            || dnssec::is_signature_asked(signers, asked.wire, asked.query))
}

impl Responder {
    /// Whether the question is for the signatures of a name in a signed zone.
    pub(super) fn is_signature_asked(&self, asked: &Asked<'_>) -> bool {
        let signers = self.handler.published().map(|published| published.signers());
        signers.is_some_and(|all| dnssec::is_signature_asked(all, asked.wire, asked.query))
    }

    /// The message for the handler.
    pub(super) fn message_of(&self, asked: &Asked<'_>) -> Vec<u8> {
        let mut message = asked.query.normalized(asked.wire);
        if self.is_signature_asked(asked) {
            let kind = asked.query.name_end..asked.query.name_end + 2;
            message[kind].copy_from_slice(&ANY.to_be_bytes());
        }
        message
    }

    /// Writes the reply to a question for the keys of a signed zone, whoever asks; `None` for any other question.
    pub(super) fn write_apex(&self, asked: &Asked<'_>, out: &mut Vec<u8>) -> Option<Found> {
        let published = self.handler.published()?;
        let view = (published.signers(), &**published.answers());
        let zone = apex::answer(view, (asked.wire, asked.query), out)?;
        if out.len() > usize::from(asked.context.limit) {
            write_cut(asked, out);
        }
        let code = ResponseCode::NoError;
        let counters = Arc::clone(published.counters().at(Some(zone)));
        let counted = Counted::Apex((code, Class::Positive), counters);
        Some(Found { code, remarks: Remarks::default(), counted })
    }

    /// Completes an answer for a client that asks for DNSSEC. What cannot be signed in time, or is too long then, is cut
    /// over UDP, so that real clients come again over TCP, and refused there. `exists`: no wildcard stood in for the name asked for.
    pub(super) fn sign(
        &mut self,
        asked: &Asked<'_>,
        (&Found { code, remarks, .. }, exists): (&Found, bool),
        out: &mut Vec<u8>,
    ) -> (ResponseCode, Remarks) {
        let Some(opt) = asked.query.opt.filter(|opt| opt.dnssec_ok) else { return (code, remarks) };
        let Some(published) = self.handler.published() else { return (code, remarks) };
        let view = (published.signers(), &**published.answers());
        let now = self.source.signing().map_or(Timestamp(0), |(signing, _)| signing.clock.now());
        let step = dnssec::Asked {
            name_end: asked.query.name_end,
            limit: asked.context.limit,
            compact_ok: opt.compact_ok,
            exists,
            network: prefix_of(asked.peer.address.ip()),
            now,
        };
        let completed = match &mut self.completer {
            Some(completer) => completer.complete(view, step, out),
            None => dnssec::unable(view.0, asked.name()),
        };
        match completed {
            Completed::Unsigned | Completed::Signed => (code, remarks),
            Completed::Unable => refuse(asked, ("key", ExtendedError::Unsignable), out),
            Completed::Behind => refuse(asked, ("clock", ExtendedError::ClockBehind), out),
            Completed::Exhausted | Completed::Formless
                if asked.peer.transport == Transport::Udp =>
            {
                write_cut(asked, out);
                (ResponseCode::NoError, remarks)
            }
            Completed::Exhausted => refuse(asked, ("limit", ExtendedError::NotReady), out),
            Completed::Formless => refuse(asked, ("form", ExtendedError::Formless), out),
        }
    }
}

/// Writes SERVFAIL in place of an answer, and counts why.
fn refuse(
    asked: &Asked<'_>,
    (why, told): (&'static str, ExtendedError),
    out: &mut Vec<u8>,
) -> (ResponseCode, Remarks) {
    counter!(metric::UNSIGNED, "why" => why).increment(1);
    write_bare(asked.wire, ResponseCode::ServFail, Some(asked.query.question_end()), out);
    (ResponseCode::ServFail, told.into())
}

/// Writes a reply that says no more than that there is more over TCP.
fn write_cut(asked: &Asked<'_>, out: &mut Vec<u8>) {
    write_bare(asked.wire, ResponseCode::NoError, Some(asked.query.question_end()), out);
    out[2] |= TC | AA;
}
