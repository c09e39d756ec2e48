//! `RequestMembership`: what comes of it, the leader carries out with Raft; and what Raft's log says of the members.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;

use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::AgentId;
use crate::membership::{Member, MembershipChange, Requested};
use crate::state::{State, Work};

impl State {
    pub(in crate::state) fn request_membership(
        &mut self,
        work: &mut Work<'_>,
        change: &MembershipChange,
    ) -> Result<Reply, Rejection> {
        let open = self.data.membership.check(change)? && !self.leads_already(change);
        if !open {
            return Ok(Reply::Done);
        }
        let requested = Requested {
            index: work.index,
            request_id: work.entry.request_id,
            change: change.clone(),
        };
        if let Some(earlier) = self.data.membership.requested.replace(requested) {
            self.supersede(&earlier, work.index);
        }
        work.say(None, Event::MembershipRequested(change.clone()));
        Ok(Reply::Done)
    }

    /// Takes over the members that Raft's own entry at `index` names: all of them, those who vote from it on, and
    /// whether the voters before it still count as well. Like [`State::apply`], it is total, and goes by the log only.
    pub fn take_membership(
        &mut self,
        index: u64,
        members: BTreeMap<AgentId, Member>,
        voters: BTreeSet<AgentId>,
        joint: bool,
    ) {
        // Not `<=`: the entry that forms the group has index 0.
        if index < self.data.index {
            return;
        }
        self.data.index = index;
        if let Some(requested) = self.data.membership.take(members, voters, joint) {
            self.supersede(&requested, index);
        }
    }

    /// A term has begun: whoever was to lead may do so.
    pub(super) fn settle_transfer(&mut self, leader: AgentId) {
        let requested = &mut self.data.membership.requested;
        requested.take_if(|open| open.change == MembershipChange::TransferLeadership(leader));
    }

    fn leads_already(&self, change: &MembershipChange) -> bool {
        match (change, self.data.term) {
            (MembershipChange::TransferLeadership(to), Some((_, leader))) => *to == leader,
            _ => false,
        }
    }

    /// The request is void: whoever asks again is told so.
    fn supersede(&mut self, requested: &Requested, by: u64) {
        let answer = requested.request_id.and_then(|id| self.data.replies.get_mut(&id));
        if let Some(answer) = answer {
            answer.result = Err(Rejection::Superseded(format!(
                "to {} was agreed on, and the change at index {by} came before it was carried out",
                requested.change
            )));
        }
    }
}
