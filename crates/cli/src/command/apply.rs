//! `holdfast apply -f FILE`: declares what stands in manifests, zones first.
//!
//! Everything is read and checked before anything is sent, so that a mistake in the last document changes nothing.
//! Each document is a request of its own, with a number made of the command's: a repetition with the same
//! `--request-id` and the same files does nothing twice.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_core::spec::{Service, Zone};
use holdfast_core::time::millis;
use holdfast_core::ttl::FLOOR;
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;
use serde_json::{Value, json};

use crate::client::{Client, registry};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::manifest::{self, Format, Manifest};
use crate::output::{Page, json as told};
use crate::session::{Outcome, Session};
use crate::words;

/// Endpoints that a warning names.
const MAX_NAMED: usize = 8;
/// The largest manifest that is read from standard input, in bytes.
const MAX_INPUT: u64 = 64 << 20;

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Manifest in YAML or TOML, a directory of them, or - for YAML on standard input; may be given again.
    #[arg(long, short, required = true, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Only say what would be sent (client), or whether it would be accepted (server).
    #[arg(long, value_enum, value_name = "WHERE")]
    dry_run: Option<DryRun>,
    /// Refuse unless this is the stored revision; 0 only creates. For one document alone.
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
    /// End with 2 where something is changed, or would be.
    #[arg(long)]
    exit_code: bool,
}

/// Where a dry run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DryRun {
    /// Here: the documents are checked and shown.
    Client,
    /// At the cluster: it says whether it would take them.
    Server,
}

/// What came of one document.
#[derive(Debug, Default)]
struct Applied {
    kind: &'static str,
    name: String,
    changed: bool,
    revision: u64,
    index: u64,
    warnings: Vec<String>,
    /// Of a zone: its ALIASes that led to nothing when it was declared.
    dead: Vec<pb::DeadAlias>,
    /// Of a service: the name that it answers.
    answers: Option<String>,
}

/// Applies the manifests.
pub(crate) async fn run(args: &Args, session: &Session) -> Outcome {
    let documents = in_order(read_all(&args.file)?)?;
    if args.if_revision.is_some() && documents.len() != 1 {
        let message =
            format!("--if-revision is about one document, and {} are given", documents.len());
        return Err(Failure::usage(message).next("apply the document in a file of its own"));
    }
    if args.dry_run == Some(DryRun::Client) {
        session.out.page(&intended(&documents))?;
        return Ok(Exit::Success);
    }
    let validate_only = args.dry_run == Some(DryRun::Server);
    let mut client = session.client()?;
    let (applied, stopped) =
        send_all(&mut client, &documents, (args.if_revision, validate_only)).await;
    if stopped.is_none() || !applied.is_empty() {
        session.out.page(&page(&applied, validate_only))?;
    }
    if let Some(failure) = stopped {
        return Err(if validate_only { beside(failure, &applied) } else { failure });
    }
    let changed = applied.iter().any(|one| one.changed);
    Ok(if args.exit_code && changed { Exit::Differs } else { Exit::Success })
}

/// Sends documents until one is not taken: what came of those before it, and why it was not.
async fn send_all(
    client: &mut Client,
    documents: &[Manifest],
    condition: (Option<u64>, bool),
) -> (Vec<Applied>, Option<Failure>) {
    let mut applied = Vec::new();
    for (part, document) in documents.iter().enumerate() {
        client.renew();
        match send(client, document, part, condition).await {
            Ok(one) => applied.push(one),
            Err(failure) => return (applied, Some(failure)),
        }
    }
    (applied, None)
}

fn read_all(files: &[PathBuf]) -> Result<Vec<Manifest>, Failure> {
    let mut documents = Vec::new();
    for file in files {
        if file.as_os_str() == "-" {
            documents.extend(read_input()?);
        } else {
            for file in files_of(file)? {
                documents.extend(manifest::read(&file).map_err(|error| unusable(&error))?);
            }
        }
    }
    Ok(documents)
}

fn unusable(error: &manifest::ManifestError) -> Failure {
    Failure::error(error.to_string()).next("correct the manifest; nothing was sent")
}

fn read_input() -> Result<Vec<Manifest>, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text);
    read.map_err(|error| Failure::error(format!("cannot read standard input: {error}")))?;
    manifest::parse(&text, Format::Yaml, Path::new(".")).map_err(|error| {
        Failure::error(format!("standard input: {error}"))
            .next("correct the manifest; nothing was sent")
    })
}

