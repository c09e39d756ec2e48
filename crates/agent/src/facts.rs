//! What this node knows of itself: for `/readyz`, `cluster status` and `doctor`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use holdfast_audit::{AuditLog, Health};
use holdfast_consensus::Group;
use holdfast_core::Timestamp;
use holdfast_dns::{AnswersSource, Geo, Parts as DnsParts, Unsignable};

use crate::config::Config;
use crate::http::Part;
use crate::tasks::Tasks;

/// So many zones that cannot be signed are named.
const MOST_TOLD: usize = 5;

/// What this node knows of itself. Clones share it.
#[derive(Debug, Clone)]
pub struct Facts {
    sources: Arc<Sources>,
}

/// What facts are made of.
#[derive(Debug)]
pub(crate) struct Sources {
    /// The configuration.
    pub(crate) config: Config,
    /// The background tasks.
    pub(crate) tasks: Tasks,
    /// The group.
    pub(crate) group: Group,
    /// The audit log.
    pub(crate) audit: AuditLog,
    /// What DNS serves.
    pub(crate) answers: AnswersSource,
    /// Where DNS is answered.
    pub(crate) dns: Vec<SocketAddr>,
    /// What of DNS runs; `None` where it is not served.
    pub(crate) dns_parts: Option<DnsParts>,
    /// Where clients of DNS are.
    pub(crate) geo: Geo,
    /// When the process started.
    pub(crate) started_at: Timestamp,
    /// When the certificate ends.
    pub(crate) certificate_expires: Option<Timestamp>,
}

impl Facts {
    /// Facts of these sources.
    pub(crate) fn new(sources: Sources) -> Self {
        Self { sources: Arc::new(sources) }
    }

    /// Where clients of DNS are.
    pub(crate) fn geo(&self) -> &Geo {
        &self.sources.geo
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.sources.config
    }

    /// The background tasks.
    pub fn tasks(&self) -> &Tasks {
        &self.sources.tasks
    }

    /// What DNS serves.
    pub fn answers(&self) -> &AnswersSource {
        &self.sources.answers
    }

    /// Where DNS is answered.
    pub fn dns(&self) -> &[SocketAddr] {
        &self.sources.dns
    }

    /// When the process started.
    pub fn started_at(&self) -> Timestamp {
        self.sources.started_at
    }

    /// When the certificate ends.
    pub fn certificate_expires(&self) -> Option<Timestamp> {
        self.sources.certificate_expires
    }

    /// Which parts are ready. Serving DNS and being in quorum are different answers.
    pub fn readiness(&self) -> Vec<Part> {
        let signing = self.signing_part();
        vec![self.dns_part(), signing, self.quorum_part(), self.audit_part(), self.tasks_part()]
    }

    fn dns_part(&self) -> Part {
        let current = self.sources.answers.current();
        let parts = self.sources.dns_parts.as_ref();
        dns_part(current.map(|current| current.position().index), parts)
    }

    fn signing_part(&self) -> Part {
        signing_part(&self.sources.answers.unsignable())
    }

    fn quorum_part(&self) -> Part {
        let status = self.sources.group.status();
        let status = status.borrow();
        let detail = match (status.leader, status.quorum_ok) {
            (Some(leader), true) => format!("agent {leader} leads in term {}", status.term),
            (Some(leader), false) => {
                format!("agent {leader} led in term {}, and no quorum answers", status.term)
            }
            (None, _) => "no leader: answers go on, changes are refused".into(),
        };
        Part { part: "quorum", ready: status.leader.is_some() && status.quorum_ok, detail }
    }

    fn audit_part(&self) -> Part {
        let head = self.sources.audit.head();
        let (ready, detail) = match self.sources.audit.health() {
            Health::Writable => (true, format!("{} records", head.length)),
            Health::Backfilling { missing } => (
                true,
                format!("fetching records {}..{} from peers", missing.start(), missing.end()),
            ),
            Health::Halted { reason, .. } => {
                (false, format!("halted: {reason}; changes are refused"))
            }
        };
        Part { part: "audit", ready, detail }
    }

