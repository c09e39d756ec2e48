//! `holdfast dns propagation …`: what name servers, resolvers and the parent zone say of a name, seen from every agent.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_core::DnsName;
use holdfast_core::propagation::name_agents;
use holdfast_wire::pb::v1 as pb;

use crate::client::{Client, dns};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Page, Table, Tone, json};
use crate::session::{Outcome, Session};
use crate::words;

/// What one look may take: agents wait for servers that do not answer.
const PATIENCE: Duration = Duration::from_secs(40);
/// The pause between two looks with `--follow`.
const EVERY: Duration = Duration::from_secs(2);

/// Arguments of `dns propagation`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The name.
    name: DnsName,
    /// A, AAAA or CNAME.
    #[arg(default_value = "A")]
    kind: String,
    /// Also ask this resolver: an IP address, with or without a port. May be given several times. An agent that has
    /// none of its own finds the parent zone through the first one.
    #[arg(long = "resolver", value_name = "ADDRESS")]
    resolvers: Vec<String>,
    /// Look again until everybody tells what is decided.
    #[arg(long)]
    follow: bool,
    /// End with 2 where something is wrong or somebody tells something else.
    #[arg(long)]
    exit_code: bool,
}

/// Looks once, or until all agree.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    let mut client = session.client()?;
    client.allow(PATIENCE);
    loop {
        client.renew();
        let answer = look(&client, &args).await?;
        let well = is_well(&answer);
        session.out.page(&page(&answer))?;
        if !args.follow || well {
            return Ok(if args.exit_code && !well { Exit::Differs } else { Exit::Success });
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn look(client: &Client, args: &Args) -> Result<pb::CheckPropagationResponse, Failure> {
    let message = pb::CheckPropagationRequest {
        name: args.name.to_string(),
        r#type: args.kind.to_ascii_uppercase(),
        resolvers: args.resolvers.clone(),
    };
    let answer = client.call(format!("look at {} from outside", args.name), async |channel| {
        dns(channel).check_propagation(client.request(message.clone())).await
    });
    Ok(answer.await?.value)
}

fn is_well(answer: &pb::CheckPropagationResponse) -> bool {
    answer.findings.is_empty() && answer.sightings.iter().all(|sighting| sighting.agrees)
}

fn page(answer: &pb::CheckPropagationResponse) -> Page {
    let columns = ["AGENT", "TARGET", "SERVER", "TOLD", "TTL", "SERIAL", "RTT", "AGREES"];
    let mut table = Table::new(columns.map(Column::new));
    for sighting in &answer.sightings {
        table.row(row(sighting));
    }
    let agree = answer.sightings.iter().filter(|sighting| sighting.agrees).count();
    let decided = match (answer.refused, answer.expected.is_empty()) {
        (true, _) => "SERVFAIL".to_owned(),
        (false, true) => "no data".to_owned(),
        (false, false) => answer.expected.join(", "),
    };
    let mut text = format!(
        "decided: {decided} (index {}); {agree} of {} answers agree; old answers are over at {}",
        answer.index,
        answer.sightings.len(),
        words::time_of_day(answer.over_at_ms)
    );
    text.push('\n');
    text.push_str(&parent(answer));
    for note in &answer.notes {
        text.push_str("\nnote: ");
        text.push_str(note);
    }
    let wrong = answer.findings.iter().map(|one| format!("{}: {}", one.fault, one.text));
    let silent = answer.silent_agents.iter().map(|agent| format!("agent {agent} did not answer"));
    Page::line(json::of(answer), text).warnings(wrong.chain(silent)).table(table)
}

/// What became of the look at the parent zone, in a line; what is wrong there stands among the warnings.
fn parent(answer: &pb::CheckPropagationResponse) -> String {
    const OF_THE_PARENT: [&str; 6] = [
        "not_at_parent",
        "not_in_zone",
        "glue_missing",
        "glue_mismatch",
        "ds_names_no_key",
        "ds_mistaken",
    ];
    let Some(told) = told_by_parent(answer) else {
        return "the parent zone: not seen from any agent, for the reasons noted; each finds it through the first of its \
                dns.propagation.resolvers, else through the first --resolver"
            .to_owned();
    };
    let wrong = |one: &&pb::PropagationFinding| OF_THE_PARENT.contains(&one.fault.as_str());
    let found = match answer.findings.iter().filter(wrong).count() {
        0 => "delegation and glue are the zone's".to_owned(),
        faults => format!("{faults} of the warnings are about its delegation, glue and DS records"),
    };
    let servers = answer.parents;
    format!("the parent zone: seen from {told}, {servers} of its servers answered, {found}")
}

/// The agents that the parent zone told something, in words; `None` where there is none.
fn told_by_parent(answer: &pb::CheckPropagationResponse) -> Option<String> {
    use pb::parent_sighting::Told;
    let all = || answer.parent_sightings.iter();
    let askers: BTreeSet<&str> = all().map(|one| one.asker.as_str()).collect();
    let told = all().filter(|one| matches!(one.told, Some(Told::Delegation(_))));
    let told: BTreeSet<&str> = told.map(|one| one.asker.as_str()).collect();
    (!told.is_empty()).then(|| name_agents(&told, askers.len()))
}

fn row(sighting: &pb::Sighting) -> [Cell; 8] {
    let none = pb::LookupTarget::default();
    let target = sighting.target.as_ref().unwrap_or(&none);
    let told = match (sighting.problem.as_str(), sighting.data.is_empty()) {
        ("", true) => match sighting.extended_error {
            Some(error) => format!("nothing (rcode {}, extended error {error})", sighting.code),
            None => format!("nothing (rcode {})", sighting.code),
        },
        ("", false) => sighting.data.join(" "),
        (problem, _) => problem.to_owned(),
    };
    let number = |number: Option<u32>| number.map_or("-".to_owned(), |number| number.to_string());
    let server = if target.server.is_empty() { "resolver" } else { target.server.as_str() };
    [
        sighting.asker.as_str().into(),
        target.address.as_str().into(),
        server.into(),
        told.into(),
        number(sighting.ttl_seconds).into(),
        number(sighting.serial).into(),
        words::duration(sighting.round_trip_us / 1000).into(),
        if sighting.agrees { Cell::toned("yes", Tone::Good) } else { Cell::toned("no", Tone::Bad) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_look_shows_who_tells_what_and_what_is_wrong() {
        let sighting = pb::Sighting {
            asker: "eu-1".into(),
            target: Some(pb::LookupTarget {
                address: "192.0.2.53:53".into(),
                server: String::new(),
            }),
            data: vec!["192.0.2.1".into()],
            ttl_seconds: Some(600),
            round_trip_us: 1500,
            ..pb::Sighting::default()
        };
        let finding = pb::PropagationFinding {
            fault: "long_ttl".into(),
            subject: "192.0.2.53:53".into(),
            text: "192.0.2.53:53 tells a TTL of 600 s".into(),
            agents: vec!["eu-1".into()],
        };
        let answer = pb::CheckPropagationResponse {
            sightings: vec![sighting],
            findings: vec![finding],
            expected: vec!["192.0.2.2".into()],
            index: 9,
            parents: 1,
            ..pb::CheckPropagationResponse::default()
        };
        assert!(!is_well(&answer));
        let text = page(&answer).render(Format::Table, false).expect("printable");
        assert!(text.contains("decided: 192.0.2.2 (index 9); 0 of 1 answers agree"), "{text}");
        assert!(!text.contains("note:"), "{text}");
        assert!(
            text.contains("eu-1   192.0.2.53:53  resolver  192.0.2.1  600  -       1ms  no"),
            "{text}"
        );
    }

    /// What an agent was told by the parent's server at this address, or that it could not ask.
    fn from_parent(asker: &str, server: Option<&str>) -> pb::ParentSighting {
        use pb::parent_sighting::Told;
        let told = match server {
            Some(parent) => Told::Delegation(pb::Delegation {
                parent: parent.into(),
                servers: vec!["ns1.example.test".into()],
                glue: vec![pb::Glue {
                    name: "ns1.example.test".into(),
                    address: "192.0.2.1".into(),
                }],
                ds: None,
            }),
            None => Told::Unasked(pb::Unasked { parent: None, why: "no resolver".into() }),
        };
        pb::ParentSighting { asker: asker.into(), told: Some(told) }
    }

    #[test]
    fn the_parent_is_told_of_with_the_agents_that_saw_it_or_that_none_did() {
        const SERVERS: [&str; 2] = ["192.0.2.53:53", "192.0.2.54:53"];
        let mut answer = pb::CheckPropagationResponse::default();
        answer.parent_sightings.push(from_parent("eu-1", None));
        assert!(parent(&answer).contains("not seen") && parent(&answer).contains("--resolver"));
        answer.parent_sightings.extend(SERVERS.map(|server| from_parent("eu-2", Some(server))));
        answer.parents = 2;
        let some = "the parent zone: seen from eu-2 of 2 agents, 2 of its servers answered, ";
        assert!(parent(&answer).starts_with(some), "{}", parent(&answer));
        answer.parent_sightings.push(from_parent("eu-1", Some(SERVERS[0])));
        let well = "the parent zone: seen from all 2 agents, 2 of its servers answered, delegation and glue are the zone's";
        assert_eq!(parent(&answer), well);
        for fault in ["stale", "glue_missing", "ds_mistaken"] {
            let fault = fault.into();
            answer.findings.push(pb::PropagationFinding { fault, ..Default::default() });
        }
        let wrong = "2 of the warnings are about its delegation, glue and DS records";
        assert!(parent(&answer).ends_with(wrong));
    }

    #[test]
    fn json_has_what_every_agent_was_told_by_the_parent() {
        let finding = pb::PropagationFinding {
            fault: "glue_missing".into(),
            agents: vec!["eu-1".into()],
            ..Default::default()
        };
        let answer = pb::CheckPropagationResponse {
            parent_sightings: vec![
                from_parent("eu-1", Some("192.0.2.53:53")),
                from_parent("eu-2", None),
            ],
            findings: vec![finding],
            ..Default::default()
        };
        let json = json::of(&answer);
        assert_eq!(json["findings"][0]["agents"], serde_json::json!(["eu-1"]));
        let seen = &json["parent_sightings"];
        assert_eq!(seen[0]["asker"], "eu-1");
        assert_eq!(seen[0]["delegation"]["parent"], "192.0.2.53:53");
        assert_eq!(seen[0]["delegation"]["glue"][0]["address"], "192.0.2.1");
        assert_eq!(seen[1]["unasked"]["why"], "no resolver");
    }

    #[test]
    fn a_refusal_shows_its_extended_error_and_a_note_is_no_fault() {
        let refused = pb::Sighting { code: 2, extended_error: Some(6), ..pb::Sighting::default() };
        let answer = pb::CheckPropagationResponse {
            sightings: vec![refused],
            notes: vec!["the parent has no DS record".into()],
            parents: 1,
            ..pb::CheckPropagationResponse::default()
        };
        let text = page(&answer).render(Format::Table, false).expect("printable");
        assert!(text.contains("nothing (rcode 2, extended error 6)"), "{text}");
        assert!(text.contains("note: the parent has no DS record"), "{text}");
        let noted = pb::CheckPropagationResponse { sightings: Vec::new(), ..answer };
        assert!(is_well(&noted));
    }
}
