//! Groups of three and more in one process, on simulated disks and a paused clock.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::membership::MembershipChange;
use holdfast_core::{AgentId, Command, RequestId};
use holdfast_wire::peer::{Message, MessageKind, RefusalReason};
use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;
use openraft::storage::{IOFlushed, RaftLogStorage as _};

use super::*;
use crate::config::Storage;
use crate::error::StartError;
use crate::log_store::{MemoryDisk, SyncPolicy};
use crate::network::IDENTIFY;
use crate::testing::{person, zone_name};
use crate::testing_net::{Cluster, certified, declaration, member};
use crate::types::{Blob, LogId, RaftEntry};

fn others(of: u64) -> Vec<u64> {
    (1..=3).filter(|id| *id != of).collect()
}

#[tokio::test(start_paused = true)]
async fn any_agent_takes_a_command_and_all_agree() {
    let cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    for (number, at) in (1..=9).zip([1, 2, 3].into_iter().cycle()) {
        let outcome = cluster.declare(at, number).await;
        assert!(outcome.result.is_ok(), "{outcome:?}");
    }
    for id in 1..=3 {
        cluster.wait_view(id, |view| view.zones.len() == 9).await;
    }
    cluster.agree().await;
    let chains: Vec<_> = cluster.nodes.values().map(|node| node.audit.seen()).collect();
    assert!(chains[0].len() >= 9 && chains.windows(2).all(|pair| pair[0] == pair[1]));
    let status = cluster.status(leader);
    assert_eq!((status.leader, status.members.len()), (Some(AgentId(leader)), 3));
    assert!(status.members.iter().all(|member| member.voter && member.matched.is_some()));
    assert!(status.quorum_ok && status.applied <= status.committed);
}

