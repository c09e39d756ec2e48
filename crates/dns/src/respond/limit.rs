//! What a client is given over UDP before anything is known of it: what its replies are counted under, and what is sent in
//! place of one too many.

use hickory_proto::op::ResponseCode;

use super::{Asked, Peer, Responder, Transport, write_bare};
use crate::plain::{Plain, TC, Told};
use crate::rate_limit::{Limited, Subject};
use crate::reply_opt::Remarks;
use crate::table::hash_of_any_case;
use crate::tally::Instead;

impl Responder {
    /// Counts what a reply over UDP has beyond its query.
    pub(super) fn weigh(&mut self, peer: Peer, query: usize, reply: usize) -> Result<(), Limited> {
        match &mut self.limiter {
            Some(limiter) if peer.transport == Transport::Udp => {
                limiter.weigh(peer.address.ip(), query, reply)
            }
            _ => Ok(()),
        }
    }

    /// Counts a reply to a client of whom nothing is known.
    pub(super) fn admit(&mut self, peer: Peer, subject: Subject) -> Result<(), Limited> {
        match &mut self.limiter {
            Some(limiter) if peer.transport == Transport::Udp => {
                limiter.admit(peer.address.ip(), subject)
            }
            _ => Ok(()),
        }
    }

    /// What an answer from the table is counted under.
    pub(super) fn subject_of(&self, plain: Plain) -> Subject {
        let Told { code, zone, .. } = plain.told;
        let table = || self.handler.published().and_then(|published| published.table());
        match (code, zone) {
            (ResponseCode::NoError, _) => Subject::Name(plain.name),
            (ResponseCode::NXDomain, Some(zone)) => {
                table().map_or(Subject::Failure, |table| Subject::Missing(table.zone(zone).hash))
            }
            _ => Subject::Failure,
        }
    }

    /// What the handler's answer is counted under: the name, or what exists above it, so that names under a wildcard
    /// are one.
    pub(super) fn subject(&self, asked: &Asked<'_>) -> Subject {
        let Some(published) = self.handler.published() else { return Subject::Failure };
        let name = asked.name();
        let of_all = || hash_of_any_case(name);
        Subject::Name(published.table().map_or_else(of_all, |table| table.closest(name)))
    }

    /// Sends what makes a real client come back in a way that shows where it is; false for nothing at all.
    pub(super) fn write_limited(
        &mut self,
        asked: &Asked<'_>,
        limited: Limited,
        out: &mut Vec<u8>,
    ) -> bool {
        let (instead, code) = match (limited, asked.cookie) {
            (Limited::Dropped, _) => (Instead::Nothing, ResponseCode::NoError),
            (Limited::Cut, None) => (Instead::Truncated, ResponseCode::NoError),
            (Limited::Cut, Some(_)) => (Instead::BadCookie, ResponseCode::BADCOOKIE),
        };
        self.withheld.count_limited(instead);
        if instead == Instead::Nothing {
            return false;
        }
        write_bare(asked.wire, code, Some(asked.query.question_end()), out);
        if instead == Instead::Truncated {
            out[2] |= TC;
        }
        if let Some(opt) = self.reply_opt(asked) {
            opt.push(code, Remarks::default(), asked.most, out);
        }
        true
    }
}
