//! `holdfast cluster …`: the members, how each sees itself, and changes among them.

use std::time::Duration;

use futures_util::FutureExt as _;
use holdfast_core::{AgentName, RegionName};
use holdfast_wire::pb::v1 as pb;
use serde_json::{Value, json};

use crate::client::{Client, cluster};
use crate::clock;
use crate::events::membership;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Page, Table, Tone, json as told};
use crate::session::{Outcome, Session};
use crate::survey::{Margin, Member, Survey, leader_view, survey};
use crate::words;

/// A certificate that ends this soon is marked.
const CERTIFICATE_WARNING_MS: u64 = 30 * 86_400_000;

/// How long a new member may take to receive what there is.
const CATCH_UP: Duration = Duration::from_secs(150);

/// Commands of `cluster`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Ask every member how it stands.
    Status(StatusArgs),
    /// Show the members as the leader knows them.
    Members,
    /// Let a node in as a learner: it receives the log and does not vote.
    Add(AddArgs),
    /// Let a learner vote.
    Promote(MemberArgs),
    /// Remove a member.
    Remove(MemberArgs),
    /// Hand leadership to another voter.
    TransferLeader(TransferArgs),
}

/// Arguments of `cluster status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// End with 2 where a member is missing or not ready.
    #[arg(long)]
    exit_code: bool,
}

/// Arguments of `cluster add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Its number, never used before.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    id: u64,
    /// Its name.
    #[arg(long)]
    name: AgentName,
    /// Its region.
    #[arg(long)]
    region: RegionName,
    /// Where other agents reach it, by IP.
    #[arg(long, value_name = "IP:PORT")]
    peer: std::net::SocketAddr,
    /// Where clients reach it.
    #[arg(long, value_name = "IP:PORT")]
    api: std::net::SocketAddr,
}

/// A member.
#[derive(Debug, clap::Args)]
pub(crate) struct MemberArgs {
    /// Its number or its name.
    member: String,
}

/// Arguments of `cluster transfer-leader`.
#[derive(Debug, clap::Args)]
pub(crate) struct TransferArgs {
    /// Number or name of the voter that is to lead [default: any other].
    member: Option<String>,
}

/// Runs a command about the cluster.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    match args {
        Args::Status(args) => status(&args, session).await,
        Args::Members => {
            let answer = leader_view(&session.client()?).await?;
            session.out.page(&members_page(&answer))?;
            Ok(Exit::Success)
        }
        // The futures are boxed so that the largest of them does not size all.
        Args::Add(args) => add(args, session).boxed_local().await,
        Args::Promote(args) => promote(&args, session).boxed_local().await,
        Args::Remove(args) => remove(&args, session).boxed_local().await,
        Args::TransferLeader(args) => transfer(&args, session).boxed_local().await,
    }
}

async fn status(args: &StatusArgs, session: &Session) -> Outcome {
    let survey = survey(&session.client()?, false).await?;
    session.out.page(&status_page(&survey, clock::now().0))?;
    let well = survey.cluster.quorum
        && survey.members.iter().all(|member| {
            member
                .answer
                .as_ref()
                .is_ok_and(|answer| answer.node.as_ref().is_some_and(|node| node.ready))
        });
    Ok(if args.exit_code && !well { Exit::Differs } else { Exit::Success })
}

fn status_page(survey: &Survey, now: u64) -> Page {
    let mut table = Table::new([
        Column::new("MEMBER"),
        Column::new("ROLE"),
        Column::new("STATE"),
        Column::new("API"),
        Column::new("RAFT(TERM/COMMIT/APPLIED)"),
        Column::new("LAG"),
        Column::new("CLOCK"),
        Column::new("VERSION"),
        Column::new("CERT"),
        Column::wide("AUDIT"),
        Column::wide("DNS AT"),
        Column::wide("TASKS"),
        Column::wide("REGION"),
    ]);
    let newest = committed(survey);
    for member in &survey.members {
        table.row(status_row(member, newest, now));
    }
    let data = json!({
        "cluster": told::of(&survey.cluster),
        "members": survey.members.iter().map(member_data).collect::<Vec<Value>>(),
    });
    let cluster = &survey.cluster;
    let head = format!(
        "cluster {}  group {}  generation {}  term {}  logic version {}",
        cluster.cluster, cluster.group, cluster.generation, cluster.term, cluster.logic_version
    );
    Page::new(data).text(head).warnings(status_warnings(survey)).table(table)
}

