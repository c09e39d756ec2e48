//! The way to the other members of the group, and what arrives from them.
//!
//! Peers are found by the committed membership, which holds IP addresses: no path between agents needs the names
//! that they serve. What is Raft's goes to the group; what is about observing goes to the leader's side or the prober.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use holdfast_audit::AuditLog;
use holdfast_consensus::{Group, Groups};
use holdfast_core::AgentId;
use holdfast_dns::Notices;
use holdfast_wire::agent::{
    Bulletin, decode_audit_range, decode_beats, decode_confirm, decode_zone_notice,
    encode_audit_records,
};
use holdfast_wire::lookup::Lookup;
use holdfast_wire::peer::{
    Message, MessageKind, PeerAddress, PeerHandler, Refusal, RefusalReason, Sender, Wire, WireError,
};

use crate::audit_bridge::AuditBridge;
use crate::observatory::Observatory;
use crate::observe::heartbeats::Heartbeats;
use crate::observe::hub::Hub;
use crate::probing::Probing;
use crate::replicas::standing_of;

/// Bytes of audit records in one answer to a peer.
const AUDIT_BYTES: usize = 1024 * 1024;

/// The way to the other members. Clones share it.
#[derive(Clone)]
pub(crate) struct Peers {
    cluster: String,
    agent: AgentId,
    group: Group,
    wire: Arc<dyn Wire>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("cluster", &self.cluster).field("agent", &self.agent).finish()
    }
}

impl Peers {
    /// The way of `agent` to the members of `group`.
    pub(crate) fn new(cluster: String, agent: AgentId, group: Group, wire: Arc<dyn Wire>) -> Self {
        Self { cluster, agent, group, wire }
    }

    /// The other members.
    pub(crate) fn others(&self) -> Vec<AgentId> {
        let status = self.group.status();
        let status = status.borrow();
        status.members.iter().map(|member| member.id).filter(|id| *id != self.agent).collect()
    }

    /// Whether this agent is meant.
    pub(crate) fn is_self(&self, agent: AgentId) -> bool {
        agent == self.agent
    }

    /// How many members there are.
    pub(crate) fn count(&self) -> usize {
        self.group.status().borrow().members.len()
    }

    /// Sends a message and waits for the answer. Errors: `to` is no member, or see [`WireError`].
    pub(crate) async fn call(
        &self,
        to: AgentId,
        kind: MessageKind,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let (address, generation) = {
            let status = self.group.status();
            let status = status.borrow();
            let member = status.members.iter().find(|member| member.id == to);
            let member = member
                .ok_or_else(|| WireError::Unreachable(format!("agent {to} is not a member")))?;
            (member.address.clone(), status.generation)
        };
        let message = Message {
            cluster: self.cluster.clone(),
            generation,
            group: self.group.id(),
            from: self.agent,
            to,
            kind,
            body: body.into(),
        };
        self.wire.call(&PeerAddress { id: to, address }, message, timeout).await
    }
}

/// What this agent does with messages that are not Raft's; set once the parts are there.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The leader's side of observing.
    pub(crate) hub: Arc<Hub>,
    /// The prober that confirms.
    pub(crate) confirm: Arc<Probing>,
    /// Heartbeat checks.
    pub(crate) heartbeats: Arc<Heartbeats>,
    /// The audit log, for peers that lack records.
    pub(crate) audit: AuditLog,
    /// What carries records to it.
    pub(crate) bridge: AuditBridge,
    /// The group.
    pub(crate) group: Group,
    /// What looks at the answers from outside.
    pub(crate) observatory: Arc<Observatory>,
    /// Zones that primaries told other agents of.
    pub(crate) notices: Arc<Notices>,
}

/// Takes messages of other agents.
#[derive(Debug)]
pub(crate) struct Switchboard {
    cluster: String,
    agent: AgentId,
    groups: Groups,
    parts: OnceLock<Parts>,
}

impl Switchboard {
    /// Takes Raft's messages at once, the others once [`Switchboard::connect`] was called.
    pub(crate) fn new(cluster: String, agent: AgentId, groups: Groups) -> Self {
        Self { cluster, agent, groups, parts: OnceLock::new() }
    }

    /// Connects the parts; once.
    pub(crate) fn connect(&self, parts: Parts) {
        if self.parts.set(parts).is_err() {
            tracing::error!("the parts of an agent are connected once");
        }
    }

