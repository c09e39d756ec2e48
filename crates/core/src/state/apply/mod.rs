//! One command per file. Each checks first and changes after, so that a rejection leaves nothing behind.

mod admit_agent;
mod begin_term;
mod change_settings;
mod change_signing;
mod clear_override;
mod delete_service;
mod delete_zone;
mod deregister_endpoint;
mod names;
mod pause;
mod raise_logic_version;
mod record_convergence;
mod record_heartbeats;
mod record_observations;
mod record_zone_copy;
mod register_endpoint;
mod remove_agent;
mod request_membership;
mod resume;
mod service;
mod set_override;
mod silence_observer;
mod tsig_keys;
mod update_zone;
mod zone;

use alloc::string::{String, ToString};
use core::time::Duration;

use super::State;
use crate::command::{Rejection, Reply};
use crate::id::ServiceId;
use crate::state::ServiceState;

/// The longest that an order may last; what lasts longer belongs in the declaration.
const LONGEST_ORDER: Duration = Duration::from_secs(30 * 86_400);
/// The longest reason, in bytes.
const LONGEST_REASON: usize = 500;

/// What a declaration that is possible comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// The revision that is stored before it; 0 where nothing is.
    pub revision: u64,
    /// Whether it differs from what is stored.
    pub changed: bool,
}

impl From<Declared> for Reply {
    fn from(Declared { revision, changed }: Declared) -> Self {
        Self::Stored { revision, changed }
    }
}

/// Says whether an order has a reason and a possible duration.
fn check_order(reason: &str, lasting: Duration) -> Result<(), Rejection> {
    let invalid = |text: &str| Err(Rejection::InvalidOrder(text.to_string()));
    if reason.trim().is_empty() {
        return invalid("an order needs a reason: whoever is on call next must know why");
    }
    if reason.len() > LONGEST_REASON {
        return invalid("the reason is longer than 500 bytes");
    }
    if lasting < Duration::from_secs(1) || lasting > LONGEST_ORDER {
        return invalid(
            "an order must last 1s to 30d; what lasts longer belongs in the declaration",
        );
    }
    Ok(())
}

fn not_found(kind: &str, name: impl ToString) -> Rejection {
    Rejection::NotFound { kind: String::from(kind), name: name.to_string() }
}

/// Says whether the stored revision is the one that the request expects; 0 stands for "not stored".
fn check_revision(
    name: impl ToString,
    expected: Option<u64>,
    stored: u64,
) -> Result<(), Rejection> {
    match expected {
        Some(expected) if expected != stored => {
            Err(Rejection::StaleRevision { name: name.to_string(), expected, stored })
        }
        _ => Ok(()),
    }
}

impl State {
    fn service(&self, id: &ServiceId) -> Result<&ServiceState, Rejection> {
        self.data.services.get(id).map(|state| &**state).ok_or_else(|| not_found("service", id))
    }

    /// An opinion of a leader counts only while no later leader has begun.
    fn check_term(&self, term: u64) -> Result<(), Rejection> {
        match self.data.term {
            Some((latest, _)) if term < latest => Err(Rejection::Superseded(alloc::format!(
                "term {term} is over, term {latest} has begun"
            ))),
            _ => Ok(()),
        }
    }
}
