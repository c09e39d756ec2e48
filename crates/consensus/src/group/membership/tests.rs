use holdfast_core::event::Event;
use holdfast_core::{ActorKind, Rejection, RequestId};
use openraft::EntryPayload;

use super::*;
use crate::config::Storage;
use crate::error::ProposeError;
use crate::log_store::{MemoryDisk, SyncPolicy};
use crate::testing_net::{Cluster, asked, member};
use crate::types::Membership;

fn remove(id: u64) -> MembershipChange {
    MembershipChange::Remove(AgentId(id))
}

fn lead(id: u64) -> MembershipChange {
    MembershipChange::TransferLeadership(AgentId(id))
}

async fn joining(cluster: &mut Cluster, id: u64) -> MembershipChange {
    cluster.storages.insert(id, Storage::Memory(MemoryDisk::default()));
    cluster.start(id).await;
    let member = member(id).joining(cluster.group(id).directory());
    MembershipChange::Add { id: AgentId(id), member }
}

fn others(cluster: &Cluster, of: &[u64]) -> Vec<u64> {
    cluster.nodes.keys().copied().filter(|id| !of.contains(id)).collect()
}

/// The members that agent `at` knows, with their votes.
fn members(cluster: &Cluster, at: u64) -> BTreeMap<u64, bool> {
    cluster.status(at).members.iter().map(|member| (member.id.0, member.voter)).collect()
}

/// How often the chain of agent `at` holds this request.
fn requests(cluster: &Cluster, at: u64, change: &MembershipChange) -> usize {
    let records = cluster.nodes[&at].audit.seen();
    let asked = Event::MembershipRequested(change.clone());
    records.iter().filter(|record| record.content.event == asked).count()
}

