//! What a responder counts, without looking a counter up for each message.
//!
//! Answers from the compiled table are counted when their view is let go; what is withheld by counters that are made
//! when they are first needed and kept.

use std::sync::OnceLock;

use metrics::{Counter, counter};

use crate::handler::Handler;
use crate::metric;
use crate::plain::Told;
use crate::respond::Transport;
use crate::screen::Silence;

/// What was answered from the compiled table of one view, and is counted when the view is let go.
#[derive(Debug, Default)]
pub(crate) struct Tally(Vec<(Told, Transport, u64)>);

impl Tally {
    pub(crate) fn count(&mut self, told: Told, transport: Transport) {
        match self.0.iter_mut().find(|(known, by, _)| (*known, *by) == (told, transport)) {
            Some((.., queries)) => *queries += 1,
            None => self.0.push((told, transport, 1)),
        }
    }

    pub(crate) fn settle(&mut self, handler: &Handler) {
        let Some(published) = handler.published() else { return };
        let Some(table) = published.table() else { return };
        for (Told { zone, code }, transport, queries) in self.0.drain(..) {
            let zone = zone.map(|number| table.zone(number).name());
            published.counters().count(zone, code, transport, queries);
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
