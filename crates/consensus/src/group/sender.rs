//! Who may say what: a sender is held to its certificate and to the membership.
//!
//! A certificate speaks for the one member that bears its name. Who is no member, as far as is known here, is heard
//! where a joining agent or this one, if it lags, could not go on otherwise: Raft's own messages (a leader that was
//! added lately is known only by what it replicates; it may even bear the name of a member removed since) and the
//! question who somebody is. Before there is a membership, the configured members stand for it.
//!
//! A member forwards what people and programs ask of it, and what is asked in its own name. What only a leader
//! proposes is never forwarded, so no member can pass its opinion off as a leader's.

use holdfast_core::{Actor, ActorKind, AgentId, Command};
use holdfast_wire::command::Proposal;
use holdfast_wire::peer::{Message, MessageKind, Refusal, RefusalReason, Sender};
use openraft::vote::RaftLeaderId as _;

use super::Group;
use super::propose::is_mutation;
use super::serve::is_raft;
use crate::network::IDENTIFY;
use crate::types::Vote;

impl Group {
    /// Checks that the sender is whom the message names, and may send messages of this kind; for messages that are not
    /// the group's to answer. Errors: [`RefusalReason::Denied`].
    pub fn check_sender(&self, sender: &Sender, message: &Message) -> Result<(), Refusal> {
        self.entitled(sender, message).inspect_err(|refusal| self.note_refusal(refusal))
    }

    pub(super) fn entitled(&self, sender: &Sender, message: &Message) -> Result<(), Refusal> {
        let known = self.name_of(message.from);
        check_sender(known.as_deref(), sender, message.from, message.kind)
    }

    /// Checks that `from` may forward the proposal.
    pub(super) fn check_forwarded(
        &self,
        from: AgentId,
        proposal: &Proposal,
    ) -> Result<(), Refusal> {
        check_forwarded(self.name_of(from).as_deref(), from, proposal)
    }

    fn name_of(&self, id: AgentId) -> Option<String> {
        let status = self.0.status.borrow();
        if status.members.is_empty() {
            let configured = self.0.config.peers.iter().find(|member| member.id == id);
            return configured.map(|member| member.name.clone());
        }
        status.members.iter().find(|member| member.id == id).map(|member| member.name.clone())
    }
}

fn check_sender(
    known: Option<&str>,
    sender: &Sender,
    from: AgentId,
    kind: MessageKind,
) -> Result<(), Refusal> {
    match (known, sender) {
        (Some(name), Sender::Certified(shown)) if shown != name => Err(denied(format!(
            "agent {from} is {name} in this group, and the sender's certificate is {shown}'s; give agent {from} \
             the certificate that `holdfast ca issue agent {name}` makes"
        ))),
        (Some(_), _) => Ok(()),
        (None, _) if is_raft(kind) || kind == IDENTIFY => Ok(()),
        (None, _) => Err(denied(format!(
            "agent {from} is not known here as a member, and only members may ask for {}; look at `holdfast cluster \
             status`, and add it with `holdfast cluster add` if it is missing there",
            kind.label()
        ))),
    }
}

fn check_forwarded(known: Option<&str>, from: AgentId, proposal: &Proposal) -> Result<(), Refusal> {
    let Proposal { actor, command, .. } = proposal;
    if is_leaders_own(actor, command) {
        return Err(denied(format!(
            "only the leader proposes {} as {}, and it does so itself; agent {from} must not forward it",
            command.label(),
            actor.name
        )));
    }
    if actor.kind == ActorKind::Agent && known != Some(&actor.name) {
        return Err(denied(format!(
            "agent {from} cannot speak for agent {}; ask that agent itself, or use a person's certificate (`holdfast \
             ca issue user NAME`)",
            actor.name
        )));
    }
    Ok(())
}

