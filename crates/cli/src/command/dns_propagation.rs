//! `holdfast dns propagation …`: what name servers, resolvers and the parent zone say of a name, seen from every agent.

use std::time::Duration;

use holdfast_core::DnsName;
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
    /// Also ask this resolver: an IP address, with or without a port. May be given several times. The parent zone is
    /// found through the first one where the agent that is asked has none of its own.
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
    let servers = answer.parents;
    if servers == 0 {
        return "the parent zone: not seen; it is found through a resolver (--resolver, or dns.propagation.resolvers \
                of the agent that was asked), and none is given, or it found no server that may be asked and answered"
            .to_owned();
    }
    let wrong = |one: &&pb::PropagationFinding| OF_THE_PARENT.contains(&one.fault.as_str());
    let found = match answer.findings.iter().filter(wrong).count() {
        0 => "delegation and glue are the zone's".to_owned(),
        faults => format!("{faults} of the warnings are about its delegation, glue and DS records"),
    };
    format!("the parent zone: asked, {servers} of its servers answered, {found}")
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

    #[test]
    fn the_parent_is_told_of_whether_it_was_seen_or_not() {
        let mut answer = pb::CheckPropagationResponse::default();
        assert!(parent(&answer).contains("not seen") && parent(&answer).contains("--resolver"));
        answer.parents = 2;
        let well =
            "the parent zone: asked, 2 of its servers answered, delegation and glue are the zone's";
        assert_eq!(parent(&answer), well);
        for fault in ["stale", "glue_missing", "ds_mistaken"] {
            let fault = fault.into();
            answer.findings.push(pb::PropagationFinding { fault, ..Default::default() });
        }
        let wrong = "2 of the warnings are about its delegation, glue and DS records";
        assert!(parent(&answer).ends_with(wrong));
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
