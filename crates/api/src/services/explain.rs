//! ExplainService: the reasoning of the last decision, as the core tells it.

use holdfast_audit::{Filter, Order, Query};
use holdfast_core::ServiceId;
use holdfast_core::audit::Record;
use holdfast_core::explain::{explain, predicted_recovery, steering};
use holdfast_core::history::recount;
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::explain_service_server::ExplainService;
use tonic::{Request, Response, Status};

use super::{client_of, service_id};
use crate::caller::Call;
use crate::context::{Context, at};
use crate::refusal::Refusal;

/// ExplainService.
#[derive(Debug)]
pub(crate) struct Explain(pub(crate) Context);

/// Records of one entry that are looked at.
const CHANGE_RECORDS: usize = 64;

impl Explain {
    /// The records of the entry that last changed what the service is answered with. None where this node's audit
    /// store does not hold them yet; the explanation then does without.
    fn last_change(&self, id: &ServiceId) -> Vec<Record> {
        let of = |kind: Option<&str>, limit| Query {
            filter: Filter {
                service: Some(id.clone()),
                kind: kind.map(Into::into),
                ..Filter::default()
            },
            order: Order::Descending,
            limit,
            after: None,
        };
        let records = |query: Query| self.0.deps.audit.query(&query).map(|page| page.records);
        let Ok(changes) = records(of(Some("selection.changed"), 1)) else { return Vec::new() };
        let Some(change) = changes.first() else { return Vec::new() };
        let mut around = of(None, CHANGE_RECORDS);
        around.after = Some(change.sequence + 1);
        let Ok(mut records) = records(around) else { return Vec::new() };
        records.retain(|record| record.content.index == change.content.index);
        records.reverse();
        records
    }
}

#[tonic::async_trait]
impl ExplainService for Explain {
    async fn explain_service(
        &self,
        request: Request<pb::ExplainServiceRequest>,
    ) -> Result<Response<pb::ExplainServiceResponse>, Status> {
        let call = Call::of(request)?;
        let id = service_id(&call.body.service)?;
        let client = match call.body.client.as_str() {
            "" => None,
            text => Some(client_of(&self.0, text, 0)?),
        };
        let view = self.0.view(call.body.consistency, call.within).await?;
        let now = self.0.deps.clock.now();
        let reason = explain(&view, &id, now);
        let mut reason = reason.ok_or_else(|| Refusal::not_found("service", &call.body.service))?;
        let last_change = recount(&view, &self.last_change(&id));
        if let Some(change) = last_change {
            reason.children.insert(0, change);
        }
        if let Some(status) = view.services.get(&id) {
            let times = self.0.deps.facts.group_times();
            reason.children.push(predicted_recovery(status, times, now));
        }
        reason.children.extend(steering(&view, &id, client.as_ref()));
        let index = view.answers.index;
        let reason = Some(reason.to_proto());
        Ok(at(index, pb::ExplainServiceResponse { reason, index, at_ms: now.0 }))
    }
}