    fn check(&self, sender: &Sender, message: &Message) -> Result<&Parts, Refusal> {
        if message.cluster != self.cluster {
            let why = format!("this is cluster {}, not {}", self.cluster, message.cluster);
            return Err(Refusal::new(RefusalReason::WrongCluster, why));
        }
        if message.to != self.agent {
            let why = format!("this is agent {}, not {}", self.agent, message.to);
            return Err(Refusal::new(RefusalReason::WrongNode, why));
        }
        let parts = self.parts.get().ok_or_else(|| {
            Refusal::new(RefusalReason::StartingUp, "the agent is starting; try again in a moment")
        })?;
        parts.group.check_sender(sender, message)?;
        Ok(parts)
    }
}

fn malformed(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalReason::Malformed, error.to_string())
}

#[async_trait]
impl PeerHandler for Switchboard {
    async fn handle(&self, sender: &Sender, message: Message) -> Result<Bytes, Refusal> {
        match message.kind {
            MessageKind::Report => {
                let parts = self.check(sender, &message)?;
                let bulletin = Bulletin::decode(&message.body).map_err(malformed)?;
                let reporter = bulletin.report.as_ref().map_or(bulletin.agent, |r| r.agent);
                if (bulletin.agent, reporter) != (message.from, message.from) {
                    return Err(malformed("an observer reports for itself only"));
                }
                Ok(parts.hub.take(bulletin).await?.encode().into())
            }
            MessageKind::Confirm => {
                let parts = self.check(sender, &message)?;
                parts.confirm.confirm(&decode_confirm(&message.body).map_err(malformed)?);
                Ok(Bytes::new())
            }
            MessageKind::Heartbeat => {
                let parts = self.check(sender, &message)?;
                let targets = decode_beats(&message.body).map_err(malformed)?;
                parts.heartbeats.take(message.from, targets)?;
                Ok(Bytes::new())
            }
            MessageKind::ZoneNotice => {
                let parts = self.check(sender, &message)?;
                parts.notices.note(decode_zone_notice(&message.body).map_err(malformed)?);
                Ok(Bytes::new())
            }
            MessageKind::Lookup => {
                let parts = self.check(sender, &message)?;
                let lookup = Lookup::decode(&message.body).map_err(malformed)?;
                Ok(parts.observatory.look_here(&lookup).await.encode().into())
            }
            MessageKind::AuditHead => {
                let parts = self.check(sender, &message)?;
                Ok(standing_of(&parts.group, &parts.audit, &parts.bridge).encode().into())
            }
            MessageKind::AuditRead => {
                let parts = self.check(sender, &message)?;
                let (from, to) = decode_audit_range(&message.body).map_err(malformed)?;
                let records = parts
                    .audit
                    .read(from..=to, AUDIT_BYTES)
                    .map_err(|error| Refusal::new(RefusalReason::Internal, error.to_string()))?;
                let records = records.iter().map(holdfast_core::audit::Record::to_bytes).collect();
                Ok(encode_audit_records(records).into())
            }
            _ => self.groups.handle(sender, message).await,
        }
    }

