//! Settings of the whole group, replicated so that every replica decides by the same ones.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounds::within;
use super::{SpecError, spec_error};
use crate::ttl::FLOOR;

/// Settings of the whole group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// No automatic move for this long after a leader took office: its observers report first; at most 10 min.
    pub warm_up: Duration,
    /// At most this many automatic moves of all services per `window`; 1–10000, `None` is without bound.
    pub max_moves: Option<u32>,
    /// The window of `max_moves`; 1 s – 1 day.
    pub window: Duration,
    /// No service is answered with a shorter TTL, whatever is declared or ordered; 1 s – 5 min.
    pub ttl_floor: Duration,
}

impl Settings {
    /// The longest warm-up; a longer one would be a pause without a name and a reason.
    pub const LONGEST_WARM_UP: Duration = Duration::from_secs(600);
    /// The longest window.
    pub const LONGEST_WINDOW: Duration = Duration::from_secs(86_400);
    /// The largest budget, and so the most moves that are remembered.
    pub const MOST_MOVES: usize = 10_000;
    /// The highest floor; with a higher one clients would follow no failover in useful time.
    pub const HIGHEST_FLOOR: Duration = Duration::from_secs(300);

    /// Says whether these settings are possible. Errors: the first that is not, with what would be right.
    pub fn validate(&self) -> Result<(), SpecError> {
        let second = Duration::from_secs(1);
        within("warm_up", self.warm_up, (Duration::ZERO, Self::LONGEST_WARM_UP))?;
        within("window", self.window, (second, Self::LONGEST_WINDOW))?;
        within("ttl_floor", self.ttl_floor, (second, Self::HIGHEST_FLOOR))?;
        if self.max_moves.is_some_and(|max| max == 0 || max as usize > Self::MOST_MOVES) {
            let problem = "must be 1 to 10000; to stop all automatic moves, pause";
            return Err(spec_error("max_moves", problem));
        }
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            warm_up: Duration::from_secs(1),
            max_moves: None,
            window: Duration::from_secs(60),
            ttl_floor: FLOOR,
        }
    }
}

/// What is to be changed in the settings; what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsChange {
    /// See [`Settings::warm_up`].
    pub warm_up: Option<Duration>,
    /// See [`Settings::max_moves`]; `Some(None)` takes the bound away.
    pub max_moves: Option<Option<u32>>,
    /// See [`Settings::window`].
    pub window: Option<Duration>,
    /// See [`Settings::ttl_floor`].
    pub ttl_floor: Option<Duration>,
}

impl SettingsChange {
    /// The settings that it makes of others.
    pub fn applied_to(&self, settings: &Settings) -> Settings {
        Settings {
            warm_up: self.warm_up.unwrap_or(settings.warm_up),
            max_moves: self.max_moves.unwrap_or(settings.max_moves),
            window: self.window.unwrap_or(settings.window),
            ttl_floor: self.ttl_floor.unwrap_or(settings.ttl_floor),
        }
    }
}
