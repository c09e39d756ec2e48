//! Who is in the group, who votes, and which change of that is possible.
//!
//! ```text
//! RequestMembership ─▶ check ─▶ requested ──the leader carries it out──▶ Raft's membership entry ─▶ take ─▶ done
//!                        │           └── a later request, or another change, comes first ─▶ superseded
//!                        └─▶ rejection
//! ```
//!
//! The members stand here as Raft's own entries of the log say, never as anybody reports them. At most one change is
//! requested and not carried out; it was judged by exactly these members, because any other change voids it. None is
//! accepted while a change of voters is half done: the leader completes that first, whoever asked for it.
//!
//! Placement: no region holds more than half of the votes, so that the group outlives the loss of any one region. An
//! even number of voters is a step between two odd ones; there, half is as little as one vote at a time allows. A
//! group that is placed badly (all of it in one region, say) may change in every way that does not make it worse.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::command::Rejection;
use crate::id::{AgentId, AgentName, RegionName, RequestId};
use crate::spec::SpecError;

/// The most members of a group.
pub(crate) const MAX_MEMBERS: usize = 100;

/// A member, as Raft's membership describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub region: String,
    /// Where other agents reach it: `IP:PORT`.
    pub peer_address: String,
    /// Where clients reach it: `IP:PORT`.
    pub api_address: String,
    /// The data directory that its number is bound to; 0 is not bound.
    pub directory: u128,
}

/// A change of who is in the group, who votes, or who leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MembershipChange {
    /// Lets an agent in as a learner: it receives the log and does not vote.
    Add {
        /// Its number, never used before.
        id: AgentId,
        /// Who it is.
        member: Member,
    },
    /// Gives a member a vote.
    Promote(AgentId),
    /// Removes a member; its number is never used again.
    Remove(AgentId),
    /// Hands leadership to this voter, or to [`MembershipChange::ANY_VOTER`].
    TransferLeadership(AgentId),
}

impl MembershipChange {
    /// The number of no agent: the leader names a voter in its place, if one answers it.
    pub const ANY_VOTER: AgentId = AgentId(0);
}

impl fmt::Display for MembershipChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { id, member } => {
                write!(f, "add agent {id}: {} in {}", member.name, member.region)
            }
            Self::Promote(id) => write!(f, "promote agent {id}"),
            Self::Remove(id) => write!(f, "remove agent {id}"),
            Self::TransferLeadership(id) => write!(f, "transfer leadership to agent {id}"),
        }
    }
}

/// A change that was accepted and is still to be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    /// The log index of the request.
    pub index: u64,
    /// The request, whose answer changes if the change is superseded.
    pub request_id: Option<RequestId>,
    /// The change.
    pub change: MembershipChange,
}

/// The members of the group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The members.
    pub members: BTreeMap<AgentId, Member>,
    /// Who votes, or is about to.
    pub voters: BTreeSet<AgentId>,
    /// Whether a change of voters is half done: the old voters still count as well.
    pub joint: bool,
    /// Numbers of former members, at most [`Membership::RETIRED`].
    pub retired: BTreeSet<AgentId>,
    /// Every number up to this one counts as used.
    pub retired_through: u64,
    /// What was accepted and is still to be carried out.
    pub requested: Option<Requested>,
}

impl Membership {
    /// How many numbers of former members are kept one by one; beyond that, the lowest raise `retired_through`.
    pub const RETIRED: usize = 1024;

