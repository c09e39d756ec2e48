//! The checks that judge what the members said.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use holdfast_wire::pb::v1 as pb;

use super::Finding;
use crate::client::Client;
use crate::command::audit::verify_of;
use crate::command::cluster::unfinished;
use crate::failure::Failure;
use crate::survey::{Margin, Member, Survey};
use crate::words;

const DAY_MS: u64 = 86_400_000;
/// A certificate that ends sooner is a warning.
const CERTIFICATE_WARNING_MS: u64 = 30 * DAY_MS;
/// A certificate that ends sooner is bad.
const CERTIFICATE_BAD_MS: u64 = 7 * DAY_MS;
/// A replica that is further behind is a warning.
const LAG_WARNING: u64 = 1_000;
/// A clock that is further off is a warning, in milliseconds.
const CLOCK_WARNING_MS: u64 = 1_000;
/// A clock that is further off is bad: times in the audit chain mislead, and certificates may be refused.
const CLOCK_BAD_MS: u64 = 30_000;

/// The members that answered, with what they said.
pub(super) fn answered(
    survey: &Survey,
) -> impl Iterator<Item = (&Member, &pb::GetClusterResponse)> {
    survey
        .members
        .iter()
        .filter_map(|member| member.answer.as_ref().ok().map(|answer| (member, answer)))
}

fn problem(failure: &Failure) -> &str {
    failure.first_problem().unwrap_or(failure.message())
}

/// Does every member answer?
pub(super) fn members(survey: &Survey) -> Vec<Finding> {
    let silent = survey
        .members
        .iter()
        .filter_map(|member| member.answer.as_ref().err().map(|failure| (member, failure)));
    let mut findings: Vec<Finding> = silent
        .map(|(member, failure)| {
            let text = format!(
                "{} ({}) does not answer: {}",
                member.listed.name,
                member.listed.api_address,
                problem(failure)
            );
            Finding::bad(
                "members",
                text,
                "on that machine: systemctl status holdfast; journalctl -u holdfast -n 50",
            )
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok("members", format!("all {} answer", survey.members.len())));
    }
    findings
}

/// Is there a leader, and how many voters may fall away?
pub(super) fn quorum(survey: &Survey) -> Vec<Finding> {
    let cluster = &survey.cluster;
    if !cluster.quorum || cluster.leader == 0 {
        let text = "there is no quorum: nothing can be changed and nothing fails over; DNS goes on";
        return vec![Finding::bad(
            "quorum",
            text,
            "start the voters that are missing: holdfast cluster status",
        )];
    }
    let leaders: BTreeSet<(u64, u64)> = answered(survey)
        .filter(|(_, a)| a.leader != 0)
        .map(|(_, answer)| (answer.term, answer.leader))
        .collect();
    let newest = leaders.iter().map(|(term, _)| *term).max();
    let mut findings = Vec::new();
    if leaders.iter().filter(|(term, _)| Some(*term) == newest).count() > 1 {
        let text = "two members name different leaders of one term";
        findings.push(Finding::bad(
            "quorum",
            text,
            "stop one of them and report this: it must not happen",
        ));
    }
    let margin = Margin::surveyed(survey);
    findings.push(match margin.spare() {
        Some(spare) if spare > 0 => {
            Finding::ok("quorum", format!("{} voters, {spare} may fall away", margin.voters))
        }
        Some(_) => Finding::warning(
            "quorum",
            format!(
                "{} of {} voters are there and answer: losing one more stops changes",
                margin.present.unwrap_or(0),
                margin.voters
            ),
            "bring the missing voters back, or add members: holdfast cluster add",
        ),
        None => Finding::warning(
            "quorum",
            "the leader could not be asked how many voters are there",
            "holdfast cluster status",
        ),
    });
    findings
}

/// Is every change of membership carried out? One takes a moment, so one that is seen has most likely come to rest.
pub(super) fn changes(survey: &Survey) -> Vec<Finding> {
    let finding = match unfinished(&survey.cluster) {
        Some((text, next)) => Finding::warning("changes", text, next),
        None => Finding::ok("changes", "every change of membership is carried out"),
    };
    vec![finding]
}

