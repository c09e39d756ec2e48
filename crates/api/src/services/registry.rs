//! RegistryService: services and endpoints; zones, heartbeats and watches are in files of their own.

use std::ops::Bound;

use futures_util::stream::BoxStream;
use holdfast_core::spec::{Endpoint, Pool, Service};
use holdfast_core::state::Declared;
use holdfast_core::time::millis;
use holdfast_core::{Command, Rejection, ServiceId};
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::registry_service_server::RegistryService;
use holdfast_wire::{Convert as _, DecodeError};
use tonic::{Request, Response, Status, Streaming};

use super::{entry, in_namespace, named, page_size, service_id};
use crate::caller::Call;
use crate::context::{Context, at};
use crate::refusal::Refusal;

/// RegistryService.
#[derive(Debug)]
pub(crate) struct Registry(pub(crate) Context);

impl Registry {
    async fn apply(
        &self,
        call: Call<pb::ApplyServiceRequest>,
    ) -> Result<pb::ApplyServiceResponse, Status> {
        let service = declared(call.body.service.clone());
        let if_revision = call.body.if_revision;
        if call.body.validate_only {
            let service = service?;
            let view = self.0.agreed(call.within).await?;
            let index = view.answers.index;
            let came_to = self.0.deps.agreement.check_service(&service, if_revision);
            let Declared { revision, changed } = came_to.map_err(Refusal::from)?;
            let ttl_floor_ms = millis(view.settings.ttl_floor);
            let stored = view.services.get(&service.id).into_iter();
            let stored = stored.flat_map(|status| status.spec.endpoints());
            let reached = |(pool, one): (&Pool, &Endpoint)| {
                (pool.name.clone(), one.address.clone(), one.port)
            };
            let stays = |stored: &(&Pool, &Endpoint)| {
                service.endpoint(&stored.1.name).map(reached) == Some(reached(*stored))
            };
            let gone = stored.filter(|stored| !stays(stored));
            let endpoints_gone = gone.map(|(_, one)| one.name.to_string()).collect();
            return Ok(pb::ApplyServiceResponse {
                index,
                revision,
                changed,
                ttl_floor_ms,
                endpoints_gone,
            });
        }
        let command = service.map(|service| Command::ApplyService { service, if_revision });
        let changed = self.0.change(&call, &call.body.request_id, command).await?;
        let ttl_floor_ms = millis(self.0.latest().settings.ttl_floor);
        let ((revision, changed), index) = (changed.stored(), changed.index);
        let endpoints_gone = Vec::new();
        Ok(pb::ApplyServiceResponse { index, revision, changed, ttl_floor_ms, endpoints_gone })
    }

    async fn list(
        &self,
        call: Call<pb::ListServicesRequest>,
    ) -> Result<pb::ListServicesResponse, Status> {
        let view = self.0.view(call.body.consistency, call.within).await?;
        let after: Bound<ServiceId> = match call.body.page_token.as_str() {
            "" => Bound::Unbounded,
            token => Bound::Excluded(named("page_token", token)?),
        };
        let limit = page_size(call.body.page_size);
        let mut found = view
            .services
            .iter_from(after.as_ref())
            .filter(|(id, _)| in_namespace(id, &call.body.namespace));
        let services: Vec<_> = found.by_ref().take(limit).collect();
        let more = found.next().is_some();
        let last = services.last().filter(|_| more).map(|(id, _)| id.to_string());
        Ok(pb::ListServicesResponse {
            services: services.into_iter().map(|(_, status)| entry(status)).collect(),
            next_page_token: last.unwrap_or_default(),
            index: view.answers.index,
        })
    }
}

/// The service of a request, judged as `apply` will judge it, so that what is impossible never reaches the log.
fn declared(proto: Option<pb::Service>) -> Result<Service, Refusal> {
    let proto = proto.ok_or_else(|| Refusal::field("service", "it is missing"))?;
    let service = Service::from_proto(proto).map_err(inside("service"))?;
    service.validate().map_err(|error| Refusal::from(Rejection::InvalidSpec(error)))?;
    Ok(service)
}

/// Says in which field of the request a decoding failed.
pub(super) fn inside(outer: &'static str) -> impl Fn(DecodeError) -> Refusal {
    move |error| match error.field() {
        Some("") | None => Refusal::field(outer, error.to_string()),
        Some(field) => {
            let text = error.to_string();
            let problem = text.strip_prefix(field).unwrap_or(&text).trim_start_matches(": ");
            Refusal::field(&format!("{outer}.{field}"), problem)
        }
    }
}

#[tonic::async_trait]
impl RegistryService for Registry {
    async fn apply_service(
        &self,
        request: Request<pb::ApplyServiceRequest>,
    ) -> Result<Response<pb::ApplyServiceResponse>, Status> {
        let response = self.apply(Call::of(request)?).await?;
        Ok(at(response.index, response))
    }

    async fn get_service(
        &self,
        request: Request<pb::GetServiceRequest>,
    ) -> Result<Response<pb::GetServiceResponse>, Status> {
        let call = Call::of(request)?;
        let id = service_id(&call.body.service)?;
        let view = self.0.view(call.body.consistency, call.within).await?;
        let status = view.services.get(&id);
        let status = status.ok_or_else(|| Refusal::not_found("service", &call.body.service))?;
        let index = view.answers.index;
        Ok(at(index, pb::GetServiceResponse { service: Some(entry(status)), index }))
    }

    async fn list_services(
        &self,
        request: Request<pb::ListServicesRequest>,
    ) -> Result<Response<pb::ListServicesResponse>, Status> {
        let response = self.list(Call::of(request)?).await?;
        Ok(at(response.index, response))
    }

