//! The agents' API over gRPC, as far as the benchmarks need it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::audit_service_client::AuditServiceClient;
use holdfast_wire::pb::v1::cluster_service_client::ClusterServiceClient;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;
use holdfast_wire::pb::v1::status_service_client::StatusServiceClient;
use tokio::time::Instant;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

use crate::process::LOOK_EVERY;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call may be repeated, at one agent after the other.
const LIMIT: Duration = Duration::from_secs(60);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// In clear text, the metadata in which a client names itself.
const ACTOR: &str = "x-holdfast-actor";

/// Clients of the agents, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    channels: Vec<(SocketAddr, Channel)>,
    tls: Option<ClientTlsConfig>,
}

/// A request with a fresh number.
pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A request of a client of this name; certificates outrank it.
pub(crate) fn named<T>(client: &str, message: T) -> Result<Request<T>> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(ACTOR, client.parse()?);
    Ok(request)
}

impl Api {
    /// Clients of the agents at these addresses, not connected yet.
    pub(crate) fn new(agents: &[SocketAddr], tls: Option<&ClientTlsConfig>) -> Result<Self> {
        let mut api = Self { channels: Vec::new(), tls: tls.cloned() };
        for address in agents {
            let channel = api.channel(*address)?;
            api.channels.push((*address, channel));
        }
        Ok(api)
    }

    /// A connection of its own to one agent.
    pub(crate) fn channel(&self, address: SocketAddr) -> Result<Channel> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
            .connect_timeout(Duration::from_secs(1))
            .timeout(CALL_TIMEOUT)
            .tcp_nodelay(true);
        let endpoint = match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone())?,
            None => endpoint,
        };
        Ok(endpoint.connect_lazy())
    }

    /// Calls one agent after the other until one answers well.
    pub(crate) async fn call<T, F>(&self, what: &str, call: impl Fn(Channel) -> F) -> Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + LIMIT;
        let mut last = String::from("no agent was asked");
        while Instant::now() < deadline {
            for (address, channel) in &self.channels {
                match call(channel.clone()).await {
                    Ok(answer) => return Ok(answer.into_inner()),
                    Err(status) if status.code() == tonic::Code::InvalidArgument => {
                        bail!("{what} was refused by {address}: {}", status.message())
                    }
                    Err(status) => last = format!("{address}: {}", status.message()),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(anyhow!("{what} did not succeed within {LIMIT:?}: {last}"))
    }

    /// How the group stands at one agent.
    pub(crate) async fn standing(&self, agent: SocketAddr) -> Result<pb::GetClusterResponse> {
        let found = self.channels.iter().find(|(address, _)| *address == agent);
        let (_, channel) = found.with_context(|| format!("no agent at {agent}"))?;
        let mut client = ClusterServiceClient::new(channel.clone());
        Ok(client.get_cluster(pb::GetClusterRequest::default()).await?.into_inner())
    }

    /// The leader's id, 0 where there is none, and whether there is a quorum.
    pub(crate) async fn leader(&self) -> Result<(u64, bool)> {
        let get = |channel| async {
            ClusterServiceClient::new(channel).get_cluster(pb::GetClusterRequest::default()).await
        };
        let answer = self.call("asking for the leader", get).await?;
        Ok((answer.leader, answer.quorum))
    }

    /// Hands leadership to an agent, and waits until it leads.
    pub(crate) async fn transfer_leadership(&self, to: u64) -> Result<()> {
        let request = pb::TransferLeadershipRequest { request_id: request_id(), to };
        let transfer = |channel| {
            let request = request.clone();
            async { ClusterServiceClient::new(channel).transfer_leadership(request).await }
        };
        self.call("handing over leadership", transfer).await.map(drop)
    }

    /// Declares a zone.
    pub(crate) async fn apply_zone(&self, zone: pb::Zone) -> Result<()> {
        let request = pb::ApplyZoneRequest {
            request_id: request_id(),
            zone: Some(zone),
            ..Default::default()
        };
        let apply = |channel| {
            let request = request.clone();
            async { RegistryServiceClient::new(channel).apply_zone(request).await }
        };
        self.call("declaring a zone", apply).await.map(drop)
    }

    /// Gives a zone its first key.
    pub(crate) async fn enable_signing(&self, zone: &str) -> Result<()> {
        let request = pb::ChangeZoneSigningRequest {
            request_id: request_id(),
            zone: zone.into(),
            step: pb::SigningStep::Enable as i32,
            ..Default::default()
        };
        let change = |channel| {
            let request = request.clone();
            async { RegistryServiceClient::new(channel).change_zone_signing(request).await }
        };
        self.call("signing a zone", change).await.map(drop)
    }

    /// Declares a service.
    pub(crate) async fn apply_service(&self, service: pb::Service) -> Result<()> {
        let request = pb::ApplyServiceRequest {
            request_id: request_id(),
            service: Some(service),
            ..Default::default()
        };
        let apply = |channel| {
            let request = request.clone();
            async { RegistryServiceClient::new(channel).apply_service(request).await }
        };
        self.call("declaring a service", apply).await.map(drop)
    }

    /// Every service in one line.
    pub(crate) async fn services(&self) -> Result<Vec<pb::ServiceLine>> {
        let read = |channel| async {
            let client = StatusServiceClient::new(channel);
            client
                .max_decoding_message_size(MAX_ANSWER_BYTES)
                .get_status(pb::GetStatusRequest::default())
                .await
        };
        Ok(self.call("reading the status", read).await?.services)
    }

    /// Waits until every service has this many endpoints up, by fresh and unanimous opinions.
    pub(crate) async fn await_up(&self, endpoints: u32, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let services = self.services().await?;
            let good =
                |line: &&pb::ServiceLine| line.up == endpoints && !line.stale && !line.partial;
            let ready = services.iter().filter(good).count();
            if ready == services.len() && !services.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!(
                    "{ready} of {} services have {endpoints} endpoints up after {limit:?}",
                    services.len()
                );
            }
            tokio::time::sleep(LOOK_EVERY * 5).await;
        }
    }

    /// The last audit record's number.
    pub(crate) async fn audit_length(&self) -> Result<u64> {
        let page = self.page(pb::AuditFilter::default(), true, 1).await?;
        Ok(page.records.first().map_or(0, |record| record.sequence))
    }

    /// The first record of this kind after a number that `wanted` takes, once it is stored.
    pub(crate) async fn await_record(
        &self,
        kind: &str,
        after: u64,
        wanted: impl Fn(&pb::AuditRecord) -> bool,
    ) -> Result<pb::AuditRecord> {
        let deadline = Instant::now() + LIMIT;
        let filter = pb::AuditFilter {
            kind: kind.into(),
            first_sequence: Some(after + 1),
            ..Default::default()
        };
        while Instant::now() < deadline {
            let page = self.page(filter.clone(), false, 1000).await?;
            if let Some(record) = page.records.into_iter().find(&wanted) {
                return Ok(record);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("the audit log holds no {kind} after record {after} within {LIMIT:?}")
    }

    async fn page(
        &self,
        filter: pb::AuditFilter,
        newest_first: bool,
        size: u32,
    ) -> Result<pb::ListRecordsResponse> {
        let request = pb::ListRecordsRequest {
            filter: Some(filter),
            newest_first,
            page_size: size,
            ..pb::ListRecordsRequest::default()
        };
        let list = |channel| {
            let request = request.clone();
            let client = AuditServiceClient::new(channel);
            async { client.max_decoding_message_size(MAX_ANSWER_BYTES).list_records(request).await }
        };
        self.call("reading the audit log", list).await
    }
}
