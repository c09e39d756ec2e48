//! ExplainService: the reasoning of the last decision, as the core tells it.

use holdfast_core::explain::explain;
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::explain_service_server::ExplainService;
use tonic::{Request, Response, Status};

use super::service_id;
use crate::caller::Call;
use crate::context::{Context, at};
use crate::refusal::Refusal;

/// ExplainService.
#[derive(Debug)]
pub(crate) struct Explain(pub(crate) Context);

#[tonic::async_trait]
impl ExplainService for Explain {
    async fn explain_service(
        &self,
        request: Request<pb::ExplainServiceRequest>,
    ) -> Result<Response<pb::ExplainServiceResponse>, Status> {
        let call = Call::of(request)?;
        let id = service_id(&call.body.service)?;
        let view = self.0.view(call.body.consistency, call.within).await?;
        let now = self.0.deps.clock.now();
        let reason = explain(&view, &id, now);
        let reason = reason.ok_or_else(|| Refusal::not_found("service", &call.body.service))?;
        let index = view.answers.index;
        let reason = Some(reason.to_proto());
        Ok(at(index, pb::ExplainServiceResponse { reason, index, at_ms: now.0 }))
    }
}
