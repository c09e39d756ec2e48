//! Asks every member how it sees the cluster and itself, all at once: what `cluster status` shows and `doctor` judges.

use std::time::Duration;

use futures_util::future::join_all;
use holdfast_core::Timestamp;
use holdfast_wire::pb::v1 as pb;

use crate::client::{Answer, Client, cluster};
use crate::clock;
use crate::context::MAX_MEMBERS;
use crate::failure::Failure;

/// A voter that the leader heard this recently counts as there; several heartbeats.
const HEARD_WITHIN_MS: u64 = 3_000;
/// How long one member may take to tell how it stands.
const PATIENCE: Duration = Duration::from_secs(3);

/// A member and what it said.
#[derive(Debug)]
pub(crate) struct Member {
    /// As the cluster knows it.
    pub listed: pb::Member,
    /// How it sees itself, or why it did not say.
    pub answer: Result<pb::GetClusterResponse, Failure>,
    /// Its wall clock less ours, in milliseconds, as far as whole seconds tell.
    pub clock_offset_ms: Option<i64>,
}

/// The cluster in the words of all its members.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The view of the leader where it answered, else of the first member that did.
    pub cluster: pb::GetClusterResponse,
    /// The members, by number.
    pub members: Vec<Member>,
}

/// How the voters stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Margin {
    /// How many there are.
    pub voters: usize,
    /// How many are there, where it is known.
    pub present: Option<usize>,
}

impl Margin {
    /// Counts the voters that a leader hears; another member does not know.
    pub(crate) fn of(cluster: &pb::GetClusterResponse) -> Self {
        Self::counting(cluster, |_| true)
    }

    fn counting(cluster: &pb::GetClusterResponse, answers: impl Fn(&pb::Member) -> bool) -> Self {
        let voters: Vec<&pb::Member> =
            cluster.members.iter().filter(|member| member.voter).collect();
        let node = cluster.node.as_ref();
        let leads = node.is_some_and(|node| node.id == cluster.leader && cluster.leader != 0);
        let heard = |member: &&&pb::Member| {
            let recently = member.last_heard_ms.is_some_and(|ago| ago <= HEARD_WITHIN_MS);
            member.leader || (recently && answers(member))
        };
        Self { voters: voters.len(), present: leads.then(|| voters.iter().filter(heard).count()) }
    }

    /// Of a survey: a voter that does not answer us is not counted on, although the leader may have heard it a moment ago.
    pub(crate) fn surveyed(survey: &Survey) -> Self {
        let silent = |member: &&Member| member.listed.voter && member.answer.is_err();
        let silent: Vec<u64> =
            survey.members.iter().filter(silent).map(|member| member.listed.id).collect();
        Self::counting(&survey.cluster, |voter| !silent.contains(&voter.id))
    }

    /// How many more voters may fall away before nothing can be changed any more; negative without quorum.
    pub(crate) fn spare(&self) -> Option<i64> {
        let majority = i64::try_from(self.voters / 2 + 1).ok()?;
        Some(i64::try_from(self.present?).ok()? - majority)
    }
}

/// How one member sees the cluster; with the hash of its state where asked for, which takes a moment.
async fn cluster_of(
    client: &Client,
    with_state_hash: bool,
) -> Result<Answer<pb::GetClusterResponse>, Failure> {
    client
        .call("look at the cluster", async |channel| {
            cluster(channel)
                .get_cluster(client.request(pb::GetClusterRequest { with_state_hash }))
                .await
        })
        .await
}

/// How the leader sees the cluster, where it can be asked; else how the member that answers first does.
pub(crate) async fn leader_view(client: &Client) -> Result<pb::GetClusterResponse, Failure> {
    let first = cluster_of(client, false).await?.value;
    let leader = first.members.iter().find(|member| member.leader);
    let elsewhere =
        leader.filter(|leader| first.node.as_ref().is_none_or(|node| node.id != leader.id));
    if let Some(leader) = elsewhere
        && let Ok(client) = client.only(&leader.api_address, PATIENCE)
        && let Ok(answer) = cluster_of(&client, false).await
    {
        return Ok(answer.value);
    }
    Ok(first)
}

