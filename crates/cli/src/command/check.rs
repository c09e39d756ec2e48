//! `holdfast check run`: asks an endpoint what an observer would ask it, from this machine, and shows what was seen.
//!
//! Nothing is reported to anybody: it helps to understand a check, or to try one before it is applied.

use std::path::PathBuf;

use holdfast_agent::{AddressPolicy, ProbeReport, probe_once};
use holdfast_core::sample::Finding;
use holdfast_core::spec::{Check, Endpoint, Service};
use holdfast_core::time::millis;
use holdfast_core::{CheckName, EndpointName, ServiceId};
use serde_json::{Value, json};

use crate::command::{export, service};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::manifest::{self, Manifest};
use crate::output::Page;
use crate::session::{Outcome, Session};
use crate::words;

/// Commands of `check`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Probe from this machine, once.
    Run(RunArgs),
}

/// Arguments of `check run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The service.
    service: ServiceId,
    /// The check.
    check: CheckName,
    /// The endpoint [default: every one].
    name: Option<EndpointName>,
    /// Show each phase with its time, and what was asserted.
    #[arg(long)]
    debug: bool,
    /// Take the service from this manifest instead of the cluster.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Probe loopback addresses as well.
    #[arg(long)]
    allow_loopback: bool,
    /// Probe only this network, such as 10.0.0.0/8; may be given again.
    #[arg(long, value_name = "NETWORK")]
    allow: Vec<String>,
    /// Do not probe this network; may be given again.
    #[arg(long, value_name = "NETWORK")]
    deny: Vec<String>,
    /// End with 2 where an endpoint did not pass.
    #[arg(long)]
    exit_code: bool,
}

/// Runs a command about checks.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    let Args::Run(args) = args;
    let policy = policy(&args)?;
    let service = declared(&args, session).await?;
    let (check, endpoints) = chosen(&service, &args)?;
    let mut reports = Vec::new();
    for endpoint in endpoints {
        let report = probe_once(&service.id, check, endpoint, policy.clone()).await;
        reports.push((endpoint.clone(), report));
    }
    session.out.page(&page(&service.id, check, &reports, args.debug))?;
    let passed = reports.iter().all(|(_, report)| report.sample.finding == Finding::Pass);
    Ok(if args.exit_code && !passed { Exit::Differs } else { Exit::Success })
}

fn policy(args: &RunArgs) -> Result<AddressPolicy, Failure> {
    let mut policy =
        AddressPolicy { allow_loopback: args.allow_loopback, ..AddressPolicy::default() };
    for (flag, texts, list) in
        [("--allow", &args.allow, &mut policy.allow), ("--deny", &args.deny, &mut policy.deny)]
    {
        for text in texts {
            list.push(text.parse().map_err(|error| Failure::usage(format!("{flag}: {error}")))?);
        }
    }
    Ok(policy)
}

async fn declared(args: &RunArgs, session: &Session) -> Result<Service, Failure> {
    let Some(file) = &args.file else {
        let answer = service::get(&session.client()?, &args.service, true).await?;
        return export::decode("service", answer.service.and_then(|entry| entry.spec));
    };
    let manifests = manifest::read(file).map_err(|error| Failure::error(error.to_string()))?;
    let found = manifests.into_iter().find_map(|manifest| match manifest {
        Manifest::Service(service) if service.id == args.service => Some(service),
        Manifest::Service(_) | Manifest::Zone(_) => None,
    });
    found.ok_or_else(|| {
        Failure::error(format!("{} declares no service {}", file.display(), args.service))
    })
}

fn chosen<'a>(
    service: &'a Service,
    args: &RunArgs,
) -> Result<(&'a Check, Vec<&'a Endpoint>), Failure> {
    let check = service.checks.iter().find(|check| check.name == args.check).ok_or_else(|| {
        let names: Vec<&str> = service.checks.iter().map(|check| check.name.as_str()).collect();
        Failure::error(format!(
            "{} has no check {}; it has {}",
            service.id,
            args.check,
            names.join(", ")
        ))
    })?;
    let wanted =
        |endpoint: &&Endpoint| args.name.as_ref().is_none_or(|name| endpoint.name == *name);
    let endpoints: Vec<&Endpoint> =
        service.endpoints().map(|(_, endpoint)| endpoint).filter(wanted).collect();
    if endpoints.is_empty() {
        let which = args
            .name
            .as_ref()
            .map_or_else(|| "endpoints".to_owned(), |name| format!("endpoint {name}"));
        return Err(Failure::error(format!("{} has no {which}", service.id))
            .next(format!("holdfast service get {}", service.id)));
    }
    Ok((check, endpoints))
}

fn page(
    service: &ServiceId,
    check: &Check,
    reports: &[(Endpoint, ProbeReport)],
    debug: bool,
) -> Page {
    let lines: Vec<String> = reports
        .iter()
        .map(|(endpoint, report)| text(service, check, endpoint, report, debug))
        .collect();
    let data: Vec<Value> =
        reports.iter().map(|(endpoint, report)| data(endpoint, report)).collect();
    let data =
        json!({ "service": service.to_string(), "check": check.name.to_string(), "probes": data });
    Page::line(data, lines.concat())
}