    /// Says whether there is anything to do for the change. Errors: it is not possible, and why.
    pub(crate) fn check(&self, change: &MembershipChange) -> Result<bool, Rejection> {
        if self.joint {
            return refused(
                "a change of voters is half done, and the leader completes it first".to_string(),
                "ask again once it is done: holdfast cluster status",
            );
        }
        match change {
            MembershipChange::Add { id, member } => self.check_add(*id, member),
            MembershipChange::Promote(id) => {
                let member = self.member(*id)?;
                let region = [(*id, member.region.as_str())];
                self.check_placement(self.votes().chain(region).collect())?;
                Ok(!self.voters.contains(id))
            }
            MembershipChange::Remove(id) => {
                self.member(*id)?;
                let left: BTreeMap<_, _> = self.votes().filter(|(voter, _)| voter != id).collect();
                if left.is_empty() {
                    return refused(
                        format!("agent {id} is the last voter"),
                        "promote another member first: holdfast cluster promote MEMBER",
                    );
                }
                self.check_placement(left).map(|()| true)
            }
            MembershipChange::TransferLeadership(MembershipChange::ANY_VOTER) => refused(
                "no other voter answers the leader".to_string(),
                "bring one back, or promote a member: holdfast cluster promote MEMBER",
            ),
            MembershipChange::TransferLeadership(to) => {
                self.member(*to)?;
                if self.voters.contains(to) {
                    return Ok(true);
                }
                let next = format!("give it a vote: holdfast cluster promote {to}");
                refused(format!("agent {to} does not vote, and only voters lead"), next)
            }
        }
    }

    fn check_add(&self, id: AgentId, member: &Member) -> Result<bool, Rejection> {
        if let Some(known) = self.members.get(&id) {
            return if known == member { Ok(false) } else { differs(id, known, member) };
        }
        if id.0 == 0 {
            return invalid("id", "numbers begin with 1");
        }
        if id.0 <= self.retired_through || self.retired.contains(&id) {
            let next = format!("add it under a number from {} on", self.unused());
            return refused(format!("number {id} was used before, and never is again"), next);
        }
        if self.members.len() >= MAX_MEMBERS {
            return Err(Rejection::LimitReached {
                what: "members".into(),
                limit: MAX_MEMBERS as u64,
            });
        }
        check_form(member)?;
        for (other, known) in &self.members {
            if known.name == member.name {
                return Err(Rejection::NameInUse {
                    name: format!("agent name {}", member.name),
                    owner: format!("agent {other}"),
                    next_step: "give the new agent another name".into(),
                });
            }
        }
        let twice = self.members.iter().find_map(|(other, known)| {
            shared_address([known, member]).map(|address| (address, other, known))
        });
        match twice {
            None => Ok(true),
            Some((address, other, known)) => refused(
                format!("{address} is an address of {} (agent {other})", known.name),
                "give the addresses of the new agent itself",
            ),
        }
    }

    fn member(&self, id: AgentId) -> Result<&Member, Rejection> {
        let missing = || Rejection::NotFound { kind: "member".into(), name: id.to_string() };
        self.members.get(&id).ok_or_else(missing)
    }

    /// The voters with their regions.
    fn votes(&self) -> impl Iterator<Item = (AgentId, &str)> {
        let region = |id: &AgentId| self.members.get(id).map_or("", |member| &member.region);
        self.voters.iter().map(move |id| (*id, region(id)))
    }

    /// Says whether these voters, with their regions, are placed well enough, or no worse than the present ones. A
    /// lone voter is nowhere placed better.
    fn check_placement(&self, votes: BTreeMap<AgentId, &str>) -> Result<(), Rejection> {
        let Some((region, most)) = fullest(votes.values().copied()) else { return Ok(()) };
        let all = votes.len();
        let before = fullest(self.votes().map(|(_, region)| region)).map_or(0, |(_, most)| most);
        let no_worse = most * self.voters.len() <= before * all;
        if all == 1 || 2 * most <= all || no_worse {
            return Ok(());
        }
        refused(
            format!(
                "region {region} would hold {most} of {all} votes; with more than half, its loss stops the group"
            ),
            "first promote a member in another region: holdfast cluster promote MEMBER",
        )
    }

    /// The lowest number from which on none was ever used.
    fn unused(&self) -> u64 {
        let used = self.members.keys().last().max(self.retired.last());
        used.map_or(0, |id| id.0).max(self.retired_through).saturating_add(1)
    }