#[tokio::test(start_paused = true)]
async fn a_replay_after_a_leader_change_gets_the_first_answer() {
    let mut cluster = Cluster::formed(3).await;
    let first = cluster.leader().await;
    let outcome = cluster.declare(first, 7).await;
    cluster.kill(first);
    let second = cluster.leader_among(&others(first)).await;
    assert_ne!(first, second);
    for at in others(first) {
        assert_eq!(cluster.declare(at, 7).await, outcome, "asked at agent {at}");
    }
    assert_eq!(cluster.view(second).zones.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_replaced_and_catches_up_when_it_returns() {
    let mut cluster = Cluster::formed(3).await;
    let first = cluster.leader().await;
    cluster.declare(first, 1).await;
    cluster.kill(first);
    let second = cluster.leader_among(&others(first)).await;
    cluster.declare(second, 2).await;
    cluster.start(first).await;
    cluster.wait_view(first, |view| view.zones.len() == 2).await;
    cluster.agree().await;
}

#[tokio::test(start_paused = true)]
async fn a_minority_refuses_changes_and_reads_and_keeps_its_view() {
    let cluster = Cluster::formed(3).await;
    let cut_off = cluster.leader().await;
    cluster.declare(cut_off, 1).await;
    let before = cluster.view(cut_off);
    cluster.net.isolate(&[cut_off]);

    let refused =
        cluster.group(cut_off).propose(Some(RequestId(2)), person(), declaration(2)).await;
    let text = refused.expect_err("no quorum").to_string();
    assert!(text.contains(&format!("agent {cut_off}")), "{text}");
    let read = cluster.group(cut_off).read_index().await;
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    cluster.wait_status(cut_off, |status| !status.quorum_ok).await;
    assert_eq!(cluster.view(cut_off).zones, before.zones);

    let second = cluster.leader_among(&others(cut_off)).await;
    cluster.declare(second, 3).await;
    cluster.net.heal();
    cluster.wait_view(cut_off, |view| view.zones.contains_key(&zone_name(3))).await;
    cluster.agree().await;
    // Whatever became of the command of the minority, asking again settles it, once.
    cluster.declare(cut_off, 2).await;
    cluster.wait_view(second, |view| view.zones.len() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hears_nobody_falls_silent_and_is_replaced() {
    let cluster = Cluster::formed(3).await;
    let deaf = cluster.leader().await;
    cluster.declare(deaf, 1).await;
    // Its heartbeats still arrive everywhere: without check-quorum nobody would ever stand for election.
    cluster.net.deafen(deaf);
    cluster.wait_status(deaf, |status| !status.quorum_ok).await;
    let second = cluster.leader_among(&others(deaf)).await;
    cluster.declare(second, 2).await;
    cluster.net.heal();
    cluster.wait_view(deaf, |view| view.zones.len() == 2).await;
    cluster.agree().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_not_understood_starts_halted_with_what_it_could_apply() {
    let mut cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    cluster.declare(leader, 1).await;
    cluster.agree().await;
    let halted = others(leader)[0];
    cluster.stop(halted).await;
    let Storage::Memory(disk) = cluster.storages[&halted].clone() else {
        unreachable!("simulated")
    };
    let mut log = LogStore::open(Arc::new(disk.open())).expect("opens");
    let last = log.get_log_state().await.expect("readable").last_log_id.expect("it has entries");
    let id = LogId { index: last.index + 1, ..last };
    let strange = EntryPayload::Normal(Blob(Bytes::from_static(b"of a later version")));
    log.append([RaftEntry::new(id, strange)], IOFlushed::noop()).await.expect("accepted");
    log.save_committed(Some(id)).await.expect("accepted");

    cluster.start(halted).await;
    let status = cluster.status(halted);
    assert_eq!(status.role, Role::Stopped);
    let why = status.halted.expect("it says so");
    assert!(why.contains(&format!("index {}", id.index)), "{why}");
    assert_eq!(cluster.view(halted).zones.len(), 1);
    let refused = cluster.group(halted).propose(None, person(), declaration(2)).await;
    assert_eq!(refused, Err(ProposeError::Stopped(why)));
}

/// The same seed gives the same elections at the same times, another seed others.
#[test]
fn a_seed_fixes_the_whole_run() {
    let run = |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(crate::with_seed(seed, async {
            let begun = Instant::now();
            let mut cluster = Cluster::formed(3).await;
            let mut trace = Vec::new();
            for number in 1..=4 {
                let leader = cluster.leader().await;
                let outcome = cluster.declare(leader, number).await;
                trace.push((leader, outcome.index, cluster.status(leader).term, begun.elapsed()));
                cluster.kill(leader);
                cluster.start(leader).await;
            }
            trace
        }))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// A command of a person under a number of its own, with this patience.
async fn propose(cluster: &Cluster, at: u64, patience: Duration) -> Result<Outcome, ProposeError> {
    let proposal =
        Proposal { request_id: Some(RequestId(77)), actor: person(), command: declaration(77) };
    cluster.group(at).propose_within(proposal, patience).await
}

#[tokio::test(start_paused = true)]
async fn who_misses_the_leader_says_that_nothing_happened() {
    let cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    let cut_off = others(leader)[0];
    cluster.net.isolate_silently(&[cut_off]);
    cluster.wait_status(cut_off, |status| !status.quorum_ok).await;
    for patience in [Duration::from_millis(300), Duration::from_secs(4)] {
        let begun = Instant::now();
        let refused = propose(&cluster, cut_off, patience).await;
        assert!(matches!(refused, Err(ProposeError::NoLeader(_))), "{refused:?}");
        assert!(begun.elapsed() <= patience, "it is told in time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_misses_its_quorum_says_that_nothing_happened() {
    let cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    let last = cluster.status(leader).last_log_index;
    cluster.net.isolate_silently(&[leader]);
    cluster.wait_status(leader, |status| !status.quorum_ok).await;
    let refused = propose(&cluster, leader, Duration::from_secs(4)).await;
    assert!(matches!(refused, Err(ProposeError::NoQuorum(_))), "{refused:?}");
    assert_eq!(cluster.status(leader).last_log_index, last, "nothing is left in its log");
}

#[tokio::test(start_paused = true)]
async fn what_a_silent_leader_was_asked_for_goes_to_the_next_one() {
    let cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    cluster.net.isolate_silently(&[leader]);
    for at in others(leader) {
        let outcome = propose(&cluster, at, Duration::from_secs(5)).await;
        assert!(outcome.is_ok(), "asked at agent {at}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_committed_stays_unknown_whatever_the_next_leader_says() {
    let cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    for other in others(leader) {
        cluster.nodes[&other].audit.refuse(Some("the audit disk is full"));
    }
    cluster.net.isolate_silently(&[leader]);
    let unknown = propose(&cluster, others(leader)[0], Duration::from_secs(5)).await;
    assert!(matches!(unknown, Err(ProposeError::Unknown(_))), "{unknown:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_leader_had_in_its_log_when_it_stopped_stays_unknown() {
    let cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    let stop = cluster.stop_with_more_in_its_log(leader);
    let (unknown, ()) = tokio::join!(propose(&cluster, leader, Duration::from_secs(5)), stop);
    assert!(matches!(unknown, Err(ProposeError::Unknown(_))), "{unknown:?}");
    let next = cluster.leader_among(&others(leader)).await;
    assert!(cluster.view(next).zones.contains_key(&zone_name(77)), "it was committed");
}

#[tokio::test(start_paused = true)]
async fn a_read_from_a_follower_sees_every_earlier_write() {
    let cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    for (number, at) in (1..=6).zip(others(leader).into_iter().cycle()) {
        cluster.declare(leader, number).await;
        let index = cluster.group(at).read_index().await.expect("readable");
        assert!(cluster.group(at).audit_head().0 >= index);
        assert!(cluster.view(at).zones.contains_key(&zone_name(number)), "agent {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_learner_gets_a_snapshot_and_can_be_promoted_and_removed() {
    let mut cluster = Cluster::new(3, SyncPolicy::Immediate).with_snapshots_every(20);
    cluster.form().await;
    let leader = cluster.leader().await;
    for number in 1..=100 {
        cluster.declare(leader, number).await;
    }
    cluster.wait_status(leader, |status| status.snapshot_index > 60).await;
    cluster.storages.insert(4, Storage::Memory(MemoryDisk::default()));
    cluster.start(4).await;
    let follower = others(leader)[0];
    let joining = member(4).joining(cluster.group(4).directory());
    let add = MembershipChange::Add { id: AgentId(4), member: joining };
    cluster.change(follower, 1001, add).await;
    cluster.wait_view(4, |view| view.zones.len() == 100).await;
    assert!(cluster.net.snapshots() > 0, "the log does not reach back far enough");
    assert!(!cluster.nodes[&4].audit.resets().is_empty(), "the audit knows where its chain begins");
    cluster.agree().await;

    let voter = |cluster: &Cluster| {
        let status = cluster.status(4);
        status.members.iter().find(|member| member.id == AgentId(4)).map(|member| member.voter)
    };
    assert_eq!(voter(&cluster), Some(false));
    cluster.change(follower, 1002, MembershipChange::Promote(AgentId(4))).await;
    cluster.wait_status(4, |status| status.role == Role::Follower).await;
    cluster.change(4, 1003, MembershipChange::TransferLeadership(AgentId(4))).await;
    assert_eq!(cluster.leader().await, 4);
    cluster.change(4, 1004, MembershipChange::Remove(AgentId(leader))).await;
    cluster
        .wait_status(4, |status| status.members.iter().all(|member| member.id.0 != leader))
        .await;
    cluster.declare(follower, 101).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_known_as_a_member_asks_until_its_patience_ends() {
    let mut cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    cluster.storages.insert(4, Storage::Memory(MemoryDisk::default()));
    cluster.start(4).await;
    let joining = member(4).joining(cluster.group(4).directory());
    let add = MembershipChange::Add { id: AgentId(4), member: joining };
    cluster.change(leader, 1, add).await;
    cluster.wait_status(4, |status| status.leader == Some(AgentId(leader))).await;
    cluster.change(leader, 2, MembershipChange::Remove(AgentId(4))).await;
    cluster.wait_status(leader, |status| status.members.len() == 3).await;

    let (begun, patience) = (Instant::now(), Duration::from_millis(300));
    let denied = propose(&cluster, 4, patience).await;
    let Err(ProposeError::Invalid(why)) = denied else { panic!("{denied:?}") };
    assert!(why.contains("not known here as a member"), "{why}");
    assert!(begun.elapsed() >= patience, "given up after {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wiped_agent_does_not_start_under_its_old_number() {
    let mut cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    cluster.declare(leader, 1).await;
    let wiped = others(leader)[0];
    cluster.kill(wiped);
    cluster.storages.insert(wiped, Storage::Memory(MemoryDisk::default()));
    let mut config = cluster.config(wiped);
    config.peers = (1..=3).map(member).collect();
    let refused = cluster.try_start(config).await.expect_err("it is refused");
    assert!(
        matches!(refused, StartError::Wiped { agent, .. } if agent == AgentId(wiped)),
        "{refused}"
    );
    assert!(refused.to_string().contains("holdfast cluster remove"), "{refused}");

    // Where it asks nobody, the others do not listen to it and it does not listen to them.
    cluster.start(wiped).await;
    for number in 2..=5 {
        cluster.declare(leader, number).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((cluster.status(wiped).last_log_index, cluster.status(wiped).term), (0, 0));
    assert_eq!(cluster.leader_among(&[leader]).await, leader);
}

#[tokio::test(start_paused = true)]
async fn another_agents_directory_is_refused() {
    let mut cluster = Cluster::formed(3).await;
    cluster.leader().await;
    cluster.kill(2);
    let foreign = cluster.storages[&2].clone();
    cluster.storages.insert(4, foreign);
    let refused = cluster.try_start(cluster.config(4)).await.expect_err("it is refused");
    assert!(matches!(refused, StartError::WrongDirectory { .. }), "{refused}");
}

fn ask(group: &Group, kind: MessageKind) -> Message {
    Message {
        cluster: "test".to_owned(),
        generation: 0,
        group: group.id(),
        from: AgentId(9),
        to: group.0.config.me.id,
        kind,
        body: Bytes::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_restarted_agent_holds_still_until_its_promises_are_void() {
    let mut cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    let restarted = others(leader)[0];
    cluster.kill(restarted);
    cluster.start(restarted).await;
    let group = cluster.group(restarted).clone();
    for kind in [MessageKind::Vote, MessageKind::PreVote, MessageKind::AppendEntries] {
        let refusal = group
            .handle(&certified(AgentId(9)), ask(&group, kind))
            .await
            .expect_err("it holds still");
        assert_eq!(refusal.reason, RefusalReason::StartingUp);
    }
    assert!(
        group.handle(&certified(AgentId(9)), ask(&group, IDENTIFY)).await.is_ok(),
        "who it is, it says at once"
    );
    tokio::time::sleep(group.0.config.timings.hold()).await;
    let refusal = group
        .handle(&certified(AgentId(9)), ask(&group, MessageKind::Vote))
        .await
        .expect_err("an empty body");
    assert_eq!(refusal.reason, RefusalReason::Malformed);
    cluster.declare(restarted, 1).await;
}

#[tokio::test(start_paused = true)]
async fn messages_for_somebody_else_are_refused() {
    let cluster = Cluster::formed(3).await;
    let group = cluster.group(1).clone();
    let good = Message { from: AgentId(3), ..ask(&group, IDENTIFY) };
    let cases = [
        (Message { cluster: "other".to_owned(), ..good.clone() }, RefusalReason::WrongCluster),
        (Message { to: AgentId(2), ..good.clone() }, RefusalReason::WrongNode),
        (Message { generation: 1, ..good.clone() }, RefusalReason::OldGeneration),
        (Message { group: GroupId(2), ..good.clone() }, RefusalReason::UnknownGroup),
        (Message { kind: MessageKind(999), ..good.clone() }, RefusalReason::UnknownKind),
    ];
    for (message, reason) in cases {
        assert_eq!(
            group.handle(&certified(AgentId(3)), message).await.expect_err("refused").reason,
            reason
        );
    }
    assert!(group.handle(&certified(AgentId(3)), good).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_audit_that_does_not_keep_up_refuses_changes_only() {
    let cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    cluster.nodes[&leader].audit.refuse(Some("the audit disk is full"));
    let at = others(leader)[0];
    let refused = cluster.group(at).propose(Some(RequestId(1)), person(), declaration(1)).await;
    assert_eq!(refused, Err(ProposeError::AuditRefused("the audit disk is full".to_owned())));
    let time = cluster.group(leader).propose(None, Actor::system(), Command::AdvanceTime).await;
    assert!(time.is_ok(), "{time:?}");
    cluster.nodes[&leader].audit.refuse(None);
    cluster.declare(at, 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_leader_lets_time_pass_when_something_falls_due() {
    let mut cluster = Cluster::formed(3).await;
    let first = cluster.leader().await;
    let pause = Command::Pause { reason: "test".to_owned(), lasting: Duration::from_secs(5) };
    let paused = cluster.group(first).propose(Some(RequestId(1)), person(), pause).await;
    assert!(paused.expect("accepted").result.is_ok());
    let at = others(first)[0];
    cluster.wait_view(at, |view| view.pause.is_some()).await;
    cluster.kill(first);
    cluster.wait_view(at, |view| view.pause.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_carries_the_groups_time_on_whatever_its_clock_says() {
    let mut cluster = Cluster::formed(3).await;
    let first = cluster.leader().await;
    cluster.declare(first, 1).await;
    let (begun, at) = (Instant::now(), cluster.view(first).answers.at);
    cluster.kill(first);
    cluster.put_clocks_ahead(&[1, 2, 3], Duration::from_secs(3600));
    let second = cluster.leader_among(&others(first)).await;
    let (passed, elapsed) = (cluster.view(second).answers.at.since(at), begun.elapsed());
    assert!(passed <= elapsed * 11 / 10, "{passed:?} passed in {elapsed:?}");
    assert!(passed >= elapsed / 2, "{passed:?} passed in {elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_off_goes_on_from_the_wall_clock() {
    let mut cluster = Cluster::formed(3).await;
    let first = cluster.leader().await;
    cluster.declare(first, 1).await;
    cluster.agree().await;
    (1..=3).for_each(|id| cluster.kill(id));
    let morning = cluster.put_clocks_ahead(&[1, 2, 3], Duration::from_secs(8 * 3600));
    for id in 1..=3 {
        cluster.start(id).await;
    }
    let leader = cluster.leader().await;
    assert!(cluster.view(leader).answers.at >= morning, "the night has passed");
}

#[tokio::test(start_paused = true)]
async fn one_wrong_clock_is_not_the_time_of_a_group_that_was_off() {
    let mut cluster = Cluster::formed(3).await;
    let first = cluster.leader().await;
    cluster.declare(first, 1).await;
    cluster.agree().await;
    for wrong in 1..=3 {
        (1..=3).for_each(|id| cluster.kill(id));
        let right = cluster.put_clocks_ahead(&others(wrong), Duration::from_secs(8 * 3600 * wrong));
        cluster.put_clocks_ahead(&[wrong], Duration::from_secs(30 * 86_400));
        for id in 1..=3 {
            cluster.start(id).await;
            cluster.group(id).stand_for_election(id == wrong);
        }
        let leader = cluster.leader_among(&[wrong]).await;
        let at = cluster.view(leader).answers.at;
        assert!(at >= right, "the night has passed");
        assert!(at.since(right) < Duration::from_secs(60), "by the clock of the two others");
        cluster.agree().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_survives_a_crash_of_all_with_slow_disks() {
    let mut cluster = Cluster::new(3, SyncPolicy::After(Duration::from_millis(3)));
    cluster.form().await;
    let mut outcomes = BTreeMap::new();
    for round in 0..3_u64 {
        cluster.leader().await;
        for number in round * 10 + 1..=round * 10 + 10 {
            outcomes.insert(number, cluster.declare(number % 3 + 1, number).await);
        }
        (1..=3).for_each(|id| cluster.kill(id));
        for id in 1..=3 {
            cluster.start(id).await;
        }
    }
    let leader = cluster.leader().await;
    assert_eq!(cluster.view(leader).zones.len(), outcomes.len());
    for (number, outcome) in outcomes {
        assert_eq!(cluster.declare(leader, number).await, outcome);
    }
    cluster.agree().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over_first() {
    let mut cluster = Cluster::formed(3).await;
    let first = cluster.leader().await;
    cluster.declare(first, 1).await;
    let term = cluster.status(first).term;
    cluster.stop(first).await;
    let second = cluster.leader_among(&others(first)).await;
    assert_eq!(cluster.status(second).term, term + 1, "one election, called by the leader itself");
}

#[tokio::test(start_paused = true)]
async fn a_halted_group_says_why_and_keeps_its_view() {
    let cluster = Cluster::formed(3).await;
    let leader = cluster.leader().await;
    cluster.declare(leader, 1).await;
    let halted = others(leader)[0];
    cluster.wait_view(halted, |view| view.zones.len() == 1).await;
    cluster.group(halted).halt("the audit chains differ");
    cluster.wait_status(halted, |status| status.role == Role::Stopped).await;
    assert_eq!(cluster.status(halted).halted.as_deref(), Some("the audit chains differ"));
    let refused = cluster.group(halted).propose(None, person(), declaration(2)).await;
    assert_eq!(refused, Err(ProposeError::Stopped("the audit chains differ".to_owned())));
    assert_eq!(cluster.view(halted).zones.len(), 1);
    cluster.declare(leader, 2).await;
}

/// Real files, real time: nothing here is simulated but the wire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_from_disk_gives_the_same_state_and_audit_head() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::new(3, SyncPolicy::Immediate).with_snapshots_every(20);
    for id in 1..=3 {
        cluster.storages.insert(id, Storage::Directory(directory.path().join(id.to_string())));
    }
    cluster.form().await;
    let leader = cluster.leader().await;
    for number in 1..=50 {
        cluster.declare(leader, number).await;
    }
    cluster.agree().await;
    let follower = others(leader)[0];
    cluster.wait_status(follower, |status| status.snapshot_index > 0).await;
    cluster.net.isolate(&[follower]);
    let before = cluster.group(follower).state_hash();
    cluster.stop(follower).await;
    cluster.start(follower).await;
    assert_eq!(cluster.group(follower).state_hash(), before);
    assert_eq!(cluster.view(follower).zones.len(), 50, "and shows it without a quorum");

    cluster.stop(follower).await;
    let path = directory.path().join(follower.to_string());
    std::fs::remove_file(path.join("log.redb")).expect("it is there");
    let refused = cluster.try_start(cluster.config(follower)).await.expect_err("it is refused");
    assert!(matches!(refused, StartError::LogLost { .. }), "{refused}");
}
