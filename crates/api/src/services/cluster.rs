//! ClusterService: the members, and the node that answers. Answered with or without a leader.

use std::sync::Arc;

use holdfast_audit::Health;
use holdfast_core::membership::{self as joining, MembershipChange};
use holdfast_core::spec::SettingsChange;
use holdfast_core::time::millis;
use holdfast_core::{ActorKind, AgentId, AgentName, Command, RegionName, View};
use holdfast_wire::Convert as _;
use holdfast_wire::convert::request_id;
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::cluster_service_server::ClusterService;
use tonic::{Code, Request, Response, Status};

use super::named;
use crate::agreement::{Member, NewMember, Role, Standing};
use crate::caller::{Call, Caller};
use crate::context::{Changed, Context, at};
use crate::node::{NodeFacts, ReadinessPart, Task};
use crate::refusal::Refusal;

/// ClusterService.
#[derive(Debug)]
pub(crate) struct Cluster(pub(crate) Context);

impl Cluster {
    /// Has a change of membership agreed on and carried out. Errors: each with the request's id.
    async fn change<T>(
        &self,
        call: &Call<T>,
        id: &str,
        change: Result<MembershipChange, Refusal>,
    ) -> Result<Changed, Status> {
        let change = entitled(&call.caller, "membership").and(change);
        self.0.change(call, id, change.map(Command::RequestMembership)).await
    }

    /// The node that is to join, as its own answer completes it.
    async fn joining(
        &self,
        call: &Call<pb::AddMemberRequest>,
    ) -> Result<MembershipChange, Refusal> {
        entitled(&call.caller, "membership")?;
        request_id(&call.body.request_id)?;
        let new = new_member(&call.body)?;
        let directory = self.0.deps.agreement.directory_of(&new, call.within).await;
        let directory = directory.map_err(|error| self.0.unavailable(error))?;
        let NewMember { id, name, region, peer_address, api_address } = new;
        let member = joining::Member { name, region, peer_address, api_address, directory };
        Ok(MembershipChange::Add { id, member })
    }
}