/// Whether only a leader proposes this: what observers say, who observes, time, terms and the rules in force.
pub(super) fn is_leaders_own(actor: &Actor, command: &Command) -> bool {
    actor.kind == ActorKind::System
        || !is_mutation(command)
        || matches!(
            command,
            Command::AdmitAgent { .. }
                | Command::RemoveAgent { .. }
                | Command::RaiseLogicVersion { .. }
        )
}

/// Checks that a member of Raft votes, leads and hands over in its own name only.
pub(super) fn check_vote(vote: &Vote, from: AgentId) -> Result<(), Refusal> {
    let named = *vote.leader_id().node_id();
    if named == from.0 {
        return Ok(());
    }
    Err(denied(format!(
        "agent {from} sent a vote of agent {named}; every agent sends its own alone"
    )))
}

fn denied(why: String) -> Refusal {
    Refusal::new(RefusalReason::Denied, why)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::StreamExt as _;
    use holdfast_core::RegionName;
    use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};

    use super::*;
    use crate::codec::encode;
    use crate::codec::rpc::{self, Call, ProposeCall};
    use crate::error::ProposeError;
    use crate::log_store::SyncPolicy;
    use crate::testing::{person, vote};
    use crate::testing_net::{Cluster, certified, declaration, member};

    const RAFT: [MessageKind; 5] = [
        MessageKind::Vote,
        MessageKind::PreVote,
        MessageKind::AppendEntries,
        MessageKind::TransferLeader,
        MessageKind::Snapshot,
    ];

    /// What `group` answers to a message that agent `from` sends with the certificate of agent `shown`.
    async fn say(
        group: &Group,
        (from, shown): (u64, u64),
        kind: MessageKind,
        body: impl Into<Bytes>,
    ) -> Result<Bytes, RefusalReason> {
        let message = Message {
            cluster: "test".to_owned(),
            generation: 0,
            group: group.id(),
            from: AgentId(from),
            to: group.0.config.me.id,
            kind,
            body: body.into(),
        };
        let sender = certified(AgentId(shown));
        let answer = if kind == MessageKind::Snapshot {
            let chunks = futures_util::stream::empty().boxed();
            group.handle_snapshot(&sender, message, chunks).await
        } else {
            group.handle(&sender, message).await
        };
        answer.map_err(|refusal| refusal.reason)
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_speaks_for_its_own_member_only() {
        let cluster = Cluster::formed(3).await;
        cluster.leader().await;
        let group = cluster.group(1);
        let others = [IDENTIFY, MessageKind::Propose, MessageKind::ReadIndex];
        for kind in RAFT.into_iter().chain(others) {
            let denied = say(group, (2, 3), kind, "").await;
            assert_eq!(denied, Err(RefusalReason::Denied), "{}", kind.label());
            let heard = say(group, (2, 2), kind, "").await;
            assert_ne!(heard, Err(RefusalReason::Denied), "{}", kind.label());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_is_heard_where_it_joins_or_leads_alone() {
        let cluster = Cluster::formed(3).await;
        cluster.leader().await;
        let group = cluster.group(1);
        // Nobody knows agent 9; it may as well bear the name of a member that was removed meanwhile.
        for shown in [9, 2] {
            for kind in RAFT {
                let heard = say(group, (9, shown), kind, "").await;
                assert_eq!(heard, Err(RefusalReason::Malformed), "{}", kind.label());
            }
            assert!(say(group, (9, shown), IDENTIFY, "").await.is_ok());
            for kind in [
                MessageKind::Propose,
                MessageKind::ReadIndex,
                MessageKind::Report,
                MessageKind::Heartbeat,
                MessageKind::Confirm,
                MessageKind::AuditHead,
                MessageKind::AuditRead,
            ] {
                let denied = say(group, (9, shown), kind, "").await;
                assert_eq!(denied, Err(RefusalReason::Denied), "{}", kind.label());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn before_there_is_a_membership_the_configured_members_stand_for_it() {
        let mut cluster = Cluster::new(3, SyncPolicy::Immediate);
        let mut config = cluster.config(1);
        config.peers = (1..=3).map(member).collect();
        cluster.try_start(config).await.expect("the group starts");
        let group = cluster.group(1);
        assert!(cluster.status(1).members.is_empty());
        for (from, shown, denied) in [(2, 2, false), (2, 3, true), (9, 9, true)] {
            let answer = say(group, (from, shown), MessageKind::ReadIndex, "").await;
            assert_eq!(answer == Err(RefusalReason::Denied), denied, "{shown} as {from}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_votes_or_leads_in_anothers_name() {
        let cluster = Cluster::formed(3).await;
        let leader = cluster.leader().await;
        let group = cluster.group(leader);
        let (thief, victim) = (leader % 3 + 1, (leader + 1) % 3 + 1);
        let stolen = vote(99, victim);
        let election = rpc::encode_vote_request(&VoteRequest::new(stolen, None));
        let append = rpc::encode_append(&AppendEntriesRequest {
            vote: stolen,
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        });
        let transfer = rpc::encode_transfer(&TransferLeaderRequest::new(stolen, leader, None));
        let snapshot = rpc::snapshot_call(&stolen, Vec::new(), 0, [0; 32]);
        let bodies = [election.clone(), election.clone(), append, transfer, snapshot];
        for (kind, body) in RAFT.into_iter().zip(bodies) {
            let denied = say(group, (thief, thief), kind, Call::encode(0, 0, body)).await;
            assert_eq!(denied, Err(RefusalReason::Denied), "{}", kind.label());
        }
        let asked = Call::encode(0, 0, election);
        let own = say(group, (victim, victim), MessageKind::PreVote, asked).await;
        assert!(own.is_ok(), "{own:?}");
        assert_eq!(cluster.leader().await, leader, "none of it reached raft");
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_a_leader_proposes_is_not_taken_from_a_member() {
        let cluster = Cluster::formed(3).await;
        let leader = cluster.leader().await;
        let from = leader % 3 + 1;
        let agent = |id| Actor { kind: ActorKind::Agent, name: member(id).name };
        let admit = Command::AdmitAgent {
            id: AgentId(7),
            name: "agent-7".parse().expect("a name"),
            region: RegionName::new("eu").expect("a name"),
            observer: true,
        };
        let beats = Command::RecordHeartbeats { term: 1, beats: Vec::new() };
        let table = [
            (person(), declaration(1), true),
            (agent(from), declaration(2), true),
            (agent(leader), declaration(3), false),
            (Actor::system(), declaration(4), false),
            (Actor::system(), Command::AdvanceTime, false),
            (person(), admit, false),
            (person(), Command::RemoveAgent { id: AgentId(3) }, false),
            (agent(from), beats, false),
        ];
        for (actor, command, taken) in table {
            let what = format!("{} as {}", command.label(), actor.name);
            let proposal = Proposal { request_id: None, actor, command };
            let proposal = holdfast_wire::command::encode(&proposal).into();
            let call = encode(&ProposeCall { patience_ms: 1000, proposal });
            let answer = say(cluster.group(leader), (from, from), MessageKind::Propose, call).await;
            match answer {
                Ok(_) => assert!(taken, "{what} was taken"),
                Err(reason) => {
                    assert_eq!((taken, reason), (false, RefusalReason::Denied), "{what}")
                }
            }
        }
        assert_eq!(cluster.view(leader).zones.len(), 2);
        assert!(cluster.view(leader).agents.is_empty());
    }

    /// A leader that is deposed while it proposes keeps its opinion to itself.
    #[tokio::test(start_paused = true)]
    async fn a_follower_does_not_forward_what_a_leader_proposes() {
        let cluster = Cluster::formed(3).await;
        let follower = cluster.group(cluster.leader().await % 3 + 1);
        let refused = follower.propose(None, Actor::system(), Command::AdvanceTime).await;
        assert!(
            matches!(&refused, Err(ProposeError::Invalid(why)) if why.contains("leads no more")),
            "{refused:?}"
        );
    }
}
