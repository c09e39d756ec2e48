//! `holdfast status`: how everything stands, in one page.
//!
//! It answers without a quorum as well: then it shows what the member asked knows, and says so.

use holdfast_wire::pb::v1 as pb;

use crate::client::{Client, status};
use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Page, Table, json};
use crate::session::{Outcome, Session};
use crate::survey::{Margin, leader_view};
use crate::words;

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this namespace.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// What the member asked knows, without asking the leader.
    #[arg(long)]
    stale: bool,
    /// End with 2 where anything is not as it should be.
    #[arg(long)]
    exit_code: bool,
}

/// Shows the status.
pub(crate) async fn run(args: &Args, session: &Session) -> Outcome {
    let mut client = session.client()?;
    let (answer, stale) = fetch(&mut client, args).await?;
    client.renew();
    let cluster = leader_view(&client).await.ok();
    session.out.page(&page(&answer, cluster.as_ref(), Seen { now: clock::now().0, stale }))?;
    Ok(if args.exit_code && !is_healthy(&answer) { Exit::Differs } else { Exit::Success })
}

/// Asks for a fresh answer, and for a stale one where there is no quorum for that; says whether it is stale.
async fn fetch(client: &mut Client, args: &Args) -> Result<(pb::GetStatusResponse, bool), Failure> {
    if args.stale {
        return Ok((ask(client, args, pb::Consistency::Stale).await?, true));
    }
    match ask(client, args, pb::Consistency::Linearizable).await {
        Ok(answer) => Ok((answer, false)),
        Err(failure) if failure.exit() == Exit::Unavailable => {
            client.renew();
            let stale = ask(client, args, pb::Consistency::Stale).await;
            stale.map(|answer| (answer, true)).map_err(|_| failure)
        }
        Err(failure) => Err(failure),
    }
}

async fn ask(
    client: &Client,
    args: &Args,
    consistency: pb::Consistency,
) -> Result<pb::GetStatusResponse, Failure> {
    let message = pb::GetStatusRequest {
        consistency: consistency as i32,
        namespace: args.namespace.clone().unwrap_or_default(),
    };
    let answer = client
        .call("show the status", async |channel| {
            status(channel).get_status(client.request(message.clone())).await
        })
        .await?;
    Ok(answer.value)
}

/// When and how the answer was got.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The time here: the group's own stands still while nothing happens.
    now: u64,
    /// Without asking the leader.
    stale: bool,
}

fn page(
    answer: &pb::GetStatusResponse,
    cluster: Option<&pb::GetClusterResponse>,
    seen: Seen,
) -> Page {
    let now = answer.at_ms.max(seen.now);
    let mut table = Table::new([
        Column::new("SERVICE"),
        Column::new("STATE"),
        Column::new("ACTIVE"),
        Column::new("UP"),
        Column::new("SERVED"),
        Column::new("FOR"),
        Column::wide("EPOCH"),
        Column::wide("POLICY"),
        Column::wide("NAME"),
        Column::new("NOTES"),
    ]);
    for line in &answer.services {
        table.row([
            line.id.as_str().into(),
            Cell::state(state(line)),
            line.active.as_deref().unwrap_or("-").into(),
            format!("{}/{}", line.up, line.up + line.down + line.unknown).into(),
            Cell::new(line.served),
            words::since(now, line.selected_at_ms).into(),
            Cell::new(line.epoch),
            line.policy.as_str().into(),
            line.dns_name.as_str().into(),
            notes(line).into(),
        ]);
    }
    let page = Page::new(json::of(answer)).text(headline(answer, cluster)).warnings(warnings(
        answer,
        cluster,
        Seen { now, ..seen },
    ));
    if table.is_empty() {
        page.text("no services; declare some with `holdfast apply -f FILE`")
    } else {
        page.table(table)
    }
}

fn headline(answer: &pb::GetStatusResponse, cluster: Option<&pb::GetClusterResponse>) -> String {
    let leader = match answer.leader.as_str() {
        "" => "none".to_owned(),
        last if !answer.quorum => format!("none, last {last}"),
        leader => leader.to_owned(),
    };
    let mut parts = vec![
        format!("cluster {}", answer.cluster),
        format!("leader {leader} (term {})", answer.term),
    ];
    if let Some(cluster) = cluster {
        let margin = Margin::of(cluster);
        parts.push(match margin.present {
            Some(present) => format!("voters {present}/{}", margin.voters),
            None => format!("voters {}", margin.voters),
        });
        parts.push(format!(
            "commit lag {}",
            cluster.committed_index.saturating_sub(cluster.applied_index)
        ));
        if let Some(spare) = margin.spare() {
            parts.push(format!("quorum margin {spare}"));
        }
    }
    let automation = if answer.pause.is_some() { "PAUSED" } else { "on" };
    parts.push(format!("AUTOMATION: {automation}"));
    parts.join("  ")
}

