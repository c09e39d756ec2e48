//! When a target is probed: at a fixed rate, at a phase and with a jitter that follow from the target and the agent.
//!
//! The phase spreads the targets of one agent over the interval, and the agents of one target against each other.
//! Nothing here is random, so that a simulation of one seed is always the same.

use std::time::Duration;

use holdfast_core::AgentName;
use holdfast_core::observation::Target;
use tokio::time::Instant;

/// The first probe of a new target comes within this, or within its interval if that is shorter.
const FIRST_WITHIN: Duration = Duration::from_secs(1);
/// The jitter is below this fraction of the interval.
const JITTER: u64 = 20;

/// The grid of one target's probes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhythm {
    origin: Instant,
    seed: u64,
    interval: Duration,
}

impl Rhythm {
    pub(crate) fn new(origin: Instant, seed: u64, interval: Duration) -> Self {
        Self { origin, seed, interval: interval.max(Duration::from_millis(1)) }
    }

    pub(crate) fn retuned(self, interval: Duration) -> Self {
        Self::new(self.origin, self.seed, interval)
    }

    /// When the first probe of a target is due that is known since `now`.
    pub(crate) fn first(&self, now: Instant) -> Instant {
        now + part(self.seed, self.interval.min(FIRST_WITHIN))
    }

    /// The first point of the grid after `now`.
    pub(crate) fn after(&self, now: Instant) -> Instant {
        let phase = part(self.seed, self.interval);
        let elapsed = now.saturating_duration_since(self.origin);
        let interval = nanos(self.interval);
        let turn = elapsed.checked_sub(phase).map_or(0, |past| nanos(past) / interval + 1);
        let jitter = Duration::from_nanos(mix(self.seed ^ turn) % (interval / JITTER).max(1));
        self.origin + phase + Duration::from_nanos(interval.saturating_mul(turn)) + jitter
    }

    /// When the probe that follows the one due at `due` comes, asked at `now`: points that were missed are left
    /// out, never made up for in a burst.
    pub(crate) fn following(&self, due: Instant, now: Instant) -> Instant {
        let next = self.after(due);
        if next + self.interval / 2 <= now { self.after(now) } else { next.max(now) }
    }
}

/// A number that follows from target and agent (FNV-1a, then mixed so that close names lie apart).
pub(crate) fn seed(target: &Target, agent: &AgentName) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let text = format!("{target}@{agent}");
    mix(text.bytes().fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME)))
}

/// The finalizer of splitmix64 (Steele, Lea and Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn part(seed: u64, of: Duration) -> Duration {
    Duration::from_nanos(seed % nanos(of).max(1))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_core::{CheckName, EndpointName, ServiceId};

    fn target(n: usize) -> Target {
        Target {
            service: ServiceId::new("shop").expect("valid"),
            endpoint: EndpointName::new(&format!("e{n}")).expect("valid"),
            check: CheckName::new("http").expect("valid"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_the_rate_whatever_a_probe_takes() {
        let origin = Instant::now();
        let interval = Duration::from_secs(1);
        let rhythm = Rhythm::new(origin, 12_345_678_901, interval);
        let mut due = rhythm.first(origin);
        for turn in 1..1000_u32 {
            let finished = due + Duration::from_millis(u64::from(turn % 10) * 99);
            let next = rhythm.following(due, finished);
            assert!(next > due && next >= finished);
            due = next;
        }
        let rate = (due - origin).as_secs_f64() / 999.0;
        assert!((0.99..1.01).contains(&rate), "one probe per {rate} s");
    }

    #[tokio::test(start_paused = true)]
    async fn missed_probes_are_left_out() {
        let origin = Instant::now();
        let rhythm = Rhythm::new(origin, 7, Duration::from_secs(1));
        let due = rhythm.after(origin);
        let resumed = due + Duration::from_secs(100);
        let next = rhythm.following(due, resumed);
        assert!(next > resumed && next <= resumed + Duration::from_millis(1100));
    }

    #[test]
    fn phases_are_spread_and_repeatable() {
        let agents: Vec<_> =
            ["a", "b", "c"].map(|name| AgentName::new(name).expect("valid")).to_vec();
        let mut buckets = [0; 10];
        for agent in &agents {
            for n in 0..1000 {
                let seed = seed(&target(n), agent);
                assert_eq!(seed, super::seed(&target(n), agent));
                buckets[part(seed, Duration::from_secs(10)).as_secs() as usize] += 1;
            }
        }
        assert!(buckets.iter().all(|count| (240..360).contains(count)), "{buckets:?}");
    }
}
