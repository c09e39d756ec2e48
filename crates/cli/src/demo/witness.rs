//! Looks at the agents from outside: DNS over UDP and the API over gRPC, as any client would.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use holdfast_wire::pb::v1::audit_service_client::AuditServiceClient;
use holdfast_wire::pb::v1::cluster_service_client::ClusterServiceClient;
use holdfast_wire::pb::v1::explain_service_client::ExplainServiceClient;
use holdfast_wire::pb::v1::override_service_client::OverrideServiceClient;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// How long one DNS answer may take.
const DNS_TIMEOUT: Duration = Duration::from_millis(250);
/// Time between two looks at something that is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Asks one server for the IPv4 addresses of a name.
pub(crate) async fn ask(server: SocketAddr, name: &Name) -> Result<Vec<Ipv4Addr>> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
    socket.connect(server).await?;
    let mut query = Message::query();
    query.metadata.id = rand_id(&socket)?;
    query.add_query(Query::query(name.clone(), RecordType::A));
    socket.send(&query.to_vec()?).await?;
    let mut buffer = [0_u8; 4096];
    let size =
        timeout(DNS_TIMEOUT, socket.recv(&mut buffer)).await.context("no DNS answer in time")??;
    let answer = Message::from_vec(&buffer[..size])?;
    if answer.metadata.id != query.metadata.id {
        bail!("an answer to another question");
    }
    let addresses = answer.answers.iter().filter_map(|record| match record.data {
        RData::A(address) => Some(address.0),
        _ => None,
    });
    Ok(addresses.collect())
}

/// A query id from the socket's own random port: good enough on loopback.
fn rand_id(socket: &UdpSocket) -> Result<u16> {
    Ok(socket.local_addr()?.port())
}

/// Waits until `server` answers exactly `expected`; returns when that was seen.
pub(crate) async fn await_answer(
    server: SocketAddr,
    name: &Name,
    expected: IpAddr,
    limit: Duration,
) -> Result<Instant> {
    let deadline = Instant::now() + limit;
    let mut last = String::from("nothing");
    while Instant::now() < deadline {
        match ask(server, name).await {
            Ok(addresses)
                if addresses.iter().all(|a| IpAddr::V4(*a) == expected)
                    && !addresses.is_empty() =>
            {
                return Ok(Instant::now());
            }
            Ok(addresses) => last = format!("{addresses:?}"),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(anyhow!("{server} did not answer {expected} within {limit:?}; the last answer was {last}"))
}

/// The API of the agents, whichever answers.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    channels: Vec<(SocketAddr, Channel)>,
}

impl Api {
    /// Clients of these agents, not connected yet.
    pub(crate) fn new(agents: &[SocketAddr], tls: &ClientTlsConfig) -> Result<Self> {
        let channel = |address: &SocketAddr| -> Result<(SocketAddr, Channel)> {
            let endpoint = Endpoint::from_shared(format!("https://{address}"))?
                .tls_config(tls.clone())?
                .connect_timeout(Duration::from_secs(1))
                .timeout(CALL_TIMEOUT);
            Ok((*address, endpoint.connect_lazy()))
        };
        Ok(Self { channels: agents.iter().map(channel).collect::<Result<_>>()? })
    }

    /// The channel to one agent.
    pub(crate) fn to(&self, agent: SocketAddr) -> Result<Channel> {
        let found = self.channels.iter().find(|(address, _)| *address == agent);
        found.map(|(_, channel)| channel.clone()).ok_or_else(|| anyhow!("no agent at {agent}"))
    }

    /// Calls one agent after the other until one answers well, again and again until `limit`.
    pub(crate) async fn call<T, F>(
        &self,
        what: &str,
        limit: Duration,
        call: impl Fn(Channel) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, tonic::Status>>,
    {
        let deadline = Instant::now() + limit;
        let mut last = String::from("no agent was asked");
        while Instant::now() < deadline {
            for (address, channel) in &self.channels {
                match call(channel.clone()).await {
                    Ok(answer) => return Ok(answer),
                    Err(status) => last = format!("{address}: {}", status.message()),
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(anyhow!("{what} did not succeed within {limit:?}: {last}"))
    }
}

/// The registry behind a channel.
pub(crate) fn registry(channel: Channel) -> RegistryServiceClient<Channel> {
    RegistryServiceClient::new(channel)
}
/// The overrides behind a channel.
pub(crate) fn overrides(channel: Channel) -> OverrideServiceClient<Channel> {
    OverrideServiceClient::new(channel)
}
/// The explanations behind a channel.
pub(crate) fn explanations(channel: Channel) -> ExplainServiceClient<Channel> {
    ExplainServiceClient::new(channel)
}
/// The audit log behind a channel.
pub(crate) fn audit(channel: Channel) -> AuditServiceClient<Channel> {
    AuditServiceClient::new(channel)
}
/// The cluster behind a channel.
pub(crate) fn cluster(channel: Channel) -> ClusterServiceClient<Channel> {
    ClusterServiceClient::new(channel)
}