/// Asks every member. Errors: none of those that the options name answered.
pub(crate) async fn survey(client: &Client, with_state_hash: bool) -> Result<Survey, Failure> {
    let cluster = leader_view(client).await?;
    let asked =
        cluster.members.iter().take(MAX_MEMBERS).map(|member| ask(client, member, with_state_hash));
    let mut members = join_all(asked).await;
    members.sort_by_key(|member| member.listed.id);
    Ok(Survey { cluster, members })
}

async fn ask(client: &Client, member: &pb::Member, with_state_hash: bool) -> Member {
    let before = clock::now();
    let answer = match client.only(&member.api_address, PATIENCE) {
        Ok(client) => cluster_of(&client, with_state_hash).await,
        Err(failure) => Err(failure),
    };
    let offset =
        answer.as_ref().ok().and_then(|answer| offset_ms(answer.date?, before, clock::now()));
    Member {
        listed: member.clone(),
        answer: answer.map(|answer| answer.value),
        clock_offset_ms: offset,
    }
}

/// How far a clock is off that read `date`, in whole seconds, at some moment between `before` and `after`; 0 where it
/// may be right.
fn offset_ms(date: Timestamp, before: Timestamp, after: Timestamp) -> Option<i64> {
    let [date, before, after] = [date.0, before.0, after.0].map(i64::try_from);
    let (date, before, after) = (date.ok()?, before.ok()?, after.ok()?);
    let (earliest, latest) = (date - after, date + 999 - before);
    Some(if earliest > 0 { earliest } else { latest.min(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(id: u64, leader: bool, heard: Option<u64>) -> pb::Member {
        pb::Member { id, voter: true, leader, last_heard_ms: heard, ..pb::Member::default() }
    }

    fn view(node: u64) -> pb::GetClusterResponse {
        pb::GetClusterResponse {
            leader: 1,
            node: Some(pb::Node { id: node, ..pb::Node::default() }),
            members: vec![
                voter(1, true, None),
                voter(2, false, Some(40)),
                voter(3, false, Some(60_000)),
            ],
            ..pb::GetClusterResponse::default()
        }
    }

    #[test]
    fn only_the_leader_knows_who_is_there() {
        let margin = Margin::of(&view(1));
        assert_eq!((margin, margin.spare()), (Margin { voters: 3, present: Some(2) }, Some(0)));
        assert_eq!(Margin::of(&view(2)).spare(), None);
    }

    #[test]
    fn a_voter_that_does_not_answer_is_not_counted_on_though_it_was_heard_a_moment_ago() {
        let cluster = pb::GetClusterResponse {
            members: vec![
                voter(1, true, None),
                voter(2, false, Some(40)),
                voter(3, false, Some(900)),
            ],
            ..view(1)
        };
        assert_eq!(Margin::of(&cluster).spare(), Some(1));
        let members = cluster.members.iter().map(|listed| Member {
            listed: listed.clone(),
            answer: match listed.id {
                3 => Err(Failure::error("connection refused")),
                _ => Ok(cluster.clone()),
            },
            clock_offset_ms: None,
        });
        let survey = Survey { members: members.collect(), cluster: cluster.clone() };
        let margin = Margin::surveyed(&survey);
        assert_eq!((margin, margin.spare()), (Margin { voters: 3, present: Some(2) }, Some(0)));
    }

    #[test]
    fn an_offset_is_what_whole_seconds_cannot_explain() {
        let offset =
            |date, before, after| offset_ms(Timestamp(date), Timestamp(before), Timestamp(after));
        assert_eq!(offset(10_000, 10_200, 10_300), Some(0));
        assert_eq!(offset(10_000, 10_999, 11_050), Some(0));
        assert_eq!(offset(10_000, 12_000, 12_010), Some(-1001));
        assert_eq!(offset(15_000, 12_000, 12_010), Some(2990));
    }
}
