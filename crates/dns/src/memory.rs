//! Answers of the handler that are the same for everybody, kept for as long as their view is served.
//!
//! ```text
//! name and type ─▶ hash ─▶ place ─┬─ the same question, of this view, made for as much room or less ─▶ its bytes
//!                                 └─ another one: the handler answers, and its answer takes the place
//! ```
//!
//! What is kept is what follows the question, with the flags and counts before it: nothing of that depends on how the name
//! is written. An answer that was made whole within a limit is the same within a wider one. Another view begins anew, since
//! an answer may hold records of any name.
//!
//! Invariant: what is recalled is byte for byte what the handler would answer. A memory has a fixed number of places, and
//! what a place keeps is no longer than a datagram; names that nobody asks twice cost others no more than their place.
//!
//! What it deliberately does not decide: which answers are the same for everybody (`handler`).

use std::sync::Arc;

use hickory_proto::op::ResponseCode;

use crate::class::Class;
use crate::limits::{HEADER, MAX_UDP};
use crate::metric::Counters;
use crate::plain::AA;
use crate::publish::Position;
use crate::table::hash_of;

/// Answers that are kept at a time.
const PLACES: usize = 1 << 10;

/// A question of class IN.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// In wire form and lower case.
    pub(crate) name: &'a [u8],
    pub(crate) kind: u16,
    /// The most bytes of the answer without its OPT.
    pub(crate) limit: u16,
}

/// An answer.
#[derive(Debug)]
struct Kept {
    /// The number of its view.
    view: u64,
    name: Vec<u8>,
    kind: u16,
    limit: u16,
    /// The header, with the flags of the answer alone.
    header: [u8; HEADER],
    records: Vec<u8>,
    answered: (ResponseCode, Class),
    counters: Arc<Counters>,
}

/// The answers that a thread remembers; its places are made when the first is kept.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    places: Vec<Option<Kept>>,
    position: Option<Position>,
    view: u64,
}

impl Memory {
    /// Goes over to the view that is served at this position; what was kept of another is forgotten.
    pub(crate) fn serve(&mut self, position: Option<Position>) {
        if self.position != position {
            self.position = position;
            self.view += 1;
        }
    }

    /// Writes what was kept behind the question, which is `asked` as it is on the wire, header included; its code, and its
    /// place.
    pub(crate) fn recall(
        &self,
        question: Question<'_>,
        asked: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<(ResponseCode, usize)> {
        let place = place_of(question);
        let kept = self.places.get(place)?.as_ref()?;
        let same = kept.view == self.view && kept.kind == question.kind;
        if !same || kept.limit > question.limit || kept.name != question.name {
            return None;
        }
        out.clear();
        out.extend_from_slice(&[asked[0], asked[1], asked[2] & 0x79 | kept.header[2]]);
        out.extend_from_slice(&kept.header[3..]);
        out.extend_from_slice(&asked[HEADER..]);
        out.extend_from_slice(&kept.records);
        Some((kept.answered.0, place))
    }

    /// How the answer in a place is counted, and where.
    pub(crate) fn kept_at(&self, place: usize) -> Option<((ResponseCode, Class), &Counters)> {
        let kept = self.places.get(place)?.as_ref()?;
        Some((kept.answered, &kept.counters))
    }

    /// Keeps an answer that is whole, without an OPT; `question_end` is where its question ends.
    pub(crate) fn keep(
        &mut self,
        question: Question<'_>,
        (answer, question_end): (&[u8], usize),
        (answered, counters): ((ResponseCode, Class), Arc<Counters>),
    ) {
        let (Some(header), true) = (answer.first_chunk(), answer.len() <= usize::from(MAX_UDP))
        else {
            return;
        };
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let place = &mut self.places[place_of(question)];
        let (mut name, mut records) =
            place.take().map(|kept| (kept.name, kept.records)).unwrap_or_default();
        name.clear();
        name.extend_from_slice(question.name);
        records.clear();
        records.extend_from_slice(&answer[question_end..]);
        let mut header: [u8; HEADER] = *header;
        header[2] &= 0x80 | AA;
        let (view, kind, limit) = (self.view, question.kind, question.limit);
        *place = Some(Kept { view, name, kind, limit, header, records, answered, counters });
    }
}

fn place_of(question: Question<'_>) -> usize {
    // The hash is keyed at random, and types are few: those of one name lie side by side.
    (hash_of(question.name) as usize).wrapping_add(usize::from(question.kind)) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::QueryCounters;

    const ASKED: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01A\0\0\x0f\0\x01";
    const ANSWER: &[u8] = b"\x55\x55\x84\0\0\x01\0\x01\0\0\0\0\x01a\0\0\x0f\0\x01records";

    const ANSWERED: (ResponseCode, Class) = (ResponseCode::NoError, Class::Positive);

    fn at(index: u64) -> Option<Position> {
        Some(Position { generation: 0, index, live: true })
    }

    fn question(limit: u16) -> Question<'static> {
        Question { name: b"\x01a\0", kind: 15, limit }
    }

    fn keep(memory: &mut Memory, limit: u16, answer: &[u8]) {
        let counters = Arc::clone(QueryCounters::without_view().at(None));
        memory.keep(question(limit), (answer, 19), (ANSWERED, counters));
    }

    fn recalls(memory: &Memory, question: Question<'_>) -> bool {
        memory.recall(question, ASKED, &mut Vec::new()).is_some()
    }

    #[test]
    fn an_answer_is_recalled_under_the_question_as_it_is_asked() {
        let mut memory = Memory::default();
        memory.serve(at(1));
        keep(&mut memory, 512, ANSWER);
        let mut out = vec![9];
        memory.recall(question(512), ASKED, &mut out).expect("kept");
        let expected = [&ASKED[..2], &[0x85], &ANSWER[3..12], &ASKED[12..], b"records"].concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn only_what_is_sure_to_be_the_same_is_recalled() {
        let mut memory = Memory::default();
        memory.serve(at(1));
        keep(&mut memory, 600, ANSWER);
        assert!(recalls(&memory, question(600)) && recalls(&memory, question(1200)));
        assert!(!recalls(&memory, question(599)), "less room");
        assert!(!recalls(&memory, Question { kind: 1, ..question(600) }), "another type");
        assert!(!recalls(&memory, Question { name: b"\x01b\0", ..question(600) }), "another name");
        memory.serve(at(1));
        assert!(recalls(&memory, question(600)), "the same view");
        memory.serve(at(2));
        assert!(!recalls(&memory, question(600)), "another view");
    }

    #[test]
    fn long_answers_are_not_kept_and_places_are_bounded() {
        let mut memory = Memory::default();
        keep(&mut memory, 4000, &[ANSWER, &[0; 1232]].concat());
        assert!(!recalls(&memory, question(4000)));
        for number in 0..3 * PLACES as u32 {
            let name = [&[4][..], &number.to_be_bytes(), &[0]].concat();
            let counters = Arc::clone(QueryCounters::without_view().at(None));
            let question = Question { name: &name, ..question(512) };
            memory.keep(question, (ANSWER, 19), (ANSWERED, counters));
        }
        assert_eq!(memory.places.len(), PLACES);
    }
}
