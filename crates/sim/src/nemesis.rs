//! Carries out the plan: lets the faults of a round begin, waits, undoes them, and lets the cluster rest.

use std::collections::BTreeMap;

use holdfast_core::AgentId;

use crate::catalogue;
use crate::machine::Machine;
use crate::plan::{AGENTS, Fault, Round, Whom};
use crate::sabotage::Sabotage;
use crate::stage::Stage;
use crate::trace::note;
use crate::world::Trouble;

/// The machines, by the agent that runs on each.
pub(crate) type Machines = BTreeMap<AgentId, Machine>;

/// Carries out every round. Errors: an agent does not start again.
pub(crate) async fn play(stage: &Stage, machines: &mut Machines) -> Result<(), String> {
    for Round { faults, lasts, rest } in stage.plan.rounds.clone() {
        for fault in &faults {
            note!(stage.trace, "fault {fault:?}");
            begin(stage, machines, fault);
        }
        tokio::time::sleep(lasts).await;
        note!(stage.trace, "mend");
        mend(stage, machines).await?;
        tokio::time::sleep(rest).await;
    }
    Ok(())
}

/// Ends every fault: the network passes, endpoints are well, machines run.
pub(crate) async fn mend(stage: &Stage, machines: &mut Machines) -> Result<(), String> {
    if stage.plan.sabotage != Some(Sabotage::LastingPartition) {
        stage.net.mend();
    }
    stage.world.mend();
    for machine in machines.values_mut().filter(|machine| !machine.is_running()) {
        machine.start(stage).await?;
    }
    Ok(())
}

fn begin(stage: &Stage, machines: &mut Machines, fault: &Fault) {
    let kind = fault.kind();
    stage.coverage.applied(kind);
    match *fault {
        Fault::Crash(whom) => crash(stage, machines, &[struck(stage, whom)], kind),
        Fault::PowerLoss => crash(stage, machines, &Stage::agents().collect::<Vec<_>>(), kind),
        Fault::Partition(whom) => {
            let agent = struck(stage, whom);
            for other in others(agent) {
                stage.net.cut(agent, other, kind);
                stage.net.cut(other, agent, kind);
            }
        }
        Fault::OneWay { whom, mute } => {
            let agent = struck(stage, whom);
            for other in others(agent) {
                let (from, to) = if mute { (agent, other) } else { (other, agent) };
                stage.net.cut(from, to, kind);
            }
        }
        Fault::Storm { latest_ms, loss_permille } => stage.net.storm(latest_ms, loss_permille),
        Fault::Endpoints { service, pool, hung } => {
            let trouble = if hung { Trouble::Hangs } else { Trouble::Refuses };
            stage.world.trouble(&catalogue::addresses(&stage.services[service], pool), trouble);
        }
        Fault::PathCut { whom, service } => {
            let endpoints = catalogue::all_addresses(&stage.services[service]);
            stage.world.cut(struck(stage, whom), &endpoints);
        }
        Fault::ClockJump { whom, by_ms } => stage.clocks.of(struck(stage, whom)).jump(by_ms),
    }
}

fn crash(stage: &Stage, machines: &mut Machines, agents: &[AgentId], kind: &'static str) {
    for agent in agents {
        let machine = machines.get_mut(agent).expect("every agent has a machine");
        machine.crash(stage, kind);
    }
}

fn struck(stage: &Stage, whom: Whom) -> AgentId {
    let leader = stage.leader().unwrap_or(AgentId(1));
    match whom {
        Whom::Leader => leader,
        Whom::Follower => AgentId(leader.0 % AGENTS + 1),
        Whom::Agent(id) => AgentId(id),
    }
}

fn others(agent: AgentId) -> impl Iterator<Item = AgentId> {
    Stage::agents().filter(move |other| *other != agent)
}
