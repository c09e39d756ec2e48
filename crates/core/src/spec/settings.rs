//! Settings of the whole group, replicated so that every replica decides by the same ones.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the whole group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// No automatic move for this long after a leader took office: its observers report first.
    pub warm_up: Duration,
    /// At most this many automatic moves of all services per `window`; `None` is without bound.
    pub max_moves: Option<u32>,
    /// The window of `max_moves`.
    pub window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { warm_up: Duration::from_secs(1), max_moves: None, window: Duration::from_secs(60) }
    }
}
