//! `DeregisterEndpoint`: removes an endpoint, wherever it is.

use alloc::format;

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::{EndpointName, ServiceId};
use crate::state::{State, Work};

impl State {
    pub(in crate::state) fn deregister_endpoint(
        &mut self,
        work: &mut Work<'_>,
        id: &ServiceId,
        endpoint: &EndpointName,
    ) -> Result<Reply, Rejection> {
        let mut spec = self.service(id)?.spec.as_ref().clone();
        if spec.endpoint(endpoint).is_none() {
            return Err(not_found("endpoint", format!("{endpoint} of service {id}")));
        }
        for pool in &mut spec.pools {
            pool.endpoints.retain(|known| known.name != *endpoint);
        }
        work.say(Some(id), Event::EndpointDeregistered { endpoint: endpoint.clone() });
        self.store_service(work, spec);
        Ok(Reply::Stored { revision: work.index, changed: true })
    }
}
