//! What must hold after every story, whatever happened in it.
//!
//! Once the agents have come to rest at one index: equal state hashes, equal audit heads, every chain verified by the
//! CLI, equal records, equal epochs. Then the shared checkers go over what was recorded: S1, S3, S9 and S14 entry by
//! entry, and S4 for what each agent's DNS answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use hickory_proto::op::ResponseCode;
use holdfast_core::audit::{Head, Record};
use holdfast_core::decision::Selection;
use holdfast_core::invariant::{Budget, Evidence, Observed, OneSelection, Served, check_chain};
use holdfast_core::spec::{Address, Service};
use holdfast_core::ttl::Ttl;
use holdfast_core::view::{Agent, Answers, ServiceStatus, View};
use holdfast_core::{AgentId, Epoch, GroupId, ServiceId, SharedMap, Timestamp};
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::audit_service_client::AuditServiceClient;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;

use crate::cluster::{Cluster, LIMIT};
use crate::poll;

const PAGE: u32 = 1000;

/// What an agent shows of itself at rest.
#[derive(Debug)]
struct Testimony {
    node: AgentId,
    cluster: pb::GetClusterResponse,
    services: Vec<pb::ServiceEntry>,
    records: Vec<Record>,
}

/// Holds the agents that run to every property. Errors: the first that does not hold.
pub fn hold(cluster: &Cluster) -> Result<()> {
    let testimonies = poll::until("all agents at rest at one index", LIMIT, || at_rest(cluster))?;
    let first = testimonies.first().ok_or_else(|| anyhow!("no agent runs"))?;
    ensure!(!first.records.is_empty(), "a story without a record");
    for one in &testimonies {
        ensure!(
            one.cluster.state_hash == first.cluster.state_hash,
            "S13: states differ at one index"
        );
        ensure!(one.records == first.records, "S13: records differ");
        ensure!(epochs(one) == epochs(first), "epochs differ");
        let verified = cluster.cli_at(place(one), &["audit", "verify"])?.ok();
        verified.with_context(|| format!("audit verify on agent {}", one.node))?;
    }
    check_export(cluster, first)?;
    let mut one_selection = OneSelection::default();
    let mut served = Served::default();
    for one in &testimonies {
        let view = view(one)?;
        check_records(one, &view, &mut one_selection)?;
        served.commit(one.node, &view);
        check_answers(cluster, one, &view, &mut served)?;
    }
    Ok(())
}

fn place(one: &Testimony) -> usize {
    usize::try_from(one.node.0).expect("an agent's number is small") - 1
}

fn epochs(one: &Testimony) -> BTreeMap<String, u64> {
    let epoch = |entry: &pb::ServiceEntry| entry.status.as_ref().map_or(0, |status| status.epoch);
    let id = |entry: &pb::ServiceEntry| {
        entry.spec.as_ref().map_or_else(String::new, |spec| spec.id.clone())
    };
    one.services.iter().map(|entry| (id(entry), epoch(entry))).collect()
}

/// Asks every agent for everything. Errors: they are at different indexes, or moved meanwhile.
fn at_rest(cluster: &Cluster) -> Result<Vec<Testimony>> {
    let mut testimonies = Vec::new();
    for place in cluster.running() {
        let before = cluster.cluster_as_seen_by(place)?;
        let (services, records) = (services(cluster, place)?, records(cluster, place)?);
        let after = cluster.cluster_as_seen_by(place)?;
        let head = after.audit_head.clone().unwrap_or_default();
        ensure!(
            before.state_hash_index == after.state_hash_index,
            "agent {} is not at rest",
            place + 1
        );
        ensure!(
            after.dns_index == after.state_hash_index,
            "the DNS of agent {} is behind",
            place + 1
        );
        ensure!(
            after.audit_stored.as_ref() == Some(&head),
            "the audit store of agent {} is behind",
            place + 1
        );
        ensure!(after.audit_problem.is_empty(), "the audit store stopped: {}", after.audit_problem);
        ensure!(
            records.last().map(|last| last.hash.to_string()) == Some(head.hash),
            "records of agent {} do not reach the head",
            place + 1
        );
        testimonies.push(Testimony {
            node: AgentId(place as u64 + 1),
            cluster: after,
            services,
            records,
        });
    }
    let indexes: Vec<u64> = testimonies.iter().map(|one| one.cluster.state_hash_index).collect();
    ensure!(indexes.windows(2).all(|pair| pair[0] == pair[1]), "the agents are at {indexes:?}");
    Ok(testimonies)
}

fn services(cluster: &Cluster, place: usize) -> Result<Vec<pb::ServiceEntry>> {
    let request = pb::ListServicesRequest {
        consistency: pb::Consistency::Stale.into(),
        page_size: PAGE,
        ..pb::ListServicesRequest::default()
    };
    cluster.call(place, async |channel| {
        Ok(RegistryServiceClient::new(channel).list_services(request).await?.into_inner().services)
    })
}

