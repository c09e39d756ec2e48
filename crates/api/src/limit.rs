//! How often a client may ask: one token bucket per client, in a bounded map.
//!
//! A bucket that has had time to fill up again says nothing and can be forgotten, so a full map first drops those.
//! When even that leaves no room, clients that are not in the map share one bucket: many names do not buy one client
//! many rates.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::CLIENTS;

/// The most clients whose rate is kept one by one.
const MAX_CLIENTS: usize = 10_000;
/// The bucket of everybody else.
const OTHERS: &str = "";

/// What a client may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Requests per second in the long run; at least 1.
    pub(crate) per_second: u32,
    /// Requests at once; at least 1.
    pub(crate) burst: u32,
}

/// A token bucket per client.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Rate,
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

/// When a bucket would be empty if it were filled without end: one number holds the whole state.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    empty_at: Instant,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        let rate = Rate { per_second: rate.per_second.max(1), burst: rate.burst.max(1) };
        Self { rate, buckets: Mutex::new(BTreeMap::new()) }
    }

    /// Takes a token of `client`. Errors: there is none; how long until there is one.
    pub(crate) fn take(&self, client: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = client;
        if !buckets.contains_key(client) && buckets.len() >= MAX_CLIENTS {
            buckets.retain(|_, bucket| bucket.empty_at > now);
            if buckets.len() >= MAX_CLIENTS {
                client = OTHERS;
            }
        }
        let token = Duration::from_secs(1) / self.rate.per_second;
        let full = token * self.rate.burst;
        let bucket = buckets.entry(client.to_owned()).or_insert(Bucket { empty_at: now });
        let spent_until = bucket.empty_at.max(now) + token;
        metrics::gauge!(CLIENTS).set(buckets_len(buckets.len()));
        let bucket = buckets.get_mut(client).expect("it was inserted above");
        let ahead = spent_until.duration_since(now);
        if ahead > full {
            return Err(ahead - full);
        }
        bucket.empty_at = spent_until;
        Ok(())
    }
}

fn buckets_len(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_second: u32, burst: u32) -> Limiter {
        Limiter::new(Rate { per_second, burst })
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate_holds() {
        let limiter = limiter(10, 3);
        let start = Instant::now();
        let taken = (0..5).filter(|_| limiter.take("a", start).is_ok()).count();
        assert_eq!(taken, 3);
        let wait = limiter.take("a", start).expect_err("the bucket is empty");
        assert_eq!(wait, Duration::from_millis(100));
        assert!(limiter.take("a", start + wait).is_ok());
        assert!(limiter.take("a", start + wait).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn clients_do_not_spend_each_others_tokens() {
        let limiter = limiter(1, 1);
        let now = Instant::now();
        assert!(limiter.take("a", now).is_ok());
        assert!(limiter.take("b", now).is_ok());
        assert!(limiter.take("a", now).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_map_is_bounded_and_newcomers_share() {
        let limiter = limiter(1, 1);
        let now = Instant::now();
        for i in 0..MAX_CLIENTS {
            assert!(limiter.take(&format!("client-{i}"), now).is_ok());
        }
        assert!(limiter.take("late", now).is_ok());
        assert!(limiter.take("later", now).is_err(), "the shared bucket is empty");
        let size = || limiter.buckets.lock().expect("not poisoned").len();
        assert!(size() <= MAX_CLIENTS + 1);
        let rested = now + Duration::from_secs(2);
        assert!(limiter.take("later", rested).is_ok());
        assert!(size() < MAX_CLIENTS, "buckets that are full again are dropped");
    }
}
