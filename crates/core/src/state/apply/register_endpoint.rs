//! `RegisterEndpoint`: adds an endpoint to a pool, or replaces the one of that name.

use alloc::format;
use alloc::string::ToString;

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::{PoolName, ServiceId};
use crate::spec::Endpoint;
use crate::state::{State, Work};

impl State {
    pub(in crate::state) fn register_endpoint(
        &mut self,
        work: &mut Work<'_>,
        id: &ServiceId,
        pool: &PoolName,
        endpoint: &Endpoint,
    ) -> Result<Reply, Rejection> {
        let state = self.service(id)?;
        let mut spec = state.spec.as_ref().clone();
        if let Some((present, known)) = spec.endpoint(&endpoint.name) {
            if present.name != *pool {
                return Err(Rejection::NameInUse {
                    name: format!("endpoint {}", endpoint.name),
                    owner: format!("pool {}", present.name),
                    next_step:
                        "choose another name, or first `holdfast endpoint deregister` it from there"
                            .to_string(),
                });
            }
            if known == endpoint {
                return Ok(Reply::Stored { revision: state.revision, changed: false });
            }
        }
        let Some(target) = spec.pools.iter_mut().find(|candidate| candidate.name == *pool) else {
            return Err(not_found("pool", format!("{pool} of service {id}")));
        };
        match target.endpoints.iter_mut().find(|known| known.name == endpoint.name) {
            Some(known) => *known = endpoint.clone(),
            None => target.endpoints.push(endpoint.clone()),
        }
        spec.validate().map_err(Rejection::InvalidSpec)?;
        self.check_service_names(&spec)?;
        work.say(Some(id), registered(endpoint));
        self.store_service(work, spec);
        Ok(Reply::Stored { revision: work.index, changed: true })
    }
}

/// What is said of an endpoint that came.
pub(super) fn registered(Endpoint { name, address, port, .. }: &Endpoint) -> Event {
    let address = format!("{address} port {port}");
    Event::EndpointRegistered { endpoint: name.clone(), address }
}