    /// Takes over what Raft's log says from here on; returns the request that this voids.
    pub(crate) fn take(
        &mut self,
        members: BTreeMap<AgentId, Member>,
        voters: BTreeSet<AgentId>,
        joint: bool,
    ) -> Option<Requested> {
        let requested = self.requested.take();
        let before = core::mem::replace(&mut self.members, members);
        let voted = core::mem::replace(&mut self.voters, voters);
        self.joint = joint;
        let gone: BTreeSet<AgentId> =
            before.keys().copied().filter(|id| !self.members.contains_key(id)).collect();
        self.retire(gone);
        let requested = requested?;
        if !self.follows(&requested.change, before, voted) {
            return Some(requested);
        }
        let half_done = match &requested.change {
            MembershipChange::TransferLeadership(_) => true,
            MembershipChange::Remove(id) => joint || self.members.contains_key(id),
            MembershipChange::Add { .. } | MembershipChange::Promote(_) => joint,
        };
        self.requested = half_done.then_some(requested);
        None
    }

    /// Whether the change, and nothing else, leads from what was before to what is.
    fn follows(
        &self,
        change: &MembershipChange,
        mut members: BTreeMap<AgentId, Member>,
        mut voters: BTreeSet<AgentId>,
    ) -> bool {
        match change {
            MembershipChange::Add { id, member } => {
                members.insert(*id, member.clone());
            }
            MembershipChange::Promote(id) => {
                voters.insert(*id);
            }
            MembershipChange::Remove(id) => {
                voters.remove(id);
                // It stays as long as the old voters count.
                if !self.members.contains_key(id) {
                    members.remove(id);
                }
            }
            MembershipChange::TransferLeadership(to) => return self.voters.contains(to),
        }
        self.members == members && self.voters == voters
    }

    fn retire(&mut self, gone: BTreeSet<AgentId>) {
        self.retired.extend(gone);
        while self.retired.len() > Self::RETIRED
            && let Some(lowest) = self.retired.pop_first()
        {
            self.retired_through = self.retired_through.max(lowest.0);
        }
    }
}

/// Says whether an agent that joins is described in a way that it can be known and reached by.
fn check_form(member: &Member) -> Result<(), Rejection> {
    if let Err(error) = AgentName::new(&member.name) {
        return invalid("name", error.to_string());
    }
    if let Err(error) = RegionName::new(&member.region) {
        return invalid("region", error.to_string());
    }
    for (field, address) in
        [("peer_address", &member.peer_address), ("api_address", &member.api_address)]
    {
        if address.parse::<SocketAddr>().is_err() {
            let problem = format!("{address:.80?} is not IP:PORT; agents are reached by IP");
            return invalid(field, problem);
        }
    }
    Ok(())
}

/// An address that two members would share.
pub fn shared_address(pair: [&Member; 2]) -> Option<&str> {
    let [one, other] = pair.map(|member| [&member.peer_address, &member.api_address]);
    one.into_iter().find(|address| other.contains(address)).map(String::as_str)
}

fn differs(id: AgentId, known: &Member, given: &Member) -> Result<bool, Rejection> {
    let what = if known.directory == given.directory {
        format!("as {} in {} at {}", known.name, known.region, known.peer_address)
    } else {
        "with another data directory".into()
    };
    let next = format!("holdfast cluster remove {id}, then add it under a new number");
    refused(format!("agent {id} is a member already, {what}"), next)
}

/// The region with the most votes, and how many.
fn fullest<'a>(regions: impl Iterator<Item = &'a str>) -> Option<(&'a str, usize)> {
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for region in regions {
        *votes.entry(region).or_default() += 1;
    }
    votes.into_iter().max_by_key(|(_, votes)| *votes)
}

fn invalid<T>(field: &str, problem: impl Into<String>) -> Result<T, Rejection> {
    let (field, problem) = (field.into(), problem.into());
    Err(Rejection::InvalidSpec(SpecError { field, problem }))
}

fn refused<T>(problem: String, next_step: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection::Membership { problem, next_step: next_step.into() })
}