    async fn handle_snapshot(
        &self,
        sender: &Sender,
        head: Message,
        chunks: BoxStream<'static, Result<Bytes, WireError>>,
    ) -> Result<Bytes, Refusal> {
        self.groups.handle_snapshot(sender, head, chunks).await
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use holdfast_audit::MemoryStore;
    use holdfast_consensus::{AuditSink as _, Fatal, MemoryDisk, Storage};
    use holdfast_core::observation::{Extent, Report};
    use holdfast_core::seam::Clock as _;
    use holdfast_core::{BootId, GroupId};
    use holdfast_probe::NetProber;
    use holdfast_wire::agent::Standing;
    use holdfast_wire::ca::{Authority, Role, Subject};
    use holdfast_wire::peer::{GrpcWire, GrpcWireConfig, serve};
    use holdfast_wire::tls::TlsMaterial;
    use tokio::net::TcpListener;

    use super::*;
    use crate::audit_bridge::tests::chain;
    use crate::config::Config;
    use crate::seams::{SystemClock, SystemEntropy};
    use crate::{Agent, AgentSeams, AuditStorage};

    /// The first of three members; the others never start.
    const CONFIG: &str = r#"
        [node]
        name = "a1"
        data_dir = "unused"
        [listen]
        peer = "127.0.0.1:1"
        api = "127.0.0.1:2"
        [cluster]
        id = "c"
        members = [
          { name = "a1", region = "r", peer = "127.0.0.1:1", api = "127.0.0.1:2" },
          { name = "a2", region = "r", peer = "127.0.0.2:1", api = "127.0.0.2:2" },
          { name = "a3", region = "r", peer = "127.0.0.3:1", api = "127.0.0.3:2" },
        ]
        [tls]
        insecure_plaintext = true
    "#;

    async fn agent() -> Agent {
        let config = Config::parse(CONFIG, Path::new("a1.toml")).expect("it is right");
        let clock = Arc::new(SystemClock);
        let (publisher, answers) = holdfast_dns::channel();
        let seams = AgentSeams {
            wire: Arc::new(GrpcWire::new(GrpcWireConfig::default())),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            prober: Arc::new(NetProber::new(config.probe.policy.clone(), clock)),
            storage: Storage::Memory(MemoryDisk::default()),
            audit: AuditStorage::Store(Arc::new(MemoryStore::new())),
            fatal: Fatal::hook(|why| panic!("{why}")),
            publisher,
            answers,
        };
        Agent::start(&config, seams).await.expect("it starts")
    }

    fn certified(authority: &Authority, name: &str) -> TlsMaterial {
        let now = SystemClock.now();
        let addresses = vec!["127.0.0.1".parse().expect("an address")];
        let name = name.to_owned();
        let subject = Subject { role: Role::Agent, name, dns_names: Vec::new(), addresses };
        let issued = authority.issue(&subject, now, 1).expect("the subject is possible");
        TlsMaterial::from_pem(&issued.cert_pem, &issued.key_pem, authority.cert_pem(), now)
            .expect("it was just issued")
    }

    fn bulletin(agent: u64, reporter: u64) -> Vec<u8> {
        let (agent, boot) = (AgentId(agent), BootId(1));
        let report = Report {
            agent: AgentId(reporter),
            boot,
            sequence: 1,
            extent: Extent::Changes,
            observations: Vec::new(),
        };
        Bulletin { agent, boot, report: Some(report), suspects: Vec::new() }.encode()
    }

    /// A real agent behind mutual TLS: what it answers depends on whose certificate speaks for whom.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_speaks_in_another_agents_name() {
        let authority = Authority::create("c", SystemClock.now(), 1).expect("possible");
        let agent = agent().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let tls = certified(&authority, "a1").server();
        let served =
            tokio::spawn(serve(listener, agent.handler(), Some(tls), std::future::pending::<()>()));
        let to = PeerAddress { id: AgentId(1), address };
        let ask = async |shown: &str, from: u64, kind: MessageKind, body: Vec<u8>| {
            let tls = Some(certified(&authority, shown).client(None));
            let message = Message {
                cluster: "c".to_owned(),
                generation: 0,
                group: GroupId(1),
                from: AgentId(from),
                to: AgentId(1),
                kind,
                body: body.into(),
            };
            let wire = GrpcWire::new(GrpcWireConfig { tls });
            match wire.call(&to, message, Duration::from_secs(10)).await {
                Ok(_) => Ok(()),
                Err(WireError::Refused(refusal)) => Err(refusal.reason),
                Err(error) => panic!("{shown} as {from}: {error}"),
            }
        };

        let members_only = [
            MessageKind::Report,
            MessageKind::Heartbeat,
            MessageKind::Confirm,
            MessageKind::AuditHead,
            MessageKind::AuditRead,
            MessageKind::Lookup,
            MessageKind::ZoneNotice,
        ];
        for kind in members_only {
            for (shown, from) in [("a3", 2), ("a2", 1), ("a9", 9), ("a2", 9)] {
                let denied = ask(shown, from, kind, bulletin(from, from)).await;
                assert_eq!(denied, Err(RefusalReason::Denied), "{} {shown} {from}", kind.label());
            }
        }
        assert_eq!(ask("a2", 2, MessageKind::AuditHead, Vec::new()).await, Ok(()));
        let report = ask("a2", 2, MessageKind::Report, bulletin(2, 2)).await;
        assert_eq!(report, Err(RefusalReason::NotLeader { leader: None }));
        for stolen in [bulletin(3, 3), bulletin(2, 3), bulletin(3, 2)] {
            let refused = ask("a2", 2, MessageKind::Report, stolen).await;
            assert_eq!(refused, Err(RefusalReason::Malformed));
        }
        served.abort();
        agent.stop().await;
    }

    #[tokio::test]
    async fn an_agent_whose_records_wait_for_its_store_takes_no_changes() {
        let agent = agent().await;
        let takes_changes = async || {
            let message = Message {
                cluster: "c".to_owned(),
                generation: 0,
                group: GroupId(1),
                from: AgentId(2),
                to: AgentId(1),
                kind: MessageKind::AuditHead,
                body: Bytes::new(),
            };
            let answer = agent.handler().handle(&Sender::Unproven, message).await;
            Standing::decode(&answer.expect("it answers")).expect("a standing").writable
        };
        assert!(takes_changes().await);
        chain(40).into_iter().for_each(|record| agent.bridge.append(vec![record]));
        assert!(!agent.audit.is_congested() && agent.audit.halted().is_none());
        assert!(!takes_changes().await);
        agent.bridge.drain().await.expect("the store is well");
        assert!(takes_changes().await);
        agent.stop().await;
    }
}
