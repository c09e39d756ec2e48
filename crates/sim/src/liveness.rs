//! What must happen in time when nothing is in the way: the group forms, a failed endpoint leaves the answers (L1),
//! and after all faults heal everybody agrees again (L5).

use std::time::Duration;

use holdfast_core::PoolName;
use holdfast_core::quorum::Verdict;
use holdfast_core::spec::{Address, Service};
use holdfast_core::view::ServiceStatus;

use crate::catalogue::{self, SHOP};
use crate::plan::AGENTS;
use crate::stage::{Live, Stage};
use crate::trace::note;
use crate::world::Trouble;

/// How long the agents may take to form a group in which each observes.
const FORMATION: Duration = Duration::from_secs(20);
/// How long it may take until everything that is up is known to be, and served from where it belongs.
const RECOVERY: Duration = Duration::from_secs(30);
/// L1: a failed pool is out of every agent's answers within this.
const FAILOVER: Duration = Duration::from_secs(5);
/// L5: everybody agrees within this after the last fault.
const AGREEMENT: Duration = Duration::from_secs(30);

/// Waits until the group has formed and every agent is heard.
pub(crate) async fn formation(stage: &Stage) -> Result<(), String> {
    let formed = |live: &Live| {
        let view = live.view();
        view.agents.len() as u64 == AGENTS
            && view.agents.values().all(|agent| agent.heard.is_some())
    };
    stage.until_all("a group in which every agent observes", FORMATION, formed).await.map(drop)
}

/// L5: one leader, equal states, equal chains, nothing left to check.
pub(crate) async fn agreement(stage: &Stage) -> Result<Duration, String> {
    let agreed = || {
        let running = stage.running();
        let Some(leader) = stage.leader() else { return false };
        let states: Vec<_> = running.iter().map(|(_, live)| live.group.state_hash()).collect();
        let settled = running.iter().zip(&states).all(|((id, live), (_, _, head))| {
            let status = live.group.status().borrow().clone();
            let checked = stage.oracle.progress(*id).1 == head.length;
            status.leader == Some(leader)
                && status.quorum_ok
                && status.halted.is_none()
                && live.audit.head() == *head
                && checked
        });
        let equal = states.windows(2).all(|pair| pair[0] == pair[1]);
        if !equal && states.windows(2).all(|pair| pair[0].0 == pair[1].0) {
            stage.oracle.fail(format!("S13: equal index, other states: {}", stage.standing()));
        }
        running.len() as u64 == AGENTS && settled && equal
    };
    let took = stage.until("L5: one leader and equal states", AGREEMENT, agreed).await?;
    note!(stage.trace, "agreement after {took:?}");
    Ok(took)
}

/// Waits until every endpoint is up in every view and `shop` is served from its first pool.
pub(crate) async fn recovery(stage: &Stage) -> Result<(), String> {
    let home = |live: &Live| {
        let view = live.view();
        let status = |service: &Service| view.services.get(&service.id).cloned();
        let up = |status: &ServiceStatus| {
            status
                .endpoints
                .iter()
                .all(|endpoint| endpoint.verdict == Verdict::Up && !endpoint.stale)
        };
        let all = stage.services.iter().all(|one| status(one).is_some_and(|status| up(&status)));
        let first: Option<PoolName> =
            stage.services[SHOP].pools.first().map(|pool| pool.name.clone());
        let shop = status(&stage.services[SHOP]);
        all && shop.is_some_and(|shop| shop.selection.active == first)
    };
    stage.until_all("every endpoint up, shop in its first pool", RECOVERY, home).await.map(drop)
}

/// L1: fails the pool that `shop` is served from, and waits until no agent answers with it.
pub(crate) async fn failover(stage: &Stage) -> Result<Duration, String> {
    let shop = &stage.services[SHOP];
    let failed = catalogue::addresses(shop, 0);
    note!(stage.trace, "failover of {}", shop.id);
    stage.world.trouble(&failed, Trouble::Refuses);
    let moved = |live: &Live| {
        live.answers.current().is_some_and(|published| {
            let served = served(published.answers(), shop);
            !served.is_empty() && !served.iter().any(|address| failed.contains(address))
        })
    };
    let took = stage.until_all("L1: the failed pool leaves every answer", FAILOVER, moved).await?;
    note!(stage.trace, "failover took {took:?}");
    stage.world.mend();
    Ok(took)
}

fn served(answers: &holdfast_core::view::Answers, service: &Service) -> Vec<Address> {
    use holdfast_core::spec::RecordData;
    let sets = answers.names.get(&service.dns.name).map(|name| &name.sets);
    let records = sets.into_iter().flatten().flat_map(|set| &set.records);
    let addresses = records.filter_map(|(data, _)| match data {
        RecordData::A(ip) => Some(Address::Ip((*ip).into())),
        _ => None,
    });
    addresses.collect()
}
