//! `holdfast service …`: what is declared, how it stands and why.

use holdfast_core::ServiceId;
use holdfast_core::spec::Prefix;
use holdfast_wire::pb::v1 as pb;

use crate::client::{Client, explain as explaining, registry};
use crate::command::{apply, export};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Format, Page, Table, json, tree};
use crate::session::{Outcome, Session};
use crate::words;

/// How many services are asked for at once.
const PAGE_SIZE: u32 = 200;

/// Commands of `service`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Declare what stands in manifests; the same as `holdfast apply`.
    Apply(apply::Args),
    /// Show one service.
    Get(GetArgs),
    /// Show all services.
    List(ListArgs),
    /// Delete a service and its overrides.
    Delete(DeleteArgs),
    /// Say why it is answered as it is.
    Explain(ExplainArgs),
}

/// Arguments of `service get`.
#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// The service, `name` or `namespace/name`.
    service: ServiceId,
    /// Print its declaration alone, as a manifest that `apply` takes.
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    manifest: Option<export::Language>,
    /// What the member asked knows, without asking the leader.
    #[arg(long)]
    stale: bool,
}

/// Arguments of `service list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only this namespace.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// What the member asked knows, without asking the leader.
    #[arg(long)]
    stale: bool,
}

/// Arguments of `service delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// The service.
    service: ServiceId,
    /// Refuse unless this is the stored revision.
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
}

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The service.
    service: ServiceId,
    /// Also say what this network's clients get, such as 192.0.2.7 or 192.0.2.0/24, and why.
    #[arg(long, value_name = "ADDR[/LEN]")]
    client: Option<Prefix>,
    /// What the member asked knows, without asking the leader.
    #[arg(long)]
    stale: bool,
}

/// Runs a command about services.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    match args {
        Args::Apply(args) => apply::run(&args, session).await,
        Args::Get(args) => show(&args, session).await,
        Args::List(args) => {
            let namespace = args.namespace.unwrap_or_default();
            let answer = list(&mut session.client()?, &namespace, args.stale).await?;
            session.out.page(&list_page(&answer))?;
            Ok(Exit::Success)
        }
        Args::Delete(args) => delete(&args, session).await,
        Args::Explain(args) => explain(args, session).await,
    }
}

/// The consistency that a flag asks for.
pub(crate) fn consistency(stale: bool) -> i32 {
    let consistency = if stale { pb::Consistency::Stale } else { pb::Consistency::Linearizable };
    consistency as i32
}

/// Adds what helps a read where there is no quorum.
pub(crate) fn or_stale(failure: Failure) -> Failure {
    if failure.exit() == Exit::Unavailable {
        failure.next("add --stale to see what one member knows")
    } else {
        failure
    }
}

/// One service.
pub(crate) async fn get(
    client: &Client,
    service: &ServiceId,
    stale: bool,
) -> Result<pb::GetServiceResponse, Failure> {
    let message =
        pb::GetServiceRequest { service: service.to_string(), consistency: consistency(stale) };
    let answer = client.call(format!("show service {service}"), async |channel| {
        registry(channel).get_service(client.request(message.clone())).await
    });
    Ok(answer.await.map_err(or_stale)?.value)
}

/// All services, page by page.
pub(crate) async fn list(
    client: &mut Client,
    namespace: &str,
    stale: bool,
) -> Result<pb::ListServicesResponse, Failure> {
    let mut all = pb::ListServicesResponse::default();
    loop {
        client.renew();
        let message = pb::ListServicesRequest {
            consistency: consistency(stale),
            namespace: namespace.to_owned(),
            page_size: PAGE_SIZE,
            page_token: all.next_page_token.clone(),
        };
        let asking = &*client;
        let page = asking.call("list services", async |channel| {
            registry(channel).list_services(asking.request(message.clone())).await
        });
        let page = page.await.map_err(or_stale)?.value;
        all.services.extend(page.services);
        all.index = page.index;
        if page.next_page_token.is_empty() || page.next_page_token == all.next_page_token {
            all.next_page_token.clear();
            return Ok(all);
        }
        all.next_page_token = page.next_page_token;
    }
}

