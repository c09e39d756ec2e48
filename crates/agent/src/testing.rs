//! For the tests of this crate: a zone, and a service in it whose endpoints report by themselves; a group of one agent.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use holdfast_consensus::{
    AuditSink, Fatal, Group, GroupConfig, Member, MemoryDisk, Seams, Storage, SyncPolicy,
};
use holdfast_core::audit::{Head, Record};
use holdfast_core::spec::{
    Address, Check, CheckKind, Endpoint, FailoverRules, HeartbeatCheck, NameServer, Policy, Pool,
    Quorum, Service, ServiceDns, Soa, Zone,
};
use holdfast_core::{AgentId, GroupId};
use holdfast_wire::peer::{Message, PeerAddress, Wire, WireError};

use crate::seams::{SystemClock, SystemEntropy};

/// For how long a report of an endpoint holds.
pub(crate) const BEAT_TTL: Duration = Duration::from_secs(6);

/// `example.test`.
pub(crate) fn zone() -> Zone {
    let soa = Soa {
        negative_ttl: Duration::from_secs(5),
        ..Soa::new("ops.example.test".parse().expect("valid"))
    };
    let server = NameServer {
        name: "ns.example.test".parse().expect("valid"),
        addresses: vec!["192.0.2.1".parse().expect("valid")],
    };
    let ttl = Duration::from_secs(300);
    Zone::new("example.test".parse().expect("valid"), soa, vec![server], ttl)
}

/// A pool of one endpoint.
pub(crate) fn pool(name: &str, priority: u16, (endpoint, address): (&str, &str)) -> Pool {
    Pool {
        name: name.parse().expect("valid"),
        region: None,
        priority,
        weight: 10,
        min_up: 1,
        endpoints: vec![Endpoint {
            name: endpoint.parse().expect("valid"),
            address: Address::Ip(address.parse().expect("valid")),
            port: 80,
            weight: 10,
        }],
    }
}

/// `shop`, with the check `beat`.
pub(crate) fn service(ttl: Duration, pools: Vec<Pool>) -> Service {
    Service {
        id: "shop".parse().expect("valid"),
        dns: ServiceDns::new("shop.example.test".parse().expect("valid"), ttl),
        policy: Policy::Failover,
        pools,
        checks: vec![Check {
            name: "beat".parse().expect("valid"),
            kind: CheckKind::Heartbeat(HeartbeatCheck { ttl: BEAT_TTL }),
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(300),
            rise: 2,
            fall: 2,
            confirm: Duration::from_millis(150),
        }],
        quorum: Quorum::default(),
        failover: FailoverRules {
            hold_down: Duration::from_secs(2),
            cooldown: Duration::from_secs(1),
            max_moves: 50,
            window: Duration::from_secs(30),
            ..FailoverRules::default()
        },
    }
}

/// A wire without anybody at its other end.
pub(crate) struct Alone;

#[async_trait]
impl Wire for Alone {
    async fn call(&self, _: &PeerAddress, _: Message, _: Duration) -> Result<Bytes, WireError> {
        Err(WireError::NotConnected("nobody is there".to_owned()))
    }

    async fn snapshot(
        &self,
        _: &PeerAddress,
        _: Message,
        _: BoxStream<'static, Bytes>,
        _: Duration,
    ) -> Result<Bytes, WireError> {
        Err(WireError::NotConnected("nobody is there".to_owned()))
    }
}

/// Keeps no records, and takes all.
struct NoAudit;

impl AuditSink for NoAudit {
    fn append(&self, _: Vec<Record>) {}

    fn durable_index(&self) -> u64 {
        u64::MAX
    }

    fn refuse_mutations(&self) -> Option<String> {
        None
    }

    fn reset(&self, _: Head) {}
}

fn me() -> Member {
    let [address, api_address] = ["127.0.0.1:1", "127.0.0.1:2"].map(str::to_owned);
    let (name, region) = ("alone".to_owned(), "here".to_owned());
    Member { id: AgentId(1), name, region, address, api_address }
}

/// A group on this agent alone, in memory, which this agent leads.
pub(crate) async fn led_group() -> Group {
    let group = leaderless_group().await;
    group.initialize(&[me()]).await.expect("it is possible");
    let mut view = group.view();
    view.wait_for(|view| view.term.is_some()).await.expect("the group goes on");
    drop(view);
    group
}

/// A group on this agent alone, in memory, which nobody leads: it was never formed.
pub(crate) async fn leaderless_group() -> Group {
    let storage = Storage::Memory(MemoryDisk::new(SyncPolicy::Immediate));
    let config = GroupConfig::new("test", GroupId(1), me(), storage);
    let seams = Seams {
        wire: Arc::new(Alone),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        audit: Arc::new(NoAudit),
        fatal: Fatal::hook(|why| panic!("storage failed: {why}")),
    };
    Group::start(config, seams).await.expect("an empty disk")
}