/// Do all run one version, and decide by the same rules?
pub(super) fn versions(survey: &Survey) -> Vec<Finding> {
    let mut versions: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (member, answer) in answered(survey) {
        let version = answer.node.as_ref().map_or("unknown", |node| node.version.as_str());
        versions.entry(version.to_owned()).or_default().push(&member.listed.name);
    }
    let told: Vec<String> = versions
        .iter()
        .map(|(version, names)| format!("{version} on {}", names.join(", ")))
        .collect();
    if versions.len() <= 1 {
        return vec![Finding::ok("versions", told.concat())];
    }
    let next = "finish the upgrade: one agent after the other, each time until it is ready";
    vec![Finding::warning("versions", format!("members differ: {}", told.join("; ")), next)]
}

/// What to do about a part of a member that is not ready.
fn next_step(part: &str, member: &str) -> String {
    match part {
        "signing" => format!(
            "where a key is missing, copy the sealing keys of a member that signs to {member}, name them in its [secrets] \
             keys, restart it; where its clock is behind, check its time synchronisation: timedatectl, chronyc tracking"
        ),
        _ => format!("look at the log of {member}"),
    }
}

/// Is every part of every member ready, and every task running?
pub(super) fn readiness(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (member, answer) in answered(survey) {
        let name = &member.listed.name;
        let Some(node) = &answer.node else { continue };
        for part in node.readiness.iter().filter(|part| !part.ready) {
            let text = format!("{name}: {} is not ready: {}", part.name, part.detail);
            findings.push(Finding::bad("readiness", text, next_step(&part.name, name)));
        }
        for task in node.tasks.iter().filter(|task| task.state != "running") {
            let text = format!("{name}: task {} is {}: {}", task.name, task.state, task.last_error);
            findings.push(Finding::bad("readiness", text, format!("look at the log of {name}")));
        }
        if !answer.audit_problem.is_empty() {
            let text = format!("{name}: the audit store stopped: {}", answer.audit_problem);
            findings.push(Finding::bad(
                "readiness",
                text,
                format!("look at the disk of {name}: df -h, dmesg"),
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("readiness", "every part of every member is ready"));
    }
    findings
}

/// Do replicas agree where they can be compared, and is none far behind?
pub(super) fn replicas(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut states: BTreeMap<u64, ByHash<'_>> = BTreeMap::new();
    let mut heads: BTreeMap<u64, ByHash<'_>> = BTreeMap::new();
    let newest = answered(survey).map(|(_, answer)| answer.committed_index).max().unwrap_or(0);
    for (member, answer) in answered(survey) {
        let name = member.listed.name.as_str();
        if !answer.state_hash.is_empty() {
            let at_index = states.entry(answer.state_hash_index).or_default();
            at_index.entry(&answer.state_hash).or_default().push(name);
        }
        if let Some(head) = &answer.audit_head {
            heads.entry(head.length).or_default().entry(&head.hash).or_default().push(name);
        }
        let lag = newest.saturating_sub(answer.applied_index);
        if lag > LAG_WARNING {
            let text = format!("{name} is {lag} entries behind");
            findings.push(Finding::warning(
                "replicas",
                text,
                format!("look at load and network of {name}"),
            ));
        }
    }
    findings.extend(disagreements("the state at index", &states));
    findings.extend(disagreements("the audit chain at record", &heads));
    if findings.is_empty() {
        findings.push(Finding::ok("replicas", "members agree wherever they can be compared"));
    }
    findings
}

/// Names of members by the hash that they told.
type ByHash<'a> = BTreeMap<&'a str, Vec<&'a str>>;

fn disagreements(what: &str, places: &BTreeMap<u64, ByHash<'_>>) -> Vec<Finding> {
    let differ = places.iter().filter(|(_, different)| different.len() > 1);
    let told = differ.map(|(place, different)| {
        let sides: Vec<String> = different.values().map(|names| names.join(", ")).collect();
        let text = format!("members disagree on {what} {place}: {}", sides.join(" against "));
        let next = "stop the smaller side, keep its data directory, and add it under a new id: holdfast cluster add";
        Finding::bad("replicas", text, next)
    });
    told.collect()
}

/// Are the members' clocks near ours, and is the group's time not ahead of them? It never goes back: a leader whose clock
/// was ahead leaves it there until the clocks have caught up.
pub(super) fn clocks(survey: &Survey, now: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let wall = |member: &Member| now.saturating_add_signed(member.clock_offset_ms.unwrap_or(0));
    let latest = answered(survey).map(|(member, _)| wall(member)).max().unwrap_or(now);
    let group_time = answered(survey).map(|(_, answer)| answer.dns_at_ms).max().unwrap_or(0);
    let ahead = group_time.saturating_sub(latest);
    if ahead > CLOCK_WARNING_MS {
        let text = format!(
            "the group's time is {} ahead of its members' clocks: holds, orders and budgets go by it",
            words::duration(ahead)
        );
        let next = "check the time synchronisation of all members: timedatectl, chronyc tracking; \
                    the group's time goes a tenth slower until the clocks have caught up";
        findings.push(Finding::warning("clocks", text, next));
    }
    for member in &survey.members {
        let Some(offset) = member.clock_offset_ms else { continue };
        let off = offset.unsigned_abs();
        let side = if offset < 0 { "behind" } else { "ahead of" };
        let text =
            format!("{} is {} {side} this machine", member.listed.name, words::duration(off));
        let next = "check the time synchronisation of both: timedatectl, chronyc tracking";
        match off {
            CLOCK_BAD_MS.. => findings.push(Finding::bad("clocks", text, next)),
            CLOCK_WARNING_MS.. => findings.push(Finding::warning("clocks", text, next)),
            _ => {}
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("clocks", "members and this machine agree to the second"));
    }
    findings
}

/// When do the members' certificates end?
pub(super) fn certificates(survey: &Survey, now: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut soonest: Option<u64> = None;
    for (member, answer) in answered(survey) {
        let ends = answer.node.as_ref().and_then(|node| node.certificate_expires_at_ms);
        findings.extend(certificate(
            &format!("the certificate of {}", member.listed.name),
            ends,
            now,
        ));
        soonest = [soonest, ends].into_iter().flatten().min();
    }
    match soonest {
        Some(ends) if findings.is_empty() => {
            let days = ends.saturating_sub(now) / DAY_MS;
            findings.push(Finding::ok("certificates", format!("the first ends in {days} days")));
        }
        None => {
            findings.push(Finding::ok("certificates", "none are used: the members speak plaintext"))
        }
        Some(_) => {}
    }
    findings
}

/// Does a certificate end soon?
pub(super) fn certificate(whose: &str, ends: Option<u64>, now: u64) -> Option<Finding> {
    let left = ends?.saturating_sub(now);
    let text = match left {
        0 => format!("{whose} has expired"),
        _ => format!("{whose} ends in {}", words::duration(left)),
    };
    let next = "make a new one with holdfast ca issue, and restart the agent with it";
    match left {
        CERTIFICATE_WARNING_MS.. => None,
        CERTIFICATE_BAD_MS.. => Some(Finding::warning("certificates", text, next)),
        _ => Some(Finding::bad("certificates", text, next)),
    }
}

/// Is the audit chain of every member intact?
pub(super) async fn audit(client: &Client, survey: &Survey) -> Vec<Finding> {
    let verified = join_all(answered(survey).map(async |(member, _)| {
        let result = match client.only(&member.listed.api_address, client.timeout()) {
            Ok(client) => verify_of(&client, None, None).await,
            Err(failure) => Err(failure),
        };
        (member.listed.name.as_str(), result)
    }));
    judge_audit(&verified.await)
}

fn judge_audit(verified: &[(&str, Result<pb::VerifyLogResponse, Failure>)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut heads: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for (name, result) in verified {
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => {
                let text = format!("{name} cannot verify its chain: {}", failure.message());
                findings.push(Finding::bad(
                    "audit",
                    text,
                    format!("holdfast audit verify, with --endpoint of {name}"),
                ));
                continue;
            }
        };
        if let Some(head) = &answer.head {
            heads.entry(head.length).or_default().insert(&head.hash);
        }
        if !answer.intact {
            let text = answer.finding.as_ref().map_or_else(
                || format!("the chain of {name} is not intact"),
                |bad| {
                    let kind = words::tampering(bad.kind);
                    format!(
                        "the chain of {name} is not intact: {kind} at record {}: {}",
                        bad.sequence, bad.detail
                    )
                },
            );
            let next = format!(
                "keep the data directory of {name} as evidence, and add the node under a new id"
            );
            findings.push(Finding::bad("audit", text, next));
        }
    }
    for (length, _) in heads.iter().filter(|(_, hashes)| hashes.len() > 1) {
        let text = format!("members have different chains of {length} records");
        findings.push(Finding::bad("audit", text, "holdfast audit export from each, and compare"));
    }
    if findings.is_empty() {
        let length = heads.keys().max().copied().unwrap_or(0);
        findings.push(Finding::ok(
            "audit",
            format!("the chains of {} members are intact, up to record {length}", verified.len()),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn member(id: u64, answer: Option<pb::GetClusterResponse>) -> Member {
        let listed = pb::Member {
            id,
            name: format!("a{id}"),
            voter: true,
            leader: id == 1,
            last_heard_ms: Some(5),
            ..pb::Member::default()
        };
        let answer = answer.ok_or_else(|| Failure::error("connection refused"));
        Member { listed, answer, clock_offset_ms: Some(0) }
    }

    fn answer(id: u64) -> pb::GetClusterResponse {
        pb::GetClusterResponse {
            quorum: true,
            leader: 1,
            term: 3,
            applied_index: 90,
            committed_index: 90,
            state_hash: "s".into(),
            state_hash_index: 90,
            audit_head: Some(pb::AuditHead { length: 9, hash: "h".into() }),
            node: Some(pb::Node { id, version: "1.0.0".into(), ..pb::Node::default() }),
            members: (1..=3).map(|id| member(id, None).listed).collect(),
            ..pb::GetClusterResponse::default()
        }
    }

    fn survey(change: impl Fn(u64, &mut pb::GetClusterResponse)) -> Survey {
        let answer = |id| {
            let mut answer = answer(id);
            change(id, &mut answer);
            answer
        };
        let members = (1..=3).map(|id| member(id, Some(answer(id)))).collect();
        Survey { cluster: answer(1), members }
    }

    fn node(answer: &mut pb::GetClusterResponse) -> &mut pb::Node {
        answer.node.as_mut().expect("every answer has one")
    }

    fn worst(findings: &[Finding]) -> Level {
        findings.iter().map(|finding| finding.level).max().expect("a check always finds something")
    }

    #[test]
    fn a_healthy_cluster_has_nothing_but_ok() {
        let survey = survey(|_, _| {});
        for findings in [
            members(&survey),
            quorum(&survey),
            changes(&survey),
            versions(&survey),
            readiness(&survey),
            replicas(&survey),
            clocks(&survey, 0),
            certificates(&survey, 0),
        ] {
            assert_eq!(worst(&findings), Level::Ok, "{findings:?}");
        }
    }

    #[test]
    fn each_fault_is_found_by_its_check() {
        type Check = fn(&Survey) -> Vec<Finding>;
        type Fault = fn(u64, &mut pb::GetClusterResponse);
        let faults: [(&str, Level, Check, Fault); 11] = [
            ("no quorum", Level::Bad, quorum, |_, a| a.quorum = false),
            ("two leaders of one term", Level::Bad, quorum, |id, a| a.leader = id),
            ("voters missing", Level::Warning, quorum, |_, a| a.members[2].last_heard_ms = None),
            ("half a change of voters", Level::Warning, changes, |_, a| a.joint = true),
            ("a change at rest", Level::Warning, changes, |_, a| {
                a.requested_change = Some(pb::MembershipChange::default());
            }),
            ("two versions", Level::Warning, versions, |id, a| {
                node(a).version = format!("1.0.{id}");
            }),
            ("a part not ready", Level::Bad, readiness, |id, a| {
                let part = pb::ReadinessPart {
                    name: "dns".into(),
                    ready: id != 2,
                    detail: "no view".into(),
                };
                node(a).readiness.push(part);
            }),
            ("a task restarting", Level::Bad, readiness, |_, a| {
                node(a).tasks.push(pb::Task { state: "restarting".into(), ..pb::Task::default() });
            }),
            ("another state", Level::Bad, replicas, |id, a| a.state_hash = format!("s{id}")),
            ("another chain", Level::Bad, replicas, |id, a| {
                a.audit_head = Some(pb::AuditHead { length: 9, hash: format!("h{id}") });
            }),
            ("far behind", Level::Warning, replicas, |id, a| a.committed_index = 90 + id * 1000),
        ];
        for (name, level, check, fault) in faults {
            assert_eq!(worst(&check(&survey(fault))), level, "{name}");
        }
    }

    #[test]
    fn a_member_without_a_zones_key_is_told_where_to_get_it() {
        let survey = survey(|id, a| {
            let (name, detail) = ("signing".into(), "signed answers are refused".into());
            node(a).readiness.push(pb::ReadinessPart { name, ready: id != 2, detail });
        });
        let bad: Vec<Finding> =
            readiness(&survey).into_iter().filter(|finding| finding.level == Level::Bad).collect();
        assert_eq!(bad.len(), 1);
        assert!(format!("{:?}", bad[0]).contains("copy the sealing keys"), "{:?}", bad[0]);
    }

    #[test]
    fn silence_and_clocks_are_found() {
        let mut survey = survey(|_, _| {});
        survey.members[2] = member(3, None);
        assert!(members(&survey)[0].text.contains("a3 () does not answer: connection refused"));
        survey.members[0].clock_offset_ms = Some(-4000);
        assert_eq!(worst(&clocks(&survey, 0)), Level::Warning);
        survey.members[0].clock_offset_ms = Some(60_000);
        assert_eq!(worst(&clocks(&survey, 0)), Level::Bad);
    }

    #[test]
    fn a_group_ahead_of_its_members_clocks_is_found() {
        let survey = survey(|id, a| a.dns_at_ms = 100_000 - id);
        assert_eq!(worst(&clocks(&survey, 99_500)), Level::Ok);
        let findings = clocks(&survey, 40_000);
        assert_eq!(worst(&findings), Level::Warning);
        assert!(findings[0].text.contains("59.9s"), "{findings:?}");
    }

    #[test]
    fn certificates_are_judged_by_what_is_left() {
        let level = |ends| certificate("it", ends, DAY_MS).map(|finding| finding.level);
        assert_eq!(level(Some(90 * DAY_MS)), None);
        assert_eq!(level(Some(20 * DAY_MS)), Some(Level::Warning));
        assert_eq!(level(Some(5 * DAY_MS)), Some(Level::Bad));
        assert_eq!(level(Some(0)), Some(Level::Bad));
        assert_eq!(level(None), None);
    }

    #[test]
    fn chains_are_judged_by_what_verification_said() {
        let good = |hash: &str| pb::VerifyLogResponse {
            intact: true,
            checked: 9,
            head: Some(pb::AuditHead { length: 9, hash: hash.into() }),
            ..pb::VerifyLogResponse::default()
        };
        let bad = pb::VerifyLogResponse {
            finding: Some(pb::Tampering {
                sequence: 4,
                kind: pb::TamperingKind::Delete as i32,
                detail: "gap".into(),
            }),
            ..pb::VerifyLogResponse::default()
        };
        assert_eq!(worst(&judge_audit(&[("a1", Ok(good("h"))), ("a2", Ok(good("h")))])), Level::Ok);
        assert_eq!(
            worst(&judge_audit(&[("a1", Ok(good("h"))), ("a2", Ok(good("x")))])),
            Level::Bad
        );
        let findings = judge_audit(&[("a1", Ok(bad))]);
        assert!(findings[0].text.contains("delete at record 4: gap"), "{findings:?}");
        assert_eq!(worst(&judge_audit(&[("a1", Err(Failure::error("gone")))])), Level::Bad);
    }
}