/// The file itself, or the manifests of a directory in order of their names.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable =
        |error: std::io::Error| Failure::error(format!("cannot read {}: {error}", path.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let is_manifest =
            matches!(file.extension().and_then(|end| end.to_str()), Some("yaml" | "yml" | "toml"));
        if is_manifest && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Failure::error(format!(
            "there is no .yaml, .yml or .toml file in {}",
            path.display()
        )));
    }
    files.sort();
    Ok(files)
}

/// Zones before services, else as written. Errors: a name is declared twice.
fn in_order(documents: Vec<Manifest>) -> Result<Vec<Manifest>, Failure> {
    let (zones, services): (Vec<_>, Vec<_>) =
        documents.into_iter().partition(|document| matches!(document, Manifest::Zone(_)));
    let ordered: Vec<Manifest> = zones.into_iter().chain(services).collect();
    let mut names = std::collections::BTreeSet::new();
    match ordered.iter().map(name_of).find(|name| !names.insert(name.clone())) {
        Some((kind, name)) => Err(Failure::error(format!("{kind} {name} is declared twice"))
            .next("leave one of the two documents out; nothing was sent")),
        None => Ok(ordered),
    }
}

/// The least TTL with which a service is answered, as far as it is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Floor {
    /// The group says so.
    Set(Duration),
    /// Nobody was asked: that of a group that was never told another.
    Usual,
}

/// What is accepted and does not do what it says: TTLs of a service below the floor.
fn short_ttls(service: &Service, floor: Floor) -> Vec<String> {
    let declared = [("dns.ttl", Some(service.dns.ttl)), ("dns.ttl_min", service.dns.ttl_min)];
    let (least, why) = match floor {
        Floor::Set(least) => (least, "the ttl_floor of `holdfast settings show`"),
        Floor::Usual => (FLOOR, "unless `holdfast settings set --ttl-floor` says otherwise"),
    };
    let short = declared.into_iter().filter_map(|(key, ttl)| Some((key, ttl?)));
    let short = short.filter(|(_, ttl)| *ttl < least);
    let told = |ttl: Duration| words::seconds(millis(ttl));
    short
        .map(|(key, ttl)| {
            let (service, ttl, least) = (&service.id, told(ttl), told(least));
            format!("service {service}: {key} is {ttl}, and nothing is told for less than {least} ({why})")
        })
        .collect()
}

fn name_of(document: &Manifest) -> (&'static str, String) {
    match document {
        Manifest::Zone(zone) => ("zone", zone.name.to_string()),
        Manifest::Service(service) => ("service", service.id.to_string()),
    }
}

async fn send(
    client: &Client,
    document: &Manifest,
    part: usize,
    condition: (Option<u64>, bool),
) -> Result<Applied, Failure> {
    match document {
        Manifest::Zone(zone) => send_zone(client, zone, part, condition).await,
        Manifest::Service(service) => send_service(client, service, part, condition).await,
    }
}

async fn send_zone(
    client: &Client,
    zone: &Zone,
    part: usize,
    (if_revision, validate_only): (Option<u64>, bool),
) -> Result<Applied, Failure> {
    let message = pb::ApplyZoneRequest {
        request_id: client.request_id_of_part(part),
        zone: Some(zone.to_proto()),
        if_revision,
        validate_only,
    };
    let answer = client
        .call(format!("apply zone {}", zone.name), async |channel| {
            registry(channel).apply_zone(client.request(message.clone())).await
        })
        .await?
        .value;
    Ok(Applied {
        kind: "zone",
        name: zone.name.to_string(),
        changed: answer.changed,
        revision: answer.revision,
        index: answer.index,
        warnings: answer.missing_keys.iter().map(|one| missing_key(&zone.name, one)).collect(),
        dead: answer.dead_aliases,
        answers: None,
    })
}