    async fn delete_service(
        &self,
        request: Request<pb::DeleteServiceRequest>,
    ) -> Result<Response<pb::DeleteServiceResponse>, Status> {
        let call = Call::of(request)?;
        let if_revision = call.body.if_revision;
        let command =
            service_id(&call.body.service).map(|id| Command::DeleteService { id, if_revision });
        let changed = self.0.change(&call, &call.body.request_id, command).await?;
        Ok(at(changed.index, pb::DeleteServiceResponse { index: changed.index }))
    }

    async fn apply_zone(
        &self,
        request: Request<pb::ApplyZoneRequest>,
    ) -> Result<Response<pb::ApplyZoneResponse>, Status> {
        let response = self.write_zone(Call::of(request)?).await?;
        Ok(at(response.index, response))
    }

    async fn get_zone(
        &self,
        request: Request<pb::GetZoneRequest>,
    ) -> Result<Response<pb::GetZoneResponse>, Status> {
        let response = self.read_zone(Call::of(request)?).await?;
        Ok(at(response.index, response))
    }

    async fn list_zones(
        &self,
        request: Request<pb::ListZonesRequest>,
    ) -> Result<Response<pb::ListZonesResponse>, Status> {
        let response = self.read_zones(Call::of(request)?).await?;
        Ok(at(response.index, response))
    }

    async fn delete_zone(
        &self,
        request: Request<pb::DeleteZoneRequest>,
    ) -> Result<Response<pb::DeleteZoneResponse>, Status> {
        let call = Call::of(request)?;
        let command = named("zone", &call.body.zone).map(|name| Command::DeleteZone { name });
        let changed = self.0.change(&call, &call.body.request_id, command).await?;
        Ok(at(changed.index, pb::DeleteZoneResponse { index: changed.index }))
    }

    async fn change_zone_signing(
        &self,
        request: Request<pb::ChangeZoneSigningRequest>,
    ) -> Result<Response<pb::ChangeZoneSigningResponse>, Status> {
        let response = self.write_signing(Call::of(request)?).await?;
        Ok(at(response.index, response))
    }

    async fn get_zone_signing(
        &self,
        request: Request<pb::GetZoneSigningRequest>,
    ) -> Result<Response<pb::GetZoneSigningResponse>, Status> {
        let response = self.read_signing(Call::of(request)?).await?;
        Ok(at(response.index, response))
    }

    async fn apply_tsig_key(
        &self,
        request: Request<pb::ApplyTsigKeyRequest>,
    ) -> Result<Response<pb::ApplyTsigKeyResponse>, Status> {
        let response = self.write_tsig_key(Call::of(request)?).await?;
        Ok(at(response.index, response))
    }

    async fn list_tsig_keys(
        &self,
        request: Request<pb::ListTsigKeysRequest>,
    ) -> Result<Response<pb::ListTsigKeysResponse>, Status> {
        let response = self.read_tsig_keys(Call::of(request)?).await?;
        Ok(at(response.index, response))
    }

    async fn remove_tsig_key(
        &self,
        request: Request<pb::RemoveTsigKeyRequest>,
    ) -> Result<Response<pb::RemoveTsigKeyResponse>, Status> {
        let call = Call::of(request)?;
        let command = named("name", &call.body.name).map(|name| Command::RemoveTsigKey { name });
        let changed = self.0.change(&call, &call.body.request_id, command).await?;
        Ok(at(changed.index, pb::RemoveTsigKeyResponse { index: changed.index }))
    }

    async fn register_endpoint(
        &self,
        request: Request<pb::RegisterEndpointRequest>,
    ) -> Result<Response<pb::RegisterEndpointResponse>, Status> {
        let call = Call::of(request)?;
        let command = registration(&call.body);
        let changed = self.0.change(&call, &call.body.request_id, command).await?;
        let (index, (revision, new)) = (changed.index, changed.stored());
        Ok(at(index, pb::RegisterEndpointResponse { index, revision, changed: new }))
    }

    async fn deregister_endpoint(
        &self,
        request: Request<pb::DeregisterEndpointRequest>,
    ) -> Result<Response<pb::DeregisterEndpointResponse>, Status> {
        let call = Call::of(request)?;
        let command = service_id(&call.body.service).and_then(|service| {
            let endpoint = named("endpoint", &call.body.endpoint)?;
            Ok(Command::DeregisterEndpoint { service, endpoint })
        });
        let changed = self.0.change(&call, &call.body.request_id, command).await?;
        let (index, (revision, _)) = (changed.index, changed.stored());
        Ok(at(index, pb::DeregisterEndpointResponse { index, revision }))
    }

    type HeartbeatStream = BoxStream<'static, Result<pb::HeartbeatResponse, Status>>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<pb::HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let call = Call::of(request)?;
        Ok(Response::new(super::heartbeat::answer(&self.0, call.body)?))
    }

    type WatchServicesStream = BoxStream<'static, Result<pb::WatchServicesResponse, Status>>;

    async fn watch_services(
        &self,
        request: Request<pb::WatchServicesRequest>,
    ) -> Result<Response<Self::WatchServicesStream>, Status> {
        let call = Call::of(request)?;
        Ok(Response::new(super::watch::watch(&self.0, call.body)?))
    }
}

fn registration(body: &pb::RegisterEndpointRequest) -> Result<Command, Refusal> {
    let proto = body.endpoint.clone().ok_or_else(|| Refusal::field("endpoint", "it is missing"))?;
    Ok(Command::RegisterEndpoint {
        service: service_id(&body.service)?,
        pool: named("pool", &body.pool)?,
        endpoint: Endpoint::from_proto(proto).map_err(inside("endpoint"))?,
    })
}