/// The highest index that any member knows to be committed.
fn committed(survey: &Survey) -> u64 {
    let known = survey.members.iter().filter_map(|member| member.answer.as_ref().ok());
    known
        .map(|answer| answer.committed_index)
        .chain([survey.cluster.committed_index])
        .max()
        .unwrap_or(0)
}

fn status_row(member: &Member, newest: u64, now: u64) -> Vec<Cell> {
    let listed = &member.listed;
    let Ok(answer) = &member.answer else {
        let role = if listed.voter { "voter" } else { "learner" };
        let mut row = vec![
            listed.name.as_str().into(),
            role.into(),
            Cell::state("unreachable"),
            listed.api_address.as_str().into(),
        ];
        row.extend((0..8).map(|_| Cell::new("-")));
        row.push(listed.region.as_str().into());
        return row;
    };
    let node = answer.node.clone().unwrap_or_default();
    let running = node.tasks.iter().filter(|task| task.state == "running").count();
    vec![
        listed.name.as_str().into(),
        words::role(node.role).into(),
        Cell::state(if node.ready { "ready" } else { "not_ready" }),
        listed.api_address.as_str().into(),
        format!("{}/{}/{}", answer.term, answer.committed_index, answer.applied_index).into(),
        Cell::new(newest.saturating_sub(answer.applied_index)),
        clock_cell(member.clock_offset_ms),
        node.version.as_str().into(),
        certificate_cell(node.certificate_expires_at_ms, now),
        format!("{}/{}", length(answer.audit_stored.as_ref()), length(answer.audit_head.as_ref()))
            .into(),
        Cell::new(answer.dns_index),
        format!("{running}/{}", node.tasks.len()).into(),
        listed.region.as_str().into(),
    ]
}

fn length(head: Option<&pb::AuditHead>) -> u64 {
    head.map_or(0, |head| head.length)
}

fn clock_cell(offset_ms: Option<i64>) -> Cell {
    match offset_ms {
        None => Cell::new("-"),
        Some(0) => Cell::new("ok"),
        Some(ms) => {
            let sign = if ms < 0 { '-' } else { '+' };
            Cell::toned(format!("{sign}{}!", words::duration(ms.unsigned_abs())), Tone::Warn)
        }
    }
}

fn certificate_cell(expires_at_ms: Option<u64>, now: u64) -> Cell {
    match expires_at_ms {
        None => Cell::new("none"),
        Some(at) if at <= now => Cell::toned("expired!", Tone::Bad),
        Some(at) if at - now < CERTIFICATE_WARNING_MS => {
            Cell::toned(format!("{}d!", (at - now) / 86_400_000), Tone::Warn)
        }
        Some(at) => Cell::new(format!("{}d", (at - now) / 86_400_000)),
    }
}

fn status_warnings(survey: &Survey) -> Vec<String> {
    let mut warnings = Vec::new();
    if !survey.cluster.quorum {
        warnings.push("no quorum: nothing can be changed; DNS goes on".to_owned());
    } else if Margin::surveyed(survey).spare().is_some_and(|spare| spare <= 0) {
        warnings.push("losing one more member stops changes".to_owned());
    }
    warnings.extend(unfinished(&survey.cluster).map(|(text, next)| format!("{text}; {next}")));
    for member in &survey.members {
        let name = &member.listed.name;
        let Ok(answer) = &member.answer else {
            let problem = member.answer.as_ref().err().map_or(String::new(), unreachable_because);
            warnings.push(format!("{name} does not answer{problem}"));
            continue;
        };
        let Some(node) = &answer.node else { continue };
        let unready = node.readiness.iter().filter(|part| !part.ready);
        warnings.extend(
            unready.map(|part| format!("{name} is not ready: {}: {}", part.name, part.detail)),
        );
        let failing = node.tasks.iter().filter(|task| task.state != "running");
        warnings.extend(failing.map(|task| {
            let restarts = words::count(task.restarts as usize, "restart");
            format!(
                "{name}: task {} is {} after {restarts}: {}",
                task.name, task.state, task.last_error
            )
        }));
        if !answer.audit_problem.is_empty() {
            warnings.push(format!("{name}: the audit store stopped: {}", answer.audit_problem));
        }
    }
    warnings
}