/// Every audit record that an agent has, oldest first.
pub fn records(cluster: &Cluster, place: usize) -> Result<Vec<Record>> {
    let found = cluster.call(place, async |channel| {
        let mut client = AuditServiceClient::new(channel);
        let mut request =
            pb::ListRecordsRequest { page_size: PAGE, ..pb::ListRecordsRequest::default() };
        let mut found = Vec::new();
        loop {
            let page = client.list_records(request.clone()).await?.into_inner();
            found.extend(page.records);
            if page.next_page_token.is_empty() {
                return Ok(found);
            }
            request.page_token = page.next_page_token;
        }
    })?;
    found.into_iter().map(|record| Ok(Record::from_proto(record)?)).collect()
}

/// `holdfast audit export` holds the same records, in order.
fn check_export(cluster: &Cluster, one: &Testimony) -> Result<()> {
    let text = cluster.cli_at(place(one), &["audit", "export"])?.ok()?;
    let mut exported = Vec::new();
    for line in text.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).with_context(|| line.to_owned())?;
        let hash = line["hash"].as_str().unwrap_or_default().to_owned();
        exported.push((line["sequence"].as_u64().unwrap_or_default(), hash));
    }
    let kept: Vec<_> =
        one.records.iter().map(|record| (record.sequence, record.hash.to_string())).collect();
    // Records may have followed since; what was there is there.
    ensure!(exported.starts_with(&kept), "the export differs from the records");
    Ok(())
}

fn check_records(one: &Testimony, view: &View, one_selection: &mut OneSelection) -> Result<()> {
    let head = check_chain(Head::EMPTY, &one.records)?;
    ensure!(Some(head) == view.audit, "S14: the records end elsewhere than the state says");
    let (mut evidence, mut budget) = (Evidence::default(), Budget::default());
    for entry in one.records.chunk_by(|a, b| a.content.index == b.content.index) {
        evidence.check(view, entry)?;
        budget.check(view, entry)?;
    }
    one_selection.check(view, &one.records)?;
    Ok(())
}

/// S4: what an agent's DNS answers is what it has applied.
fn check_answers(
    cluster: &Cluster,
    one: &Testimony,
    view: &View,
    served: &mut Served,
) -> Result<()> {
    for (id, status) in view.services.iter() {
        let answer = cluster.ask(place(one), status.spec.dns.name.as_str())?;
        let refused = match answer.code {
            ResponseCode::NoError => false,
            ResponseCode::ServFail => true,
            other => bail!("S8: {id} is answered with {other}"),
        };
        let addresses = answer.addresses.iter().map(|ip| Address::Ip((*ip).into())).collect();
        served.check(&Observed { server: one.node, service: id.clone(), addresses, refused })?;
    }
    Ok(())
}

/// The part of an agent's view that the checkers look at.
fn view(one: &Testimony) -> Result<View> {
    let mut services = SharedMap::new();
    for entry in &one.services {
        let status = status(entry)?;
        services.insert(status.spec.id.clone(), Arc::new(status));
    }
    let mut agents = BTreeMap::new();
    for member in &one.cluster.members {
        let id = AgentId(member.id);
        let (name, region) = (member.name.parse()?, member.region.parse()?);
        agents.insert(id, Agent { id, name, region, observer: true, heard: None });
    }
    let audit = one.cluster.audit_head.clone().map(Head::from_proto).transpose()?;
    let answers =
        Answers { group: GroupId(1), index: one.cluster.state_hash_index, ..Answers::default() };
    Ok(View {
        answers: Arc::new(answers),
        services,
        agents: Arc::new(agents),
        audit,
        ..View::default()
    })
}

fn status(entry: &pb::ServiceEntry) -> Result<ServiceStatus> {
    let spec = entry.spec.clone().ok_or_else(|| anyhow!("a service without its declaration"))?;
    let status = entry.status.clone().ok_or_else(|| anyhow!("a service without its status"))?;
    let selection = status.selection.ok_or_else(|| anyhow!("a status without a selection"))?;
    let ttl = status.ttl.ok_or_else(|| anyhow!("a status without a TTL"))?;
    Ok(ServiceStatus {
        ttl_floor: Duration::ZERO,
        spec: Arc::new(Service::from_proto(spec)?),
        revision: entry.revision,
        epoch: Epoch(status.epoch),
        selection: Selection::from_proto(selection)?,
        selected_at: Timestamp(status.selected_at_ms),
        steps: Vec::new(),
        decided_at: Timestamp(status.decided_at_ms),
        blocked: None,
        moves: Vec::new(),
        endpoints: Vec::new(),
        ttl: Ttl::from_proto(ttl)?,
        convergence: None,
    })
}

/// The records of one service, oldest first, as an agent has them.
pub fn records_of(cluster: &Cluster, place: usize, service: &str) -> Result<Vec<Record>> {
    let service = ServiceId::new(service)?;
    let mut found = records(cluster, place)?;
    found.retain(|record| record.content.service.as_ref() == Some(&service));
    Ok(found)
}