async fn send_service(
    client: &Client,
    service: &Service,
    part: usize,
    (if_revision, validate_only): (Option<u64>, bool),
) -> Result<Applied, Failure> {
    let message = pb::ApplyServiceRequest {
        request_id: client.request_id_of_part(part),
        service: Some(service.to_proto()),
        if_revision,
        validate_only,
    };
    let answer = client
        .call(format!("apply service {}", service.id), async |channel| {
            registry(channel).apply_service(client.request(message.clone())).await
        })
        .await?
        .value;
    let mut warnings = short_ttls(service, Floor::Set(Duration::from_millis(answer.ttl_floor_ms)));
    warnings.extend(gone(&service.id, &answer.endpoints_gone));
    Ok(Applied {
        kind: "service",
        name: service.id.to_string(),
        changed: answer.changed,
        revision: answer.revision,
        index: answer.index,
        warnings,
        dead: Vec::new(),
        answers: Some(service.dns.name.to_string()),
    })
}

/// Declares one zone and says what came of it.
pub(crate) async fn declare_zone(
    client: &Client,
    zone: &Zone,
    validate_only: bool,
    session: &Session,
) -> Outcome {
    let applied = send_zone(client, zone, 0, (None, validate_only)).await?;
    session.out.page(&page(&[applied], validate_only))?;
    Ok(Exit::Success)
}

/// What a declaration takes away without a word: whatever was declared before or registered since.
fn gone(service: impl std::fmt::Display, endpoints: &[String]) -> Option<String> {
    let first =
        endpoints.get(..endpoints.len().min(MAX_NAMED)).filter(|first| !first.is_empty())?;
    let more = match endpoints.len() - first.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "service {service}: {}{more}, registered or declared before, would go: the manifest does not have {}",
        first.join(", "),
        if endpoints.len() == 1 { "it" } else { "them" }
    ))
}

/// A key that a zone names and that does not exist; it may come later, so this is no error.
pub(crate) fn missing_key(zone: impl std::fmt::Display, missing: &pb::MissingKey) -> String {
    let pb::MissingKey { field, key } = missing;
    format!(
        "zone {zone}: {field} names TSIG key {key}, which does not exist, so nothing can be signed with it; add it with \
         `holdfast tsig add {key}`"
    )
}

/// The warnings of a document among those of its run: one may bring what an ALIAS of another one leads to.
fn warnings_of(one: &Applied, run: &[Applied]) -> Vec<String> {
    let comes = |target: &String| run.iter().any(|other| other.answers.as_ref() == Some(target));
    let dead = one.dead.iter().filter(|dead| !comes(&dead.target)).map(|dead| {
        let pb::DeadAlias { name, target } = dead;
        format!(
            "zone {}: the ALIAS at {name} leads to {target}, which has no address: resolvers get SERVFAIL for {name} as \
             long as that is so",
            one.name
        )
    });
    one.warnings.iter().cloned().chain(dead).collect()
}

/// A dry run judges each document by what is stored, and so not by those before it in the run.
fn beside(failure: Failure, before: &[Applied]) -> Failure {
    let changing: Vec<String> = before
        .iter()
        .filter(|one| one.changed)
        .map(|one| format!("{} {}", one.kind, one.name))
        .collect();
    if changing.is_empty() {
        return failure;
    }
    failure.also(format!(
        "if it needs {}, which come before it in this run and are not stored by a dry run, apply these first",
        changing.join(", ")
    ))
}

