//! Settings of the whole group, replicated so that every replica decides by the same ones.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the whole group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// No automatic move for this long after a leader took office: its observers report first; at most 10 min.
    pub warm_up: Duration,
    /// At most this many automatic moves of all services per `window`; 1–10000, `None` is without bound.
    pub max_moves: Option<u32>,
    /// The window of `max_moves`; 1 s – 1 day.
    pub window: Duration,
}

impl Settings {
    /// The longest warm-up; a longer one would be a pause without a name and a reason.
    pub const LONGEST_WARM_UP: Duration = Duration::from_secs(600);
    /// The longest window.
    pub const LONGEST_WINDOW: Duration = Duration::from_secs(86_400);
    /// The largest budget, and so the most moves that are remembered.
    pub const MOST_MOVES: usize = 10_000;
}

impl Default for Settings {
    fn default() -> Self {
        Self { warm_up: Duration::from_secs(1), max_moves: None, window: Duration::from_secs(60) }
    }
}