/// A change of membership that is agreed on and not carried out, and what to do about it.
pub(crate) fn unfinished(cluster: &pb::GetClusterResponse) -> Option<(String, &'static str)> {
    let asked = cluster.requested_change.as_ref().map(membership);
    if cluster.joint {
        let what = asked.map_or_else(String::new, |asked| format!(" ({asked})"));
        let text = format!(
            "a change of voters is half done{what}: until it is complete, the voters before it count as well"
        );
        return Some((text, "the leader completes it once most voters of both kinds answer"));
    }
    let text = format!("a change is agreed on and not carried out: {}", asked?);
    Some((text, "give its command again, or another one in its place"))
}

fn unreachable_because(failure: &Failure) -> String {
    failure
        .first_problem()
        .map_or_else(|| format!(": {}", failure.message()), |problem| format!(": {problem}"))
}

fn member_data(member: &Member) -> Value {
    json!({
        "id": member.listed.id,
        "name": member.listed.name,
        "api_address": member.listed.api_address,
        "reachable": member.answer.is_ok(),
        "problem": member.answer.as_ref().err().map(|failure| {
            failure.first_problem().unwrap_or(failure.message()).to_owned()
        }),
        "clock_offset_ms": member.clock_offset_ms,
        "answer": member.answer.as_ref().ok().map(told::of),
    })
}

fn members_page(answer: &pb::GetClusterResponse) -> Page {
    let mut table = Table::new([
        Column::new("ID"),
        Column::new("NAME"),
        Column::new("REGION"),
        Column::new("VOTES"),
        Column::new("LEADS"),
        Column::new("PEER"),
        Column::new("API"),
        Column::wide("MATCHED"),
        Column::wide("HEARD"),
        Column::wide("OBSERVES"),
    ]);
    let yes = |on: bool| Cell::new(if on { "yes" } else { "-" });
    let number = |number: Option<u64>| number.map_or_else(|| Cell::new("-"), Cell::new);
    for member in &answer.members {
        table.row([
            Cell::new(member.id),
            member.name.as_str().into(),
            member.region.as_str().into(),
            yes(member.voter),
            yes(member.leader),
            member.peer_address.as_str().into(),
            member.api_address.as_str().into(),
            number(member.matched_index),
            member.last_heard_ms.map_or_else(|| "-".to_owned(), words::duration).into(),
            yes(member.observing),
        ]);
    }
    Page::new(told::of(answer)).table(table)
}