fn warnings(
    answer: &pb::GetStatusResponse,
    cluster: Option<&pb::GetClusterResponse>,
    seen: Seen,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if !answer.quorum {
        warnings.push(format!(
            "no quorum: this is what {} knew at index {}; DNS goes on, changes wait (holdfast doctor)",
            answer.node, answer.index
        ));
    } else if seen.stale {
        warnings
            .push(format!("stale: this is what {} knows at index {}", answer.node, answer.index));
    }
    if let Some(pause) = &answer.pause {
        warnings.push(format!(
            "paused by {} for another {}: {} (holdfast resume)",
            pause.actor,
            words::duration(pause.expires_at_ms.saturating_sub(seen.now)),
            pause.reason
        ));
    }
    if answer.warm_up_until_ms > seen.now {
        let left = words::duration(answer.warm_up_until_ms - seen.now);
        warnings.push(format!("warming up: no automatic move for another {left}"));
    }
    if let Some(0) = cluster.and_then(|cluster| Margin::of(cluster).spare()) {
        warnings.push("losing one more member stops changes (holdfast cluster status)".to_owned());
    }
    warnings
}

fn state(line: &pb::ServiceLine) -> &'static str {
    match line.basis() {
        _ if line.refused => "refused",
        pb::Basis::AllDown => "down",
        pb::Basis::Unjudged | pb::Basis::Unspecified => "unknown",
        pb::Basis::Healthy | pb::Basis::Ordered if line.down > 0 || line.stale || line.partial => {
            "degraded"
        }
        pb::Basis::Healthy | pb::Basis::Ordered => "up",
    }
}

fn notes(line: &pb::ServiceLine) -> String {
    let mut notes = Vec::new();
    if line.blocked() != pb::BlockReason::Unspecified {
        notes.push(format!("blocked by {}", words::block(line.blocked)));
    }
    if line.overrides > 0 {
        notes.push(words::count(line.overrides as usize, "override"));
    }
    if line.stale {
        notes.push("stale verdicts".to_owned());
    }
    if line.partial {
        notes.push("observers disagree".to_owned());
    }
    if notes.is_empty() { "-".to_owned() } else { notes.join(", ") }
}

fn is_healthy(answer: &pb::GetStatusResponse) -> bool {
    answer.quorum && answer.services.iter().all(|line| state(line) == "up")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    const SEEN: Seen = Seen { now: 0, stale: false };

    fn line(id: &str, basis: pb::Basis, up: u32, down: u32) -> pb::ServiceLine {
        pb::ServiceLine {
            id: id.into(),
            dns_name: format!("{id}.example.test"),
            policy: "failover".into(),
            active: Some("eu".into()),
            basis: basis as i32,
            served: 1,
            up,
            down,
            epoch: 88,
            selected_at_ms: 500_000,
            ..pb::ServiceLine::default()
        }
    }

    fn answer() -> pb::GetStatusResponse {
        let mut pinned = line("shop", pb::Basis::Healthy, 1, 1);
        pinned.overrides = 1;
        pinned.blocked = pb::BlockReason::HoldDown as i32;
        pb::GetStatusResponse {
            cluster: "prod".into(),
            node: "a1".into(),
            leader: "a2".into(),
            term: 41,
            index: 900,
            at_ms: 992_000,
            quorum: true,
            services: vec![pinned, line("search", pb::Basis::Healthy, 2, 0)],
            ..pb::GetStatusResponse::default()
        }
    }

    #[test]
    fn the_table_is_aligned_and_tells_what_holds() {
        let text = page(&answer(), None, SEEN).render(Format::Table, false).expect("printable");
        let expected = "cluster prod  leader a2 (term 41)  AUTOMATION: on\n\
            SERVICE  STATE     ACTIVE  UP   SERVED  FOR    NOTES\n\
            shop     DEGRADED  eu      1/2  1       8m12s  blocked by hold_down, 1 override\n\
            search   UP        eu      2/2  1       8m12s  -\n";
        assert_eq!(text, expected);
        assert!(!is_healthy(&answer()));
    }

    #[test]
    fn what_people_must_not_miss_comes_first() {
        let mut answer = answer();
        answer.quorum = false;
        answer.pause = Some(pb::Pause {
            actor: "ada".into(),
            reason: "storm".into(),
            set_at_ms: 0,
            expires_at_ms: 992_000 + 90_000,
        });
        let text = page(&answer, None, Seen { stale: true, ..SEEN })
            .render(Format::Table, false)
            .expect("printable");
        assert!(text.contains("\n! no quorum: this is what a1 knew at index 900; "), "{text}");
        assert!(
            text.contains("\n! paused by ada for another 1m30s: storm (holdfast resume)\n"),
            "{text}"
        );
        assert!(text.contains("AUTOMATION: PAUSED"), "{text}");
    }

    #[test]
    fn states_are_told_apart() {
        let mut refused = line("a", pb::Basis::AllDown, 0, 2);
        refused.refused = true;
        for (line, expected) in [
            (refused, "refused"),
            (line("b", pb::Basis::AllDown, 0, 2), "down"),
            (line("c", pb::Basis::Unjudged, 0, 0), "unknown"),
            (line("d", pb::Basis::Ordered, 1, 1), "degraded"),
            (line("e", pb::Basis::Ordered, 2, 0), "up"),
        ] {
            assert_eq!(state(&line), expected, "{}", line.id);
        }
    }

    #[test]
    fn json_is_the_answer_itself() {
        let text = page(&answer(), None, SEEN).render(Format::Json, false).expect("printable");
        let data: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(data["services"][0]["blocked"], "hold_down");
        assert_eq!(data["services"][1]["blocked"], serde_json::Value::Null);
        assert_eq!(data["term"], 41);
    }
}
