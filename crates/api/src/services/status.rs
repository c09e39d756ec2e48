//! StatusService: everything on one page.

use holdfast_core::quorum::Verdict;
use holdfast_core::view::ServiceStatus;
use holdfast_core::{AgentId, View};
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::status_service_server::StatusService;
use tonic::{Request, Response, Status};

use super::{count, in_namespace};
use crate::agreement::Standing;
use crate::caller::Call;
use crate::context::{Context, at};

/// StatusService.
#[derive(Debug)]
pub(crate) struct Overview(pub(crate) Context);

#[tonic::async_trait]
impl StatusService for Overview {
    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let call = Call::of(request)?;
        let view = self.0.view(call.body.consistency, call.within).await?;
        let standing = self.0.deps.agreement.standing();
        let node = self.0.deps.facts.identity();
        let lines = view
            .services
            .iter()
            .filter(|(id, _)| in_namespace(id, &call.body.namespace))
            .map(|(_, status)| line(&view, status));
        let index = view.answers.index;
        let response = pb::GetStatusResponse {
            cluster: node.cluster,
            node: node.name,
            leader: standing.leader.map(|id| name_of(&view, &standing, id)).unwrap_or_default(),
            term: standing.term,
            index,
            at_ms: view.answers.at.0,
            quorum: standing.quorum,
            pause: view.pause.as_ref().map(holdfast_wire::Convert::to_proto),
            warm_up_until_ms: view.warm_up_until.0,
            services: lines.collect(),
        };
        Ok(at(index, response))
    }
}

/// An agent's name, or its number where no name is known yet.
fn name_of(view: &View, standing: &Standing, id: AgentId) -> String {
    let member = standing.members.iter().find(|member| member.id == id);
    let known = member.map(|member| member.name.clone()).filter(|name| !name.is_empty());
    known
        .or_else(|| view.agents.get(&id).map(|agent| agent.name.to_string()))
        .unwrap_or_else(|| id.to_string())
}

fn line(view: &View, status: &ServiceStatus) -> pb::ServiceLine {
    let spec = &status.spec;
    let with = |verdict| status.endpoints.iter().filter(|e| e.verdict == verdict).count();
    let policy = spec.policy.label();
    let blocked = status.blocked.as_ref().map(|blocked| blocked.reason.to_proto());
    pb::ServiceLine {
        id: spec.id.to_string(),
        dns_name: spec.dns.name.to_string(),
        policy: policy.to_owned(),
        active: status.selection.active.as_ref().map(ToString::to_string),
        basis: status.selection.basis.to_proto(),
        refused: status.selection.refused,
        served: count(status.selection.served.len()),
        up: count(with(Verdict::Up)),
        down: count(with(Verdict::Down)),
        unknown: count(with(Verdict::Unknown)),
        stale: status.endpoints.iter().any(|endpoint| endpoint.stale),
        partial: status.endpoints.iter().any(|endpoint| endpoint.partial),
        epoch: status.epoch.0,
        selected_at_ms: status.selected_at.0,
        blocked: blocked.unwrap_or(pb::BlockReason::Unspecified as i32),
        overrides: count(view.overrides.values().filter(|o| o.service == spec.id).count()),
    }
}
