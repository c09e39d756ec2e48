//! `ApplyService`: creates or replaces a service. What is declared the same keeps its verdicts and its selection.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::names::have_same_names;
use super::{Declared, check_revision};
use crate::audit::Hash;
use crate::command::{Rejection, Reply};
use crate::decision::Selection;
use crate::event::Event;
use crate::id::{EndpointName, Epoch};
use crate::observation::fingerprint;
use crate::selection::Automatic;
use crate::spec::{Endpoint, Service};
use crate::state::{CheckState, EndpointState, ServiceState, State, Touch, Work};
use crate::time::Timestamp;
use crate::ttl::{Ttl, calm_ttl};

/// The most services of a group.
const MAX_SERVICES: usize = 100_000;

impl State {
    pub(in crate::state) fn apply_service(
        &mut self,
        work: &mut Work<'_>,
        service: &Service,
        if_revision: Option<u64>,
    ) -> Result<Reply, Rejection> {
        let declared = self.check_service(service, if_revision)?;
        if !declared.changed {
            return Ok(declared.into());
        }
        let digest = Hash::of_value(service).to_string();
        work.say(Some(&service.id), Event::ServiceApplied { digest });
        self.store_service(work, service.clone());
        Ok(Reply::Stored { revision: work.index, changed: true })
    }

    /// What declaring a service would come to; nothing is changed.
    pub fn check_service(
        &self,
        service: &Service,
        if_revision: Option<u64>,
    ) -> Result<Declared, Rejection> {
        service.validate().map_err(Rejection::InvalidSpec)?;
        let stored = self.data.services.get(&service.id);
        let revision = stored.map_or(0, |state| state.revision);
        check_revision(&service.id, if_revision, revision)?;
        if stored.is_some_and(|stored| *stored.spec == *service) {
            return Ok(Declared { revision, changed: false });
        }
        self.check_service_names(service)?;
        if stored.is_none() && self.data.services.len() >= MAX_SERVICES {
            return Err(Rejection::LimitReached {
                what: "services".into(),
                limit: MAX_SERVICES as u64,
            });
        }
        Ok(Declared { revision, changed: true })
    }

    /// Stores a declaration that has been checked.
    pub(super) fn store_service(&mut self, work: &mut Work<'_>, service: Service) {
        let id = service.id.clone();
        let old = self.data.services.get(&id).map(|state| state.spec.clone());
        let same_names = old.as_ref().is_some_and(|old| have_same_names(old, &service));
        if let Some(old) = &old {
            let former = calm_ttl(&old.dns, self.data.settings.ttl_floor);
            self.keep_former_ttl(&old.dns.name, former);
        }
        if let Some(old) = old.as_ref().filter(|_| !same_names) {
            self.disown_service_names(old);
            self.touch_zone(&old.dns.name, work.index);
        }
        if !same_names {
            self.own_service_names(&service);
        }
        self.touch_zone(&service.dns.name, work.index);
        self.lead(old.as_deref(), Some(&service));
        let spec = Arc::new(service);
        let at = self.data.at;
        if old.is_none() {
            let state = ServiceState {
                spec: spec.clone(),
                revision: work.index,
                epoch: Epoch(work.index),
                selection: Selection::default(),
                selected_at: at,
                last_good: None,
                automatic: Automatic::default(),
                blocked: None,
                moves: Vec::new(),
                steps: Vec::new(),
                decided_at: at,
                endpoints: BTreeMap::new(),
                ttl: Ttl::declared(calm_ttl(&spec.dns, self.data.settings.ttl_floor)),
                convergence: None,
            };
            self.data.services.insert(id.clone(), Arc::new(state));
        }
        let state = self.data.services.get_mut(&id).expect("it is stored by now");
        let state = Arc::make_mut(state);
        state.revision = work.index;
        fit_endpoints(state, &spec, at);
        state.spec = spec;
        work.touch(&id, Touch::Declared);
    }
}

/// Keeps what was learnt about endpoints and checks that are declared as before, forgets the rest.
fn fit_endpoints(state: &mut ServiceState, spec: &Service, at: Timestamp) {
    let old = state.spec.clone();
    let declared: BTreeMap<&EndpointName, &Endpoint> =
        old.endpoints().map(|(_, endpoint)| (&endpoint.name, endpoint)).collect();
    let same_checks = old.checks == spec.checks;
    let mut known = core::mem::take(&mut state.endpoints);
    for (_, endpoint) in spec.endpoints() {
        let before = declared.get(&endpoint.name);
        let learnt = known.remove(&endpoint.name);
        let after = match learnt {
            Some(learnt) if same_checks && before == Some(&endpoint) => learnt,
            learnt => fit_endpoint(learnt, spec, endpoint, at),
        };
        state.endpoints.insert(endpoint.name.clone(), after);
        if before.is_some_and(|before| is_elsewhere(before, endpoint)) {
            state.automatic.admission.remove(&endpoint.name);
        }
    }
    let endpoints = &state.endpoints;
    state.automatic.admission.retain(|name, _| endpoints.contains_key(name));
}

/// Keeps the opinions on checks that are asked as before. The verdict over all checks is counted anew by `judge`.
fn fit_endpoint(
    learnt: Option<EndpointState>,
    spec: &Service,
    endpoint: &Endpoint,
    at: Timestamp,
) -> EndpointState {
    let mut learnt = learnt.unwrap_or(EndpointState { since: at, ..EndpointState::default() });
    let mut checks = BTreeMap::new();
    for check in &spec.checks {
        let fingerprint = fingerprint(endpoint, check);
        let state =
            learnt.checks.remove(&check.name).filter(|state| state.fingerprint == fingerprint);
        let fresh = CheckState { fingerprint, ..CheckState::default() };
        checks.insert(check.name.clone(), state.unwrap_or(fresh));
    }
    EndpointState { verdict: learnt.verdict, since: learnt.since, checks }
}

/// Whether an endpoint is reached elsewhere than before: then it has yet to be found up.
fn is_elsewhere(before: &Endpoint, endpoint: &Endpoint) -> bool {
    before.address != endpoint.address || before.port != endpoint.port
}