/// What is stored, or nothing where there is nothing yet.
pub(crate) fn existing<T>(stored: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match stored {
        Ok(stored) => Ok(Some(stored)),
        Err(failure) if failure.is_about_absence() => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn page(applied: &[Applied], validate_only: bool) -> Page {
    let line = |one: &Applied| match (validate_only, one.changed) {
        (true, true) if one.revision == 0 => format!("{} {} would be created", one.kind, one.name),
        (true, true) => format!("{} {} would be changed", one.kind, one.name),
        (false, true) => format!("{} {} applied (revision {})", one.kind, one.name, one.revision),
        (_, false) => format!("{} {} unchanged (revision {})", one.kind, one.name, one.revision),
    };
    let data: Vec<Value> = applied
        .iter()
        .map(|one| {
            json!({
                "kind": one.kind,
                "name": one.name,
                "changed": one.changed,
                "revision": one.revision,
                "index": one.index,
                "validate_only": validate_only,
                "warnings": warnings_of(one, applied),
            })
        })
        .collect();
    let lines: Vec<String> = applied.iter().map(line).collect();
    let warnings = applied.iter().flat_map(|one| warnings_of(one, applied));
    Page::line(json!({ "documents": data }), lines.join("\n")).warnings(warnings)
}

fn intended(documents: &[Manifest]) -> Page {
    let line = |document: &Manifest| match document {
        Manifest::Zone(zone) => {
            format!(
                "zone {} is right, with {}",
                zone.name,
                words::count(zone.records.len(), "record")
            )
        }
        Manifest::Service(service) => format!(
            "service {} is right, for {}: {}, {}, {}",
            service.id,
            service.dns.name,
            words::count(service.pools.len(), "pool"),
            words::count(service.endpoints().count(), "endpoint"),
            words::count(service.checks.len(), "check")
        ),
    };
    let sent = |document: &Manifest| match document {
        Manifest::Zone(zone) => json!({ "kind": "zone", "zone": told::of(&zone.to_proto()) }),
        Manifest::Service(service) => {
            json!({ "kind": "service", "service": told::of(&service.to_proto()) })
        }
    };
    let lines: Vec<String> = documents.iter().map(line).collect();
    let data: Vec<Value> = documents.iter().map(sent).collect();
    let short = documents.iter().flat_map(|document| match document {
        Manifest::Service(service) => short_ttls(service, Floor::Usual),
        Manifest::Zone(_) => Vec::new(),
    });
    Page::line(json!({ "documents": data }), format!("{}\nnothing was sent", lines.join("\n")))
        .warnings(short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format as Form;

    const ZONE: &str = "apiVersion: holdfast/v1\nkind: Zone\nmetadata: { name: example.test }\n\
        spec: { name_servers: [ { name: ns1.example.test, addresses: [192.0.2.1] } ] }\n";
    const SERVICE: &str = "apiVersion: holdfast/v1\nkind: Service\nmetadata: { name: shop }\nspec:\n  \
        dns: { name: shop.example.test }\n  \
        pools: [ { name: eu, endpoints: [ { name: e1, address: \"192.0.2.10:80\" } ] } ]\n  \
        checks: [ { name: tcp, type: tcp } ]\n";

    fn parse(text: &str) -> Result<Vec<Manifest>, Failure> {
        let documents = manifest::parse(text, Format::Yaml, Path::new("."))
            .map_err(|error| unusable(&error))?;
        in_order(documents)
    }

    #[test]
    fn zones_come_first_and_nothing_is_declared_twice() {
        let documents = parse(&format!("{SERVICE}---\n{ZONE}")).expect("right");
        assert_eq!(
            documents.iter().map(|one| name_of(one).0).collect::<Vec<_>>(),
            ["zone", "service"]
        );
        let failure = parse(&format!("{SERVICE}---\n{SERVICE}")).expect_err("twice");
        assert!(failure.message().contains("service shop is declared twice"), "{failure}");
    }

    #[test]
    fn a_dry_run_shows_what_would_be_sent() {
        let page = intended(&parse(&format!("{ZONE}---\n{SERVICE}")).expect("right"));
        let text = page.render(Form::Table, false).expect("printable");
        let expected = "zone example.test is right, with 0 records\n\
            service shop is right, for shop.example.test: 1 pool, 1 endpoint, 1 check\nnothing was sent\n";
        assert_eq!(text, expected);
        let data: Value = serde_json::from_str(&page.render(Form::Json, false).expect("printable"))
            .expect("JSON");
        assert_eq!(data["documents"][1]["service"]["pools"][0]["endpoints"][0]["ip"], "192.0.2.10");
    }

    #[test]
    fn a_ttl_below_the_groups_floor_is_taken_with_a_warning() {
        let warnings = |declared: &str, floor| {
            let text = SERVICE
                .replace("shop.example.test }", &format!("shop.example.test, {declared} }}"));
            match &parse(&text).expect("right")[..] {
                [Manifest::Service(service)] => short_ttls(service, floor),
                other => panic!("{other:?}"),
            }
        };
        let set = |seconds| Floor::Set(Duration::from_secs(seconds));
        let below_ten = "service shop: dns.ttl is 8s, and nothing is told for less than 10s \
            (the ttl_floor of `holdfast settings show`)";
        assert_eq!(warnings("ttl: 8s", set(10)), [below_ten]);
        assert_eq!(warnings("ttl: 10s", set(10)), [""; 0]);
        assert_eq!(warnings("ttl: 3s", set(2)), [""; 0]);
        let below_usual = "service shop: dns.ttl_min is 3s, and nothing is told for less than 5s \
            (unless `holdfast settings set --ttl-floor` says otherwise)";
        assert_eq!(warnings("ttl: 30s, ttl_min: 3s", Floor::Usual), [below_usual]);
        assert_eq!(warnings("ttl: 5s", Floor::Usual), [""; 0]);
    }

    #[test]
    fn what_came_of_each_is_told() {
        let applied = |changed| Applied {
            kind: "service",
            name: "shop".into(),
            changed,
            revision: 7,
            index: 9,
            ..Applied::default()
        };
        let text = |changed, only| {
            page(&[applied(changed)], only).render(Form::Table, false).expect("printable")
        };
        assert_eq!(text(true, false), "service shop applied (revision 7)\n");
        assert_eq!(text(false, false), "service shop unchanged (revision 7)\n");
        assert_eq!(text(true, true), "service shop would be changed\n");
    }

    #[test]
    fn what_was_applied_is_told_with_its_warnings_though_another_document_failed() {
        let short =
            Applied { kind: "service", warnings: vec!["too short".into()], ..Applied::default() };
        let told = page(&[short], false);
        assert!(told.render(Form::Table, false).expect("printable").contains("! too short"));
        let data = told.render(Form::Json, false).expect("printable");
        let data: Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!(data["documents"][0]["warnings"], json!(["too short"]));
    }

    #[test]
    fn an_alias_that_leads_to_nothing_is_told_unless_the_run_brings_what_it_leads_to() {
        let alias =
            |target: &str| pb::DeadAlias { name: "www.example.test".into(), target: target.into() };
        let zone = Applied {
            kind: "zone",
            name: "example.test".into(),
            dead: vec![alias("shop.example.test"), alias("nowhere.example.test")],
            ..Applied::default()
        };
        let answers = Some("shop.example.test".into());
        let run = [zone, Applied { kind: "service", answers, ..Applied::default() }];
        let told = warnings_of(&run[0], &run);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("leads to nowhere.example.test"), "{told:?}");
        assert!(told[0].contains("resolvers get SERVFAIL for www.example.test"), "{told:?}");
        assert_eq!(warnings_of(&run[0], &run[..1]).len(), 2, "the service was not taken");
    }

    #[test]
    fn a_dry_run_that_is_refused_says_what_it_did_not_store() {
        let zone = |changed| Applied {
            kind: "zone",
            name: "example.test".into(),
            changed,
            index: 9,
            ..Applied::default()
        };
        let refused = || Failure::error("shop.example.test lies in no zone").next("apply one");
        assert_eq!(beside(refused(), &[zone(false)]), refused(), "it is stored as it stands here");
        let told = beside(refused(), &[zone(true)]).to_string();
        assert!(told.contains("apply one; if it needs zone example.test"), "{told}");
    }

    #[test]
    fn endpoints_that_would_go_are_named_and_the_rest_is_counted() {
        assert_eq!(gone("shop", &[]), None);
        let one = gone("shop", &["e1".to_owned()]).expect("it would go");
        assert!(one.starts_with("service shop: e1, registered") && one.ends_with(" it"), "{one}");
        let many: Vec<String> = (1..=10).map(|number| format!("e{number}")).collect();
        let many = gone("shop", &many).expect("they would go");
        assert!(many.contains("e7, e8 and 2 more, registered"), "{many}");
    }

    #[test]
    fn a_key_that_does_not_exist_is_told_with_where_it_is_named_and_what_adds_it() {
        let (field, key) = ("updates".to_owned(), "dyn.test".to_owned());
        let text = missing_key("example.test", &pb::MissingKey { field, key });
        assert!(text.starts_with("zone example.test: updates names TSIG key dyn.test"), "{text}");
        assert!(text.contains("`holdfast tsig add dyn.test`"), "{text}");
    }

    #[test]
    fn a_directory_is_read_by_name_and_an_empty_one_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(files_of(dir.path()).expect_err("empty").message().contains("there is no .yaml"));
        for name in ["b.toml", "a.yaml", "notes.txt"] {
            std::fs::write(dir.path().join(name), "").expect("written");
        }
        let files = files_of(dir.path()).expect("readable");
        assert_eq!(files, [dir.path().join("a.yaml"), dir.path().join("b.toml")]);
    }
}