async fn show(args: &GetArgs, session: &Session) -> Outcome {
    let answer = get(&session.client()?, &args.service, args.stale).await?;
    if let Some(language) = args.manifest {
        let spec = answer.service.and_then(|entry| entry.spec);
        return export::print(session, &[export::service_manifest(spec)?], language);
    }
    session.out.page(&get_page(&answer))?;
    Ok(Exit::Success)
}

async fn delete(args: &DeleteArgs, session: &Session) -> Outcome {
    let service = &args.service;
    session.confirm(&format!("delete service {service}"))?;
    let client = session.client()?;
    let message = pb::DeleteServiceRequest {
        request_id: client.request_id(),
        service: service.to_string(),
        if_revision: args.if_revision,
    };
    let answer = client.call(format!("delete service {service}"), async |channel| {
        registry(channel).delete_service(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    let text = format!("service {service} deleted (index {})", answer.index);
    session.out.page(&Page::line(json::of(&answer), text))?;
    Ok(Exit::Success)
}

/// Says why a service is answered as it is.
pub(crate) async fn explain(args: ExplainArgs, session: &Session) -> Outcome {
    let client = session.client()?;
    let message = pb::ExplainServiceRequest {
        service: args.service.to_string(),
        consistency: consistency(args.stale),
        client: args.client.map(|client| client.to_string()).unwrap_or_default(),
    };
    let answer = client.call(format!("explain service {}", args.service), async |channel| {
        explaining(channel).explain_service(client.request(message.clone())).await
    });
    let answer = answer.await.map_err(or_stale)?.value;
    session.out.page(&explain_page(&answer, session.out.format))?;
    Ok(Exit::Success)
}

fn explain_page(answer: &pb::ExplainServiceResponse, format: Format) -> Page {
    let reason = answer.reason.clone().unwrap_or_default();
    Page::line(json::of(answer), tree(&reason, format == Format::Wide))
}

fn list_page(answer: &pb::ListServicesResponse) -> Page {
    let mut table = Table::new([
        Column::new("SERVICE"),
        Column::new("NAME"),
        Column::new("POLICY"),
        Column::new("POOLS"),
        Column::new("ENDPOINTS"),
        Column::new("ANSWER"),
        Column::wide("EPOCH"),
        Column::new("REVISION"),
    ]);
    for entry in &answer.services {
        let spec = entry.spec.clone().unwrap_or_default();
        let status = entry.status.clone().unwrap_or_default();
        let endpoints: usize = spec.pools.iter().map(|pool| pool.endpoints.len()).sum();
        table.row([
            spec.id.as_str().into(),
            spec.dns.as_ref().map_or("-", |dns| dns.name.as_str()).into(),
            policy(&spec).into(),
            Cell::new(spec.pools.len()),
            Cell::new(endpoints),
            words::selection(status.selection.as_ref()).into(),
            Cell::new(status.epoch),
            Cell::new(entry.revision),
        ]);
    }
    let page = Page::new(json::of(answer));
    if table.is_empty() {
        page.text("no services; declare some with `holdfast apply -f FILE`")
    } else {
        page.table(table)
    }
}

fn policy(spec: &pb::Service) -> &'static str {
    match spec.policy.as_ref().and_then(|policy| policy.policy.as_ref()) {
        Some(pb::policy::Policy::Failover(_)) => "failover",
        Some(pb::policy::Policy::Weighted(_)) => "weighted",
        Some(pb::policy::Policy::Multivalue(_)) => "multivalue",
        Some(pb::policy::Policy::Sticky(_)) => "sticky",
        Some(pb::policy::Policy::Geo(_)) => "geo",
        Some(pb::policy::Policy::Nearest(_)) => "nearest",
        None => "-",
    }
}

fn get_page(answer: &pb::GetServiceResponse) -> Page {
    let entry = answer.service.clone().unwrap_or_default();
    let spec = entry.spec.unwrap_or_default();
    let status = entry.status.unwrap_or_default();
    let dns = spec.dns.clone().unwrap_or_default();
    let rules = spec.failover.clone().unwrap_or_default();
    let head = format!(
        "service {}  {}  ttl {}  policy {}  revision {}\nanswer {}  basis {}  epoch {}  since {}\n\
         mode {}  failback {}  hold-down {}  cooldown {}  at most {} moves in {}",
        spec.id,
        dns.name,
        words::seconds(dns.ttl_ms),
        policy(&spec),
        entry.revision,
        words::selection(status.selection.as_ref()),
        status
            .selection
            .as_ref()
            .map_or_else(|| "-".to_owned(), |selection| words::basis(selection.basis)),
        status.epoch,
        words::moment(status.selected_at_ms),
        words::mode(rules.mode),
        words::failback(rules.failback),
        words::seconds(rules.hold_down_ms),
        words::seconds(rules.cooldown_ms),
        rules.max_moves,
        words::seconds(rules.window_ms),
    );
    let blocked = status.blocked.as_ref().map(|blocked| {
        let wanted = words::selection(blocked.wanted.as_ref());
        format!(
            "{} holds back the move to {wanted}: holdfast explain {}",
            words::block(blocked.reason),
            spec.id
        )
    });
    Page::new(json::of(answer))
        .text(head)
        .warnings(blocked)
        .table(endpoint_table(&spec, &status))
        .table(check_table(&spec))
}

fn endpoint_table(spec: &pb::Service, status: &pb::ServiceStatus) -> Table {
    let mut table = Table::new([
        Column::new("POOL"),
        Column::new("ENDPOINT"),
        Column::new("ADDRESS"),
        Column::new("VERDICT"),
        Column::new("SERVED"),
        Column::wide("PRIORITY"),
        Column::wide("WEIGHT"),
        Column::wide("SINCE"),
    ]);
    for pool in &spec.pools {
        for endpoint in &pool.endpoints {
            let stands = status.endpoints.iter().find(|one| one.endpoint == endpoint.name);
            let verdict =
                stands.map_or_else(|| "unknown".to_owned(), |one| words::verdict(one.verdict));
            let served = status.selection.as_ref().is_some_and(|selection| {
                selection.served.iter().any(|one| one.endpoint == endpoint.name)
            });
            table.row([
                pool.name.as_str().into(),
                endpoint.name.as_str().into(),
                address(endpoint).into(),
                Cell::state(&verdict),
                if served { "yes" } else { "-" }.into(),
                Cell::new(pool.priority),
                Cell::new(endpoint.weight),
                stands.map_or_else(|| "-".to_owned(), |one| words::moment(one.since_ms)).into(),
            ]);
        }
    }
    table
}

fn address(endpoint: &pb::Endpoint) -> String {
    use pb::endpoint::Address;
    match &endpoint.address {
        Some(Address::Ip(ip)) if ip.contains(':') => format!("[{ip}]:{}", endpoint.port),
        Some(Address::Ip(host) | Address::HostName(host)) => format!("{host}:{}", endpoint.port),
        None => "-".to_owned(),
    }
}

fn check_table(spec: &pb::Service) -> Table {
    let mut table = Table::new([
        Column::new("CHECK"),
        Column::new("KIND"),
        Column::new("INTERVAL"),
        Column::new("TIMEOUT"),
        Column::new("RISE"),
        Column::new("FALL"),
        Column::wide("CONFIRM"),
    ]);
    for check in &spec.checks {
        table.row([
            check.name.as_str().into(),
            kind(check).into(),
            words::seconds(check.interval_ms).into(),
            words::seconds(check.timeout_ms).into(),
            Cell::new(check.rise),
            Cell::new(check.fall),
            words::seconds(check.confirm_ms).into(),
        ]);
    }
    table
}

fn kind(check: &pb::Check) -> &'static str {
    use pb::check::Kind;
    match &check.kind {
        Some(Kind::Http(http)) if http.tls.is_some() => "https",
        Some(Kind::Http(_)) => "http",
        Some(Kind::Tcp(_)) => "tcp",
        Some(Kind::Grpc(_)) => "grpc",
        Some(Kind::Dns(_)) => "dns",
        Some(Kind::Tls(_)) => "tls",
        Some(Kind::Heartbeat(_)) => "heartbeat",
        None => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> pb::ServiceEntry {
        let endpoint = |name: &str, ip: &str| pb::Endpoint {
            name: name.into(),
            address: Some(pb::endpoint::Address::Ip(ip.into())),
            port: 80,
            weight: 1,
        };
        let pool = |name: &str, endpoint| pb::Pool {
            name: name.into(),
            endpoints: vec![endpoint],
            ..pb::Pool::default()
        };
        let http = pb::check::Kind::Http(pb::HttpCheck::default());
        let spec = pb::Service {
            id: "shop".into(),
            dns: Some(pb::ServiceDns {
                name: "shop.example.test".into(),
                ttl_ms: 5000,
                txt: vec![],
                ..pb::ServiceDns::default()
            }),
            policy: Some(pb::Policy {
                policy: Some(pb::policy::Policy::Failover(pb::FailoverPolicy {})),
            }),
            pools: vec![
                pool("eu", endpoint("e1", "192.0.2.1")),
                pool("us", endpoint("e2", "2001:db8::1")),
            ],
            checks: vec![pb::Check {
                name: "http".into(),
                interval_ms: 1500,
                timeout_ms: 500,
                rise: 2,
                fall: 3,
                kind: Some(http),
                ..pb::Check::default()
            }],
            ..pb::Service::default()
        };
        let served =
            pb::Served { pool: "us".into(), endpoint: "e2".into(), ..pb::Served::default() };
        let selection = pb::Selection {
            active: Some("us".into()),
            served: vec![served],
            ..pb::Selection::default()
        };
        let judged = |name: &str, verdict: pb::Verdict| pb::EndpointStatus {
            endpoint: name.into(),
            verdict: verdict as i32,
            ..pb::EndpointStatus::default()
        };
        let status = pb::ServiceStatus {
            epoch: 88,
            selection: Some(selection),
            endpoints: vec![judged("e1", pb::Verdict::Down), judged("e2", pb::Verdict::Up)],
            ..pb::ServiceStatus::default()
        };
        pb::ServiceEntry { spec: Some(spec), revision: 7, status: Some(status) }
    }

    #[test]
    fn a_service_shows_its_endpoints_and_checks() {
        let answer = pb::GetServiceResponse { service: Some(entry()), index: 90 };
        let text = get_page(&answer).render(Format::Table, false).expect("printable");
        let expected = "POOL  ENDPOINT  ADDRESS           VERDICT  SERVED\n\
            eu    e1        192.0.2.1:80      DOWN     -\n\
            us    e2        [2001:db8::1]:80  UP       yes\n\
            CHECK  KIND  INTERVAL  TIMEOUT  RISE  FALL\n\
            http   http  1.5s      500ms    2     3\n";
        assert!(text.ends_with(expected), "{text}");
        assert!(text.starts_with("service shop  shop.example.test  ttl 5s  policy failover  revision 7\nanswer us[e2]"), "{text}");
    }

    #[test]
    fn a_list_is_one_line_each_and_csv_has_every_column() {
        let answer = pb::ListServicesResponse {
            services: vec![entry()],
            ..pb::ListServicesResponse::default()
        };
        let page = list_page(&answer);
        let text = page.render(Format::Table, false).expect("printable");
        assert!(
            text.contains("shop     shop.example.test  failover  2      2          us[e2]  7\n"),
            "{text}"
        );
        let csv = page.render(Format::Csv, false).expect("printable");
        assert_eq!(
            csv,
            "service,name,policy,pools,endpoints,answer,epoch,revision\nshop,shop.example.test,failover,2,2,us[e2],88,7\n"
        );
    }

    #[test]
    fn no_quorum_points_to_what_one_member_knows() {
        let failure =
            or_stale(Failure::new(Exit::Unavailable, "cannot list services: no member answered"));
        assert!(failure.to_string().contains("next:    add --stale"), "{failure}");
        let other = or_stale(Failure::new(Exit::Denied, "cannot list services: no"));
        assert!(!other.to_string().contains("--stale"), "{other}");
    }
}
