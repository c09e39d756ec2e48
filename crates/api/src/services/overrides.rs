//! OverrideService: orders of operators, and the pause.

use holdfast_core::overrides::Order;
use holdfast_core::{Command, OverrideId, Reply};
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::override_service_server::OverrideService;
use std::time::Duration;
use tonic::{Request, Response, Status};

use super::registry::inside;
use super::service_id;
use crate::caller::Call;
use crate::context::{Changed, Context, at};
use crate::refusal::Refusal;

/// OverrideService.
#[derive(Debug)]
pub(crate) struct Overrides(pub(crate) Context);

fn ordered(body: &pb::SetOverrideRequest) -> Result<Command, Refusal> {
    let proto = body.order.clone().ok_or_else(|| Refusal::field("order", "it is missing"))?;
    Ok(Command::SetOverride {
        service: service_id(&body.service)?,
        order: Order::from_proto(proto).map_err(inside("order"))?,
        reason: reasoned(&body.reason)?,
        lasting: lasting(body.lasting_ms)?,
    })
}

/// Every order has a reason.
fn reasoned(reason: &str) -> Result<String, Refusal> {
    if reason.trim().is_empty() {
        return Err(Refusal::field("reason", "it is missing; say why, others will ask"));
    }
    Ok(reason.to_owned())
}

/// Every order has an end.
fn lasting(ms: u64) -> Result<Duration, Refusal> {
    if ms == 0 {
        return Err(Refusal::field("lasting_ms", "it is missing; every order ends by itself"));
    }
    Ok(Duration::from_millis(ms))
}

fn expiry(changed: &Changed) -> (u64, u64) {
    match changed.reply {
        Reply::Ordered { id, expires_at } => (id.0, expires_at.0),
        Reply::Done | Reply::Stored { .. } => (0, 0),
    }
}

#[tonic::async_trait]
impl OverrideService for Overrides {
    async fn set_override(
        &self,
        request: Request<pb::SetOverrideRequest>,
    ) -> Result<Response<pb::SetOverrideResponse>, Status> {
        let call = Call::of(request)?;
        let changed = self.0.change(&call, &call.body.request_id, ordered(&call.body)).await?;
        let (index, (id, expires_at_ms)) = (changed.index, expiry(&changed));
        Ok(at(index, pb::SetOverrideResponse { index, id, expires_at_ms }))
    }

    async fn clear_override(
        &self,
        request: Request<pb::ClearOverrideRequest>,
    ) -> Result<Response<pb::ClearOverrideResponse>, Status> {
        let call = Call::of(request)?;
        let (id, reason) = (OverrideId(call.body.id), call.body.reason.clone());
        let command = Ok(Command::ClearOverride { id, reason });
        let changed = self.0.change(&call, &call.body.request_id, command).await?;
        Ok(at(changed.index, pb::ClearOverrideResponse { index: changed.index }))
    }

    async fn list_overrides(
        &self,
        request: Request<pb::ListOverridesRequest>,
    ) -> Result<Response<pb::ListOverridesResponse>, Status> {
        let call = Call::of(request)?;
        let only = match call.body.service.as_str() {
            "" => None,
            service => Some(service_id(service)?),
        };
        let view = self.0.view(call.body.consistency, call.within).await?;
        let wanted = view
            .overrides
            .values()
            .filter(|order| only.as_ref().is_none_or(|service| order.service == *service));
        let index = view.answers.index;
        let response = pb::ListOverridesResponse {
            overrides: wanted.map(holdfast_wire::Convert::to_proto).collect(),
            pause: view.pause.as_ref().map(holdfast_wire::Convert::to_proto),
            index,
        };
        Ok(at(index, response))
    }

    async fn pause_automation(
        &self,
        request: Request<pb::PauseAutomationRequest>,
    ) -> Result<Response<pb::PauseAutomationResponse>, Status> {
        let call = Call::of(request)?;
        let command = reasoned(&call.body.reason).and_then(|reason| {
            Ok(Command::Pause { reason, lasting: lasting(call.body.lasting_ms)? })
        });
        let changed = self.0.change(&call, &call.body.request_id, command).await?;
        let (index, (_, ends)) = (changed.index, expiry(&changed));
        let expires_at_ms = match ends {
            0 => self.0.latest().pause.as_ref().map_or(0, |pause| pause.expires_at.0),
            ends => ends,
        };
        Ok(at(index, pb::PauseAutomationResponse { index, expires_at_ms }))
    }

    async fn resume_automation(
        &self,
        request: Request<pb::ResumeAutomationRequest>,
    ) -> Result<Response<pb::ResumeAutomationResponse>, Status> {
        let call = Call::of(request)?;
        let command = Ok(Command::Resume { reason: call.body.reason.clone() });
        let changed = self.0.change(&call, &call.body.request_id, command).await?;
        Ok(at(changed.index, pb::ResumeAutomationResponse { index: changed.index }))
    }
}
