//! The answers that are remembered, so that a request that is asked again is done once.
//!
//! Whoever asks through the API may ask again for a day. A dynamic update is asked again under its number by the agent
//! that had it, for seconds, and by whoever repeats the signed message, for as long as agents take its signature: twice the
//! longest fudge, 10 min, and by how far their clocks are apart. So updates are forgotten after an hour.
//!
//! Invariant: each has places of its own, so programs that update zones, however often, do not shorten what people are
//! promised. An answer stands in one of the two orders exactly as long as it is remembered.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::State;
use crate::command::{Command, Entry, Outcome};
use crate::id::RequestId;
use crate::shared_map::SharedMap;
use crate::time::Timestamp;

type Order = VecDeque<(Timestamp, RequestId)>;
type Replies = SharedMap<RequestId, Outcome>;

impl State {
    /// Remembers the answer to a request that has a number.
    pub(super) fn remember(&mut self, entry: &Entry, outcome: &Outcome) {
        let Some(id) = entry.request_id else { return };
        let data = &mut self.data;
        data.replies.insert(id, outcome.clone());
        let order = match entry.command {
            Command::UpdateZone(_) => &mut data.update_order,
            _ => &mut data.reply_order,
        };
        order.push_back((data.at, id));
        self.forget_replies();
    }

    /// Forgets the answers that no replay may ask for any more, and the oldest beyond what is kept.
    pub(super) fn forget_replies(&mut self) {
        let data = &mut self.data;
        let now = data.at;
        let people = (Entry::REPLAY_WINDOW, Entry::REPLAY_LIMIT);
        forget((&mut data.reply_order, &mut data.replies), people, now);
        let updates = (Entry::UPDATE_REPLAY_WINDOW, Entry::UPDATE_REPLAY_LIMIT);
        forget((&mut data.update_order, &mut data.replies), updates, now);
    }
}

fn forget(
    (order, replies): (&mut Order, &mut Replies),
    (window, limit): (Duration, usize),
    now: Timestamp,
) {
    while let Some(&(at, id)) = order.front()
        && (at + window < now || order.len() > limit)
    {
        order.pop_front();
        replies.remove(&id);
    }
}