/// Who is in the cluster, and by which settings it decides, is for people and agents to say: a program's certificate lies
/// on many machines.
fn entitled(caller: &Caller, what: &str) -> Result<(), Refusal> {
    match caller.actor.kind {
        ActorKind::Person | ActorKind::Agent | ActorKind::System => Ok(()),
        ActorKind::Workload => Err(Refusal::new(
            Code::PermissionDenied,
            "PERMISSION_DENIED",
            format!("workload {} may not change the {what}", caller.actor.name),
            "use a person's certificate (`holdfast ca issue --user NAME`)",
        )),
    }
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn get_cluster(
        &self,
        request: Request<pb::GetClusterRequest>,
    ) -> Result<Response<pb::GetClusterResponse>, Status> {
        let call = Call::of(request)?;
        let standing = self.0.deps.agreement.standing();
        let view = self.0.latest();
        let mut page = page(&self.0, &standing, &view);
        if call.body.with_state_hash {
            let (index, hash) = self.0.deps.agreement.state_hash();
            page.state_hash = hash.to_string();
            page.state_hash_index = index;
        }
        Ok(at(standing.applied_index, page))
    }

    async fn add_member(
        &self,
        request: Request<pb::AddMemberRequest>,
    ) -> Result<Response<pb::AddMemberResponse>, Status> {
        let call = Call::of(request)?;
        let change = self.joining(&call).await;
        let changed = self.change(&call, &call.body.request_id, change).await?;
        Ok(at(changed.index, pb::AddMemberResponse { id: call.body.id }))
    }

    async fn promote_member(
        &self,
        request: Request<pb::PromoteMemberRequest>,
    ) -> Result<Response<pb::PromoteMemberResponse>, Status> {
        let call = Call::of(request)?;
        let change = member_id(call.body.id).map(MembershipChange::Promote);
        let changed = self.change(&call, &call.body.request_id, change).await?;
        Ok(at(changed.index, pb::PromoteMemberResponse {}))
    }

    async fn remove_member(
        &self,
        request: Request<pb::RemoveMemberRequest>,
    ) -> Result<Response<pb::RemoveMemberResponse>, Status> {
        let call = Call::of(request)?;
        let change = member_id(call.body.id).map(MembershipChange::Remove);
        let changed = self.change(&call, &call.body.request_id, change).await?;
        Ok(at(changed.index, pb::RemoveMemberResponse {}))
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Result<Response<pb::TransferLeadershipResponse>, Status> {
        let call = Call::of(request)?;
        let change = MembershipChange::TransferLeadership(AgentId(call.body.to));
        let changed = self.change(&call, &call.body.request_id, Ok(change)).await?;
        let leader = self.0.deps.agreement.standing().leader.map_or(0, |id| id.0);
        Ok(at(changed.index, pb::TransferLeadershipResponse { leader }))
    }

    async fn change_settings(
        &self,
        request: Request<pb::ChangeSettingsRequest>,
    ) -> Result<Response<pb::ChangeSettingsResponse>, Status> {
        let call = Call::of(request)?;
        let change = settings_change(&call).map(Command::ChangeSettings);
        let changed = self.0.change(&call, &call.body.request_id, change).await?;
        Ok(at(changed.index, pb::ChangeSettingsResponse { index: changed.index }))
    }
}

fn settings_change(call: &Call<pb::ChangeSettingsRequest>) -> Result<SettingsChange, Refusal> {
    entitled(&call.caller, "settings")?;
    let change = SettingsChange::from_proto(call.body.change.unwrap_or_default());
    let change = change.map_err(|error| Refusal::field("change", error.to_string()))?;
    if change == SettingsChange::default() {
        return Err(Refusal::field("change", "it changes nothing; name a setting"));
    }
    Ok(change)
}

fn member_id(id: u64) -> Result<AgentId, Refusal> {
    if id == 0 {
        return Err(Refusal::field("id", "it is missing"));
    }
    Ok(AgentId(id))
}

fn new_member(body: &pb::AddMemberRequest) -> Result<NewMember, Refusal> {
    let address = |field: &str, text: &str| {
        let parsed: Result<std::net::SocketAddr, _> = text.parse();
        parsed.map(|_| text.to_owned()).map_err(|_| {
            Refusal::field(field, format!("{text:.80?} is not IP:PORT; agents are reached by IP"))
        })
    };
    Ok(NewMember {
        id: member_id(body.id)?,
        name: named::<AgentName>("name", &body.name)?.to_string(),
        region: named::<RegionName>("region", &body.region)?.to_string(),
        peer_address: address("peer_address", &body.peer_address)?,
        api_address: address("api_address", &body.api_address)?,
    })
}

fn page(context: &Context, standing: &Standing, view: &Arc<View>) -> pb::GetClusterResponse {
    let audit = &context.deps.audit;
    let audit_problem = match audit.health() {
        Health::Writable => String::new(),
        Health::Backfilling { missing } => {
            format!("records {}..={} are awaited from a peer", missing.start(), missing.end())
        }
        Health::Halted { reason, .. } => reason,
    };
    pb::GetClusterResponse {
        cluster: context.deps.facts.identity().cluster,
        group: standing.group.0,
        generation: standing.generation,
        node: Some(node(&*context.deps.facts, standing)),
        members: standing.members.iter().map(|m| member(m, standing, view)).collect(),
        leader: standing.leader.map_or(0, |id| id.0),
        term: standing.term,
        quorum: standing.quorum,
        last_log_index: standing.last_log_index,
        committed_index: standing.committed_index,
        applied_index: standing.applied_index,
        snapshot_index: standing.snapshot_index,
        logic_version: view.logic_version,
        state_hash: String::new(),
        state_hash_index: 0,
        audit_head: Some(standing.audit_head.to_proto()),
        audit_stored: Some(audit.head().to_proto()),
        audit_problem,
        dns_index: view.answers.index,
        dns_at_ms: view.answers.at.0,
        requested_change: standing.requested.as_ref().map(MembershipChange::to_proto),
        joint: standing.joint,
        settings: Some(view.settings.to_proto()),
    }
}

fn node(facts: &dyn NodeFacts, standing: &Standing) -> pb::Node {
    let identity = facts.identity();
    let readiness = facts.readiness();
    let role = match standing.role {
        Role::Learner => pb::Role::Learner,
        Role::Follower => pb::Role::Follower,
        Role::Candidate => pb::Role::Candidate,
        Role::Leader => pb::Role::Leader,
        Role::Stopped => pb::Role::Stopped,
    };
    pb::Node {
        id: identity.id.0,
        name: identity.name,
        region: identity.region,
        version: identity.version,
        role: role as i32,
        ready: readiness.iter().all(|part| part.ready),
        readiness: readiness.into_iter().map(part).collect(),
        tasks: facts.tasks().into_iter().map(task).collect(),
        peer_address: identity.addresses.peer,
        api_address: identity.addresses.api,
        dns_address: identity.addresses.dns,
        http_address: identity.addresses.http,
        certificate_expires_at_ms: facts.certificate_expires().map(|at| at.0),
        started_at_ms: identity.started_at.0,
    }
}

fn part(part: ReadinessPart) -> pb::ReadinessPart {
    pb::ReadinessPart { name: part.name, ready: part.ready, detail: part.detail }
}

fn task(task: Task) -> pb::Task {
    pb::Task {
        name: task.name,
        state: task.state,
        restarts: u32::try_from(task.restarts).unwrap_or(u32::MAX),
        last_error: task.last_error.unwrap_or_default(),
    }
}

fn member(member: &Member, standing: &Standing, view: &View) -> pb::Member {
    let agent = view.agents.get(&member.id);
    pb::Member {
        id: member.id.0,
        name: member.name.clone(),
        region: member.region.clone(),
        peer_address: member.peer_address.clone(),
        api_address: member.api_address.clone(),
        voter: member.voter,
        leader: standing.leader == Some(member.id),
        matched_index: member.matched_index,
        last_heard_ms: member.last_heard.map(millis),
        observing: agent.is_some_and(|agent| agent.heard.is_some()),
    }
}