    fn tasks_part(&self) -> Part {
        let stopped: Vec<&str> = self
            .sources
            .tasks
            .statuses()
            .iter()
            .filter(|task| !task.running)
            .map(|task| task.name)
            .collect();
        let ready = stopped.is_empty();
        let detail =
            if ready { "all run".into() } else { format!("not running: {}", stopped.join(", ")) };
        Part { part: "tasks", ready, detail }
    }
}

fn dns_part(served: Option<u64>, parts: Option<&DnsParts>) -> Part {
    let ended = parts.map(DnsParts::ended).unwrap_or_default();
    let detail = match served {
        _ if !ended.is_empty() => {
            format!("ended by a fault: {}; see the log, and restart this agent", ended.join(", "))
        }
        Some(index) => format!("answers from index {index}"),
        None => "nothing to answer from yet: no view, and no last-known-good file".into(),
    };
    Part { part: "dns", ready: served.is_some() && ended.is_empty(), detail }
}

/// Zones that are signed, and whose signed answers this agent refuses.
fn signing_part(unsignable: &[Unsignable]) -> Part {
    let told =
        unsignable.iter().take(MOST_TOLD).map(|Unsignable { zone, why }| format!("{zone}: {why}"));
    let told: Vec<String> = told.collect();
    let next: BTreeSet<&str> =
        unsignable.iter().map(|unsignable| unsignable.why.next_step()).collect();
    let next: Vec<&str> = next.into_iter().collect();
    let ready = unsignable.is_empty();
    let more = match unsignable.len().saturating_sub(MOST_TOLD) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let detail = match ready {
        true => "every signed zone can be signed here".into(),
        false => {
            format!("signed answers are refused: {}{more}; {}", told.join("; "), next.join("; "))
        }
    };
    Part { part: "signing", ready, detail }
}

#[cfg(test)]
mod tests {
    use holdfast_core::DnsName;
    use holdfast_dns::{DnsConfig, DnsServer, Refusal, channel};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::seams::SystemClock;

    #[tokio::test]
    async fn dns_is_ready_while_it_has_a_view_and_all_its_parts_run() {
        let stop = CancellationToken::new();
        let listen = vec!["127.0.0.1:0".parse().expect("an address")];
        let config = DnsConfig { listen, threads: 1, ..DnsConfig::default() };
        let server = DnsServer::start(config, channel().1, Arc::new(SystemClock), stop.clone());
        let server = server.await.expect("starts");
        let parts = server.parts().clone();
        assert!(dns_part(Some(7), Some(&parts)).ready && dns_part(Some(7), None).ready);
        assert!(!dns_part(None, Some(&parts)).ready);
        stop.cancel();
        server.stopped().await;
        let part = dns_part(Some(7), Some(&parts));
        assert!(!part.ready);
        for name in ["dns-udp-0", "dns-tcp", "tcp at 127.0.0.1"] {
            assert!(part.detail.contains(name), "{name} is not in {}", part.detail);
        }
    }

    #[test]
    fn zones_that_cannot_be_signed_are_named_with_the_reason_and_the_next_step() {
        assert!(signing_part(&[]).ready);
        let name = |number| DnsName::new(&format!("z{number}.test")).expect("a name");
        let key =
            |number| Unsignable { zone: name(number), why: Refusal::Key("no key opens it".into()) };
        let mut unsignable: Vec<Unsignable> = (0..7).map(key).collect();
        let part = signing_part(&unsignable);
        assert!(!part.ready);
        for told in ["z0.test: no key opens it", "and 2 more", "[secrets] keys"] {
            assert!(part.detail.contains(told), "{told} is not in {}", part.detail);
        }
        assert!(!part.detail.contains("chronyc"));
        unsignable[0].why = Refusal::Clock { behind: std::time::Duration::from_secs(450_000) };
        let part = signing_part(&unsignable);
        for told in ["z0.test: this agent's clock is 5d05h behind", "chronyc", "[secrets] keys"] {
            assert!(part.detail.contains(told), "{told} is not in {}", part.detail);
        }
    }
}
