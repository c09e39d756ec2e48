//! What a responder counts, without looking a counter up for each message.
//!
//! Answers from the compiled table are counted in a few cells, and told to the counters of their zones when the view is let
//! go: threads do not contend for a counter with each answer. What is withheld is counted by counters that are made when
//! they are first needed and kept.
//!
//! Invariant: a cell holds answers of one view, one zone, one code and class, and one transport; who else needs it settles it first.

use std::sync::OnceLock;

use metrics::{Counter, counter};

use crate::handler::Handler;
use crate::metric;
use crate::plain::Told;
use crate::publish::Published;
use crate::respond::Transport;
use crate::screen::Silence;

/// Cells of a tally: those of 32 zones never meet.
const CELLS: usize = u128::BITS as usize;

/// Answers that are counted alike.
#[derive(Debug, Clone, Copy)]
struct Cell {
    told: Told,
    transport: Transport,
    queries: u32,
}

impl Cell {
    fn settle(&self, published: &Published) {
        let counters = published.counters_of(self.told.zone);
        let Told { code, class, .. } = self.told;
        counters.count((code, class), self.transport, self.queries.into());
    }
}

/// What was answered from the compiled table of one view, and is counted when the view is let go.
#[derive(Debug)]
pub(crate) struct Tally {
    cells: Box<[Option<Cell>; CELLS]>,
    /// A bit for each cell that is not empty.
    used: u128,
}

impl Default for Tally {
    fn default() -> Self {
        Self { cells: Box::new([None; CELLS]), used: 0 }
    }
}

impl Tally {
    pub(crate) fn count(&mut self, told: Told, transport: Transport, handler: &Handler) {
        // The classes of one zone's answers from the table are the first four.
        let zone = told.zone.map_or(0, |zone| zone + 1);
        let place = (zone * 4 + (told.class as usize & 3)) % CELLS;
        let cell = &mut self.cells[place];
        if let Some(same) =
            cell.as_mut().filter(|one| (one.told, one.transport) == (told, transport))
        {
            same.queries += 1;
            return;
        }
        let other = cell.replace(Cell { told, transport, queries: 1 });
        self.used |= 1 << place;
        if let (Some(other), Some(published)) = (other, handler.published()) {
            other.settle(published);
        }
    }

    pub(crate) fn settle(&mut self, handler: &Handler) {
        let Some(published) = handler.published() else { return };
        while self.used != 0 {
            let place = self.used.trailing_zeros() as usize;
            self.used &= self.used - 1;
            if let Some(cell) = self.cells[place].take() {
                cell.settle(published);
            }
        }
    }
}

/// What a client is sent in place of an answer that is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instead {
    Nothing,
    Truncated,
    BadCookie,
}

impl Instead {
    const ALL: [Self; 3] = [Self::Nothing, Self::Truncated, Self::BadCookie];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "drop",
            Self::Truncated => "truncate",
            Self::BadCookie => "badcookie",
        }
    }
}

/// The counters of what is withheld.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    silenced: [[OnceLock<Counter>; Transport::COUNT]; Silence::ALL.len()],
    limited: [OnceLock<Counter>; Instead::ALL.len()],
}

impl Withheld {
    pub(crate) fn count_silence(&self, why: Silence, transport: Transport) {
        let make =
            || counter!(metric::DROPPED, "why" => why.name(), "transport" => transport.name());
        self.silenced[why as usize][transport as usize].get_or_init(make).increment(1);
    }

    pub(crate) fn count_limited(&self, instead: Instead) {
        let make = || counter!(metric::RATE_LIMITED, "action" => instead.name());
        self.limited[instead as usize].get_or_init(make).increment(1);
    }
}
