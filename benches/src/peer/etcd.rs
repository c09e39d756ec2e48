//! etcd: the reference for durable writes that a quorum has agreed on. Three members, default tuning, its v3 gRPC API.
//!
//! The messages are the few fields that are needed, under the numbers that etcd's rpc.proto gives them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use crate::port;
use crate::process::{LOOK_EVERY, Launch, Process, require};

/// How long the members may take to elect a leader.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
    #[prost(int64, tag = "3")]
    revision: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// Three members.
#[derive(Debug)]
pub(crate) struct Etcd {
    /// The members' client addresses.
    pub clients: Vec<SocketAddr>,
    /// The processes.
    pub processes: Vec<Process>,
}

impl Etcd {
    /// Starts three members and waits for a leader.
    pub(crate) async fn start(dir: &Path) -> Result<Self> {
        require(&["etcd"])?;
        let mut members = Vec::new();
        for number in 1..=3 {
            members.push((format!("e{number}"), port::local()?, port::local()?));
        }
        let cluster: Vec<String> =
            members.iter().map(|(name, peer, _)| format!("{name}=http://{peer}")).collect();
        let mut etcd = Self { clients: Vec::new(), processes: Vec::new() };
        for (name, peer, client) in &members {
            let launch = Launch::new(name, "etcd", &dir.join(format!("{name}.log")))
                .args(&[
                    "--name",
                    name,
                    "--log-level",
                    "warn",
                    "--logger",
                    "zap",
                    "--initial-cluster",
                    &cluster.join(","),
                ])
                .args(&["--listen-peer-urls", &format!("http://{peer}")])
                .args(&["--initial-advertise-peer-urls", &format!("http://{peer}")])
                .args(&["--listen-client-urls", &format!("http://{client}")])
                .args(&["--advertise-client-urls", &format!("http://{client}"), "--data-dir"])
                .arg(dir.join(format!("data-{name}")));
            etcd.processes.push(launch.start()?);
            etcd.clients.push(*client);
        }
        etcd.leader().await?;
        Ok(etcd)
    }

    /// The leader's place among the members, once all of them know it.
    pub(crate) async fn leader(&mut self) -> Result<usize> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            for process in &mut self.processes {
                process.check_alive()?;
            }
            let mut standings = Vec::new();
            for client in &self.clients {
                standings.extend(standing(*client).await);
            }
            let leader = standings.first().map_or(0, |(_, leader)| *leader);
            let agreed = leader != 0 && standings.iter().all(|(_, known)| *known == leader);
            if standings.len() == self.clients.len() && agreed {
                return standings
                    .iter()
                    .position(|(id, _)| *id == leader)
                    .context("a leader that is no member");
            }
            if Instant::now() >= deadline {
                bail!("etcd elected no leader within {START_LIMIT:?}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// A member's id and the leader's, as it knows it.
async fn standing(client: SocketAddr) -> Option<(u64, u64)> {
    let mut status = Client::new(client).ok()?;
    let answer: StatusResponse =
        status.call("/etcdserverpb.Maintenance/Status", StatusRequest {}).await.ok()?;
    Some((answer.header?.member_id, answer.leader))
}

/// A client of one member with a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Client(Grpc<Channel>);

impl Client {
    /// Not connected yet.
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(Duration::from_secs(1))
            .timeout(CALL_TIMEOUT)
            .tcp_nodelay(true);
        Ok(Self(Grpc::new(endpoint.connect_lazy())))
    }

    /// Stores a value durably; returns the revision.
    pub(crate) async fn put(&mut self, key: String, value: Vec<u8>) -> Result<i64, Status> {
        let request = PutRequest { key: key.into_bytes(), value };
        let answer: PutResponse = self.call("/etcdserverpb.KV/Put", request).await?;
        Ok(answer.header.map_or(0, |header| header.revision))
    }

    async fn call<Q, A>(&mut self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.0.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<Q, A>::default();
        let answer =
            self.0.unary(Request::new(request), PathAndQuery::from_static(path), codec).await?;
        Ok(answer.into_inner())
    }
}