async fn add(args: AddArgs, session: &Session) -> Outcome {
    session.confirm(&format!("add member {}", args.name))?;
    let mut client = session.client()?;
    client.allow(CATCH_UP);
    let message = pb::AddMemberRequest {
        request_id: client.request_id(),
        id: args.id,
        name: args.name.to_string(),
        region: args.region.to_string(),
        peer_address: args.peer.to_string(),
        api_address: args.api.to_string(),
    };
    let answer = client.call(format!("add member {}", args.name), async |channel| {
        cluster(channel).add_member(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    let text = format!(
        "{} ({}) is a learner; once it has caught up: holdfast cluster promote {}",
        args.name, answer.id, args.name
    );
    session.out.page(&Page::line(told::of(&answer), text))?;
    Ok(Exit::Success)
}

/// The member of this number or name. Errors: there is none; the ones there are.
async fn find(client: &Client, wanted: &str) -> Result<pb::Member, Failure> {
    let answer = leader_view(client).await?;
    member_of(&answer, wanted)
}

fn member_of(answer: &pb::GetClusterResponse, wanted: &str) -> Result<pb::Member, Failure> {
    let number: Option<u64> = wanted.parse().ok();
    let fits = |member: &&pb::Member| member.name == wanted || Some(member.id) == number;
    answer.members.iter().find(fits).cloned().ok_or_else(|| {
        let names: Vec<String> = answer
            .members
            .iter()
            .map(|member| format!("{} ({})", member.name, member.id))
            .collect();
        Failure::error(format!("there is no member {wanted}; there are {}", names.join(", ")))
            .next("holdfast cluster members")
    })
}

async fn promote(args: &MemberArgs, session: &Session) -> Outcome {
    session.confirm(&format!("give member {} a vote", args.member))?;
    let mut client = session.client()?;
    let member = find(&client, &args.member).await?;
    client.renew();
    let message = pb::PromoteMemberRequest { request_id: client.request_id(), id: member.id };
    let answer = client.call(format!("promote member {}", member.name), async |channel| {
        cluster(channel).promote_member(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    session.out.page(&Page::line(told::of(&answer), format!("{} votes", member.name)))?;
    Ok(Exit::Success)
}

async fn remove(args: &MemberArgs, session: &Session) -> Outcome {
    session.confirm(&format!("remove member {}", args.member))?;
    let mut client = session.client()?;
    let member = find(&client, &args.member).await?;
    client.renew();
    let message = pb::RemoveMemberRequest { request_id: client.request_id(), id: member.id };
    let answer = client.call(format!("remove member {}", member.name), async |channel| {
        cluster(channel).remove_member(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    let text = format!(
        "{} ({}) is no member any more; its number is never used again",
        member.name, member.id
    );
    session.out.page(&Page::line(told::of(&answer), text))?;
    Ok(Exit::Success)
}

async fn transfer(args: &TransferArgs, session: &Session) -> Outcome {
    let to = args.member.as_deref().unwrap_or("another voter");
    session.confirm(&format!("hand leadership to {to}"))?;
    let mut client = session.client()?;
    let to = match &args.member {
        Some(wanted) => find(&client, wanted).await?,
        None => pb::Member::default(),
    };
    client.renew();
    let message = pb::TransferLeadershipRequest { request_id: client.request_id(), to: to.id };
    let answer = client.call("hand over leadership", async |channel| {
        cluster(channel).transfer_leadership(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    let text = match answer.leader {
        0 => "leadership is handed over; who leads: holdfast cluster members".to_owned(),
        id if id == to.id => format!("{} leads", to.name),
        id => format!("agent {id} leads"),
    };
    session.out.page(&Page::line(told::of(&answer), text))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::output::Format;
    use clap::Parser as _;

    const DAY: u64 = 86_400_000;

    #[tokio::test]
    async fn no_member_changes_unless_somebody_says_yes() {
        let add = [
            "add",
            "--id=4",
            "--name=a4",
            "--region=eu",
            "--peer=10.0.0.4:7443",
            "--api=10.0.0.4:7444",
        ];
        let commands: [&[&str]; 5] = [
            &add,
            &["promote", "a4"],
            &["remove", "a4"],
            &["transfer-leader", "a4"],
            &["transfer-leader"],
        ];
        for command in commands {
            let line = ["holdfast", "cluster"].iter().chain(command);
            let Cli { options, command: Command::Cluster(args) } =
                Cli::try_parse_from(line).expect("valid")
            else {
                panic!("{command:?} is about the cluster");
            };
            let session = Session { terminal: false, ..Session::new(options) };
            let failure = run(args, &session).await.expect_err("nobody says yes");
            assert_eq!(failure.exit(), Exit::Usage, "{failure}");
            assert!(failure.to_string().contains("add --yes"), "{failure}");
        }
    }

    fn listed(id: u64, leader: bool) -> pb::Member {
        pb::Member {
            id,
            name: format!("a{id}"),
            region: "eu".into(),
            api_address: format!("10.0.0.{id}:7444"),
            voter: true,
            leader,
            last_heard_ms: (id == 2).then_some(10),
            ..pb::Member::default()
        }
    }

    fn answer(id: u64, applied: u64) -> pb::GetClusterResponse {
        pb::GetClusterResponse {
            cluster: "prod".into(),
            group: 1,
            term: 41,
            leader: 1,
            quorum: true,
            committed_index: 900,
            applied_index: applied,
            members: vec![listed(1, true), listed(2, false), listed(3, false)],
            node: Some(pb::Node {
                id,
                version: "1.4.2".into(),
                role: if id == 1 { pb::Role::Leader } else { pb::Role::Follower } as i32,
                ready: id == 1,
                readiness: vec![pb::ReadinessPart {
                    name: "dns".into(),
                    ready: id == 1,
                    detail: "no view yet".into(),
                }],
                certificate_expires_at_ms: Some(if id == 1 { 81 * DAY } else { 12 * DAY }),
                ..pb::Node::default()
            }),
            ..pb::GetClusterResponse::default()
        }
    }

    fn survey() -> Survey {
        let said = |id, applied| Member {
            listed: listed(id, id == 1),
            answer: Ok(answer(id, applied)),
            clock_offset_ms: Some(0),
        };
        let gone = Failure::error("cannot look at the cluster: no member answered");
        let gone = Member { listed: listed(3, false), answer: Err(gone), clock_offset_ms: None };
        Survey { cluster: answer(1, 900), members: vec![said(1, 900), said(2, 850), gone] }
    }

    #[test]
    fn every_member_has_a_row_and_problems_stand_above() {
        let text = status_page(&survey(), 0).render(Format::Table, false).expect("printable");
        let expected = "cluster prod  group 1  generation 0  term 41  logic version 0\n\
            ! losing one more member stops changes\n\
            ! a2 is not ready: dns: no view yet\n\
            ! a3 does not answer: cannot look at the cluster: no member answered\n\
            MEMBER  ROLE      STATE        API            RAFT(TERM/COMMIT/APPLIED)  LAG  CLOCK  VERSION  CERT\n\
            a1      leader    READY        10.0.0.1:7444  41/900/900                 0    ok     1.4.2    81d\n\
            a2      follower  NOT_READY    10.0.0.2:7444  41/900/850                 50   ok     1.4.2    12d!\n\
            a3      voter     UNREACHABLE  10.0.0.3:7444  -                          -    -      -        -\n";
        assert_eq!(text, expected);
        let data = status_page(&survey(), 0).render(Format::Json, false).expect("printable");
        let data: Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!(data["members"][2]["reachable"], false);
        assert_eq!(data["members"][1]["answer"]["node"]["role"], "follower");
    }

    #[test]
    fn a_change_that_is_not_carried_out_is_told() {
        let removal = pb::membership_change::Change::Remove(3);
        let asked = Some(pb::MembershipChange { change: Some(removal) });
        let told = |requested_change, joint| {
            let mut survey = survey();
            survey.cluster = pb::GetClusterResponse { requested_change, joint, ..survey.cluster };
            let page = status_page(&survey, 0).render(Format::Table, false).expect("printable");
            let mut warnings = page
                .lines()
                .filter(|line| line.contains("change of voters") || line.contains("agreed on"));
            warnings.next().map(str::to_owned)
        };
        assert_eq!(told(None, false), None);
        let open = told(asked.clone(), false).expect("a warning");
        assert!(open.contains("agreed on and not carried out: remove agent 3; give its"), "{open}");
        let half = told(asked, true).expect("a warning");
        assert!(half.contains("half done (remove agent 3): until"), "{half}");
        assert!(told(None, true).expect("a warning").contains("half done: until"));
    }

    #[test]
    fn members_are_found_by_number_and_name() {
        let answer = answer(1, 1);
        assert_eq!(member_of(&answer, "a2").expect("there").id, 2);
        assert_eq!(member_of(&answer, "3").expect("there").name, "a3");
        let failure = member_of(&answer, "a9").expect_err("not there");
        assert!(failure.message().contains("there are a1 (1), a2 (2), a3 (3)"), "{failure}");
    }

    #[test]
    fn clocks_and_certificates_are_marked() {
        let text = |cell: Cell| {
            let mut table = Table::new([Column::new("X")]);
            table.row([cell]);
            table.csv().lines().last().unwrap_or_default().to_owned()
        };
        assert_eq!(text(clock_cell(Some(-2500))), "-2.5s!");
        assert_eq!(text(certificate_cell(Some(5), 10)), "expired!");
        assert_eq!(text(certificate_cell(None, 10)), "none");
    }
}