/// Has the change agreed on and leaves it at that, as a leader does that dies right then.
async fn agree_only(
    cluster: &Cluster,
    leader: u64,
    number: u128,
    change: MembershipChange,
) -> Outcome {
    let group = cluster.group(leader);
    let until = Instant::now() + Duration::from_secs(5);
    let proposer = group.proposer().expect("it runs");
    proposer.propose(&asked(number, change), until).await.expect("agreed on")
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_carries_out_what_the_last_one_left() {
    let mut cluster = Cluster::formed(5).await;
    let first = cluster.leader().await;
    let gone = others(&cluster, &[first])[0];
    let agreed = agree_only(&cluster, first, 1, remove(gone)).await;
    cluster.kill(first);
    let second = cluster.leader().await;
    assert!(members(&cluster, second).contains_key(&gone), "nobody carries it out unasked");

    let rest = others(&cluster, &[gone]);
    for at in &rest {
        assert_eq!(cluster.change(*at, 1, remove(gone)).await, agreed, "asked at agent {at}");
    }
    cluster.wait_status(rest[0], |status| status.members.len() == 4).await;
    assert!(!members(&cluster, rest[0]).contains_key(&gone));
    assert_eq!(requests(&cluster, rest[0], &remove(gone)), 1, "it was requested once");
}

/// Has the removal of a voter agreed on and its votes changed by half, as a leader does that dies, or whose caller has
/// given up, between the two entries.
async fn remove_by_half(cluster: &Cluster, leader: u64, number: u128, gone: u64) -> Outcome {
    let agreed = agree_only(cluster, leader, number, remove(gone)).await;
    let raft = cluster.group(leader).raft().expect("it runs").clone();
    let present = raft.metrics().borrow_watched().membership_config.membership().clone();
    let old: BTreeSet<u64> = present.voter_ids().collect();
    let left = old.iter().copied().filter(|id| *id != gone).collect();
    let nodes: BTreeMap<_, _> = present.nodes().map(|(id, node)| (*id, node.clone())).collect();
    let joint = Membership::new(vec![old, left], nodes).expect("every voter has a node");
    raft.append_membership(joint, EntryPayload::Blank, []).await.expect("committed");
    agreed
}

/// Waits until agent `at` knows of these members and of nothing that is under way.
async fn settled(cluster: &Cluster, at: u64, expected: &[u64]) {
    let settled = |status: &crate::GroupStatus| {
        status.members.iter().map(|member| member.id.0).eq(expected.iter().copied())
            && !status.joint
            && status.requested.is_none()
    };
    cluster.wait_status(at, settled).await;
    let raft = cluster.group(at).raft().expect("it runs");
    let configs = raft.metrics().borrow_watched().membership_config.get_joint_config().clone();
    assert_eq!(configs, [expected.iter().copied().collect()]);
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_completes_a_change_of_voters_that_is_half_done_unasked() {
    let mut cluster = Cluster::formed(5).await;
    let first = cluster.leader().await;
    let gone = others(&cluster, &[first])[0];
    let left = others(&cluster, &[gone]);
    cluster.kill(gone);
    let agreed = remove_by_half(&cluster, first, 1, gone).await;
    cluster.kill(first);

    let rest = others(&cluster, &[]);
    settled(&cluster, rest[0], &left).await;
    assert_eq!(cluster.change(rest[0], 1, remove(gone)).await, agreed);
    assert_eq!(requests(&cluster, rest[0], &remove(gone)), 1, "it was requested once");
}

#[tokio::test(start_paused = true)]
async fn a_leader_completes_what_its_caller_gave_up_on() {
    let cluster = Cluster::formed(5).await;
    let leader = cluster.leader().await;
    let gone = others(&cluster, &[leader])[0];
    let term = cluster.status(leader).term;
    remove_by_half(&cluster, leader, 1, gone).await;
    settled(&cluster, leader, &others(&cluster, &[gone])).await;
    assert_eq!(cluster.status(leader).term, term);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_half_done_is_completed_before_the_next_and_shown_until_then() {
    let cluster = Cluster::formed(5).await;
    let leader = cluster.leader().await;
    let [gone, next, at, ..] = others(&cluster, &[leader])[..] else { panic!("five members") };
    let changing = cluster.group(leader).proposer().expect("it runs").changing.lock().await;
    let agreed = remove_by_half(&cluster, leader, 1, gone).await;
    let shown =
        |status: &crate::GroupStatus| status.joint && status.requested == Some(remove(gone));
    cluster.wait_status(at, shown).await;
    let early = agree_only(&cluster, leader, 2, remove(next)).await;
    let Err(Rejection::Membership { problem, .. }) = early.result else { panic!("{early:?}") };
    assert!(problem.contains("half done"), "{problem}");
    drop(changing);

    cluster.change(at, 3, remove(next)).await;
    settled(&cluster, leader, &others(&cluster, &[gone, next])).await;
    assert_eq!(cluster.change(at, 1, remove(gone)).await, agreed, "it was not superseded");
}

#[tokio::test(start_paused = true)]
async fn a_leader_removes_itself_once() {
    let cluster = Cluster::formed(3).await;
    let first = cluster.leader().await;
    let rest = others(&cluster, &[first]);
    let agreed = cluster.change(rest[0], 1, remove(first)).await;
    let second = cluster.leader_among(&rest).await;
    cluster.wait_status(second, |status| status.members.len() == 2).await;
    for at in rest {
        assert_eq!(cluster.change(at, 1, remove(first)).await, agreed);
    }
    let anew = cluster.try_change(second, 2, remove(first)).await.expect("an answer");
    let missing = Rejection::NotFound { kind: "member".to_owned(), name: first.to_string() };
    assert_eq!(anew.result, Err(missing));
}

#[tokio::test(start_paused = true)]
async fn leadership_is_not_handed_over_twice_for_one_request() {
    let cluster = Cluster::formed(3).await;
    let first = cluster.leader().await;
    let second = others(&cluster, &[first])[0];
    let agreed = cluster.change(first, 1, lead(second)).await;
    assert_eq!(cluster.leader().await, second);
    cluster.change(second, 2, lead(first)).await;
    assert_eq!(cluster.leader().await, first);
    assert_eq!(cluster.change(second, 1, lead(second)).await, agreed);
    assert_eq!(cluster.status(first).leader, Some(AgentId(first)));
}

/// Kills a member, and waits until the leader hears it no more.
async fn kill_noticed(cluster: &mut Cluster, leader: u64, away: u64) {
    cluster.kill(away);
    let longest = cluster.config(leader).timings.election_max;
    let is_away = |status: &crate::GroupStatus| {
        let member = status.members.iter().find(|member| member.id.0 == away);
        member.and_then(|member| member.acknowledged_ago).is_none_or(|ago| ago > longest)
    };
    cluster.wait_status(leader, is_away).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_may_choose_its_heir_takes_one_that_answers() {
    let any = MembershipChange::TransferLeadership(MembershipChange::ANY_VOTER);
    let mut cluster = Cluster::formed(5).await;
    let leader = cluster.leader().await;
    let [at, .., away] = others(&cluster, &[leader])[..] else { panic!("five members") };
    kill_noticed(&mut cluster, leader, away).await;
    let status = cluster.status(leader);
    let lags = |id| status.members.iter().find(|m| m.id.0 == id).and_then(|m| m.matched);
    assert_eq!(lags(away), lags(at), "by its log alone it would do");
    let agreed = cluster.change(at, 1, any.clone()).await;
    let heir = cluster.leader().await;
    assert!(![leader, away].contains(&heir), "{heir}");
    assert_eq!(cluster.change(at, 1, any).await, agreed, "asked twice");
    assert_eq!(cluster.leader().await, heir);
    assert_eq!(requests(&cluster, at, &lead(heir)), 1);
}

#[tokio::test(start_paused = true)]
async fn leadership_is_not_handed_to_a_voter_that_is_away() {
    let mut cluster = Cluster::formed(5).await;
    let leader = cluster.leader().await;
    let [away, at, ..] = others(&cluster, &[leader])[..] else { panic!("five members") };
    kill_noticed(&mut cluster, leader, away).await;
    let term = cluster.status(leader).term;
    let asked = cluster.try_change(at, 1, lead(away)).await;
    assert!(matches!(asked, Err(ProposeError::Unknown(_))), "{asked:?}");
    assert_eq!((cluster.leader().await, cluster.status(leader).term), (leader, term));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_another_overtook_says_so() {
    let cluster = Cluster::formed(5).await;
    let leader = cluster.leader().await;
    let rest = others(&cluster, &[leader]);
    agree_only(&cluster, leader, 1, remove(rest[0])).await;
    cluster.change(rest[2], 2, remove(rest[1])).await;
    let late = cluster.try_change(rest[2], 1, remove(rest[0])).await.expect("an answer");
    assert!(matches!(late.result, Err(Rejection::Superseded(_))), "{late:?}");
    cluster.wait_status(leader, |status| status.members.len() == 4).await;
    assert!(members(&cluster, leader).contains_key(&rest[0]));
}

#[tokio::test(start_paused = true)]
async fn changes_that_are_asked_at_once_are_made_one_after_the_other() {
    let mut cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    let changes = [joining(&mut cluster, 4).await, joining(&mut cluster, 5).await];
    let [four, five] = changes;
    let (four, five) = futures_util::future::join(
        cluster.try_change(leader, 1, four),
        cluster.try_change(others(&cluster, &[leader])[0], 2, five),
    )
    .await;
    assert!(four.expect("agreed on").result.is_ok());
    assert!(five.expect("agreed on").result.is_ok());
    let expected = BTreeMap::from([(1, true), (2, true), (3, true), (4, false), (5, false)]);
    assert_eq!(members(&cluster, leader), expected);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_put_down_to_whoever_asked() {
    let mut cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    let add = joining(&mut cluster, 4).await;
    let agreed = cluster.change(leader, 9, add.clone()).await;
    let records = cluster.nodes[&leader].audit.seen();
    let record = records.iter().find(|record| record.content.index == agreed.index);
    let content = &record.expect("it is in the chain").content;
    assert_eq!(content.event, Event::MembershipRequested(add));
    assert_eq!((content.actor.kind, content.actor.name.as_str()), (ActorKind::Person, "ann"));
    assert_eq!(content.request_id, Some(RequestId(9)));
}

#[tokio::test(start_paused = true)]
async fn what_the_audit_refuses_changes_no_members() {
    let cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    cluster.nodes[&leader].audit.refuse(Some("the audit disk is full"));
    let gone = others(&cluster, &[leader])[0];
    let group = cluster.group(leader);
    let refused = group.propose_within(asked(1, remove(gone)), Duration::from_secs(1)).await;
    assert!(matches!(refused, Err(ProposeError::AuditRefused(_))), "{refused:?}");
    assert_eq!(members(&cluster, leader).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_learner_that_does_not_catch_up_is_a_change_that_is_not_done() {
    let mut cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    let add = joining(&mut cluster, 4).await;
    cluster.net.isolate(&[4]);
    let group = cluster.group(leader).clone();
    let hasty = group.propose_within(asked(1, add.clone()), Duration::from_secs(1)).await;
    let Err(ProposeError::Unknown(attempts)) = hasty else { panic!("{hasty:?}") };
    assert!(attempts.to_string().contains("agreed on and not carried out yet"), "{attempts}");
    cluster.net.heal();
    cluster.change(leader, 1, add.clone()).await;
    assert_eq!(cluster.status(leader).members.len(), 4);
    assert_eq!(requests(&cluster, leader, &add), 1);
}

#[tokio::test(start_paused = true)]
async fn members_to_form_a_group_of_can_be_told_apart() {
    let mut cluster = Cluster::new(3, SyncPolicy::Immediate);
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let [first, second] = [member(1), member(2)];
    let cases = [
        (Member { id: AgentId(1), ..second.clone() }, "the same number"),
        (Member { name: first.name.clone(), ..second.clone() }, "the name agent-1"),
        (Member { address: first.address.clone(), ..second.clone() }, "the address 10.0.0.1:7000"),
        (
            Member { api_address: first.address.clone(), ..second.clone() },
            "the address 10.0.0.1:7000",
        ),
    ];
    for (second, expected) in cases {
        let refused = cluster.group(1).initialize(&[first.clone(), second]).await;
        let Err(ChangeError::Refused(why)) = refused else { panic!("{expected}: {refused:?}") };
        assert!(why.contains(expected), "{why}");
    }
    assert_eq!(cluster.status(1).members, [], "nothing came of it");
}