/// `pass`, `fail` or `abstain`, and why.
fn finding(report: &ProbeReport) -> (&'static str, Option<String>) {
    match &report.sample.finding {
        Finding::Pass => ("pass", None),
        Finding::Fail(failure) => ("fail", Some(failure.to_string())),
        Finding::Abstain(why) => {
            ("abstain", Some(format!("this machine cannot tell: {why:?}").to_lowercase()))
        }
    }
}

fn text(
    service: &ServiceId,
    check: &Check,
    endpoint: &Endpoint,
    report: &ProbeReport,
    debug: bool,
) -> String {
    let (word, why) = finding(report);
    let address = report
        .address
        .map_or_else(|| format!("{}:{}", endpoint.address, endpoint.port), |at| at.to_string());
    let mut text = format!(
        "{} {}  {service}/{} {}  {} {address}",
        word.to_ascii_uppercase(),
        words::duration(millis(report.sample.latency)),
        check.name,
        endpoint.name,
        check.kind.label()
    );
    if let Some(why) = why {
        text = format!("{text}  {why}");
    }
    text.push('\n');
    if debug {
        let phases: Vec<String> = report
            .timings
            .iter()
            .map(|(phase, took)| format!("{} {:.1}ms", phase.label(), took.as_secs_f64() * 1000.0))
            .collect();
        text = format!("{text} {}\n", phases.join(" | "));
        for note in &report.notes {
            text = format!("{text}  · {note}\n");
        }
    }
    text
}

fn data(endpoint: &Endpoint, report: &ProbeReport) -> Value {
    let (word, why) = finding(report);
    let phases: Vec<Value> = report
        .timings
        .iter()
        .map(|(phase, took)| json!({ "phase": phase.label(), "took_us": u64::try_from(took.as_micros()).unwrap_or(u64::MAX) }))
        .collect();
    json!({
        "endpoint": endpoint.name.to_string(),
        "address": report.address.map(|address| address.to_string()),
        "finding": word,
        "why": why,
        "latency_ms": millis(report.sample.latency),
        "phases": phases,
        "notes": report.notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::output::Format;
    use clap::Parser as _;
    use holdfast_core::sample::{Failure as ProbeFailure, FailureKind, Phase, Sample};
    use std::path::Path;
    use std::time::Duration;

    const SERVICE: &str = "apiVersion: holdfast/v1\nkind: Service\nmetadata: { name: shop }\nspec:\n  \
        dns: { name: shop.example.test }\n  \
        pools: [ { name: eu, endpoints: [ { name: e1, address: \"192.0.2.10:80\" } ] } ]\n  \
        checks: [ { name: tcp, type: tcp } ]\n";

    fn service() -> Service {
        match manifest::parse(SERVICE, manifest::Format::Yaml, Path::new("."))
            .expect("right")
            .remove(0)
        {
            Manifest::Service(service) => service,
            Manifest::Zone(_) => panic!("a service was written"),
        }
    }

    fn args(line: &str) -> RunArgs {
        match Cli::try_parse_from(line.split(' ')).expect("valid").command {
            Command::Check(Args::Run(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_declared_is_named() {
        let service = service();
        assert_eq!(
            chosen(&service, &args("holdfast check run shop tcp")).expect("declared").1.len(),
            1
        );
        for (line, said) in [
            ("holdfast check run shop http", "shop has no check http; it has tcp"),
            ("holdfast check run shop tcp e9", "shop has no endpoint e9"),
        ] {
            let failure = chosen(&service, &args(line)).expect_err(line);
            assert!(failure.message().contains(said), "{failure}");
        }
        let failure = policy(&args("holdfast check run shop tcp --allow everything"))
            .expect_err("no network");
        assert!(failure.message().starts_with("--allow: "), "{failure}");
        assert_eq!(failure.exit(), Exit::Usage);
    }

    #[test]
    fn a_failure_names_its_phase_and_its_times() {
        let service = service();
        let (check, endpoints) =
            chosen(&service, &args("holdfast check run shop tcp")).expect("declared");
        let failure = ProbeFailure::new(Phase::Connect, FailureKind::Refused, "no listener");
        let report = ProbeReport {
            sample: Sample { finding: Finding::Fail(failure), latency: Duration::from_millis(4) },
            address: None,
            timings: vec![
                (Phase::Resolve, Duration::from_micros(100)),
                (Phase::Connect, Duration::from_micros(3900)),
            ],
            notes: vec!["nothing was sent".into()],
        };
        let page = page(&service.id, check, &[(endpoints[0].clone(), report)], true);
        let expected = "FAIL 4ms  shop/tcp e1  tcp 192.0.2.10:80  connect refused: no listener\n \
            resolve 0.1ms | connect 3.9ms\n  · nothing was sent\n";
        assert_eq!(page.render(Format::Table, false).expect("printable"), expected);
        let data: Value =
            serde_json::from_str(&page.render(Format::Json, false).expect("printable"))
                .expect("JSON");
        assert_eq!(data["probes"][0]["phases"][1]["took_us"], 3900);
    }
}
