//! Response rate limiting: what keeps this server from being a mirror for forged queries.
//!
//! ```text
//! client's /24 or /56 ─┬─ with the name, or for what does not exist its zone ─▶ replies per second
//!                      ├─ alone ──────────────────────────────────────────────▶ replies per second, over all names
//!                      └─ alone ──────────────────────────────────────────────▶ bytes per second beyond 1.5 × the query
//! ```
//!
//! Each is a token bucket that holds one second's worth. What is beyond a bucket is dropped, but for every second reply,
//! which goes out cut (TC) or as BADCOOKIE: a real client then comes back over TCP or with a cookie, and is not limited.
//! What is beyond the third is cut. So a flood is answered with at most 1.5 times its bytes and a constant.
//!
//! A table belongs to one thread: no lock, no allocation, and a fixed size, whatever comes. Where it is full the bucket
//! that rested longest is forgotten, which only ever lets more through. Its hash is keyed at random: who finds names that
//! collide fills a set with them, as any names fill the table.
//!
//! What it deliberately does not decide: who is exempt for a valid cookie or for his transport (`respond`).

use std::hash::{BuildHasher as _, Hasher as _};
use std::net::IpAddr;

use foldhash::quality::SeedableRandomState;
use holdfast_core::spec::Prefix;
use tokio::time::Instant;

use crate::keys;
use crate::table::hash_of;

/// Sets of buckets in a table; 2^13 of four, which are 512 KiB.
const SETS: usize = 1 << 13;
/// Buckets in a set: a line of the cache.
const WAYS: usize = 4;
/// All names together have this many times the replies of one.
const NAMES: u32 = 20;
/// Bytes per second that a prefix gets beyond one and a half times its queries.
const SURPLUS: u32 = 32 << 10;
/// The clock's start, so that a bucket never used has rested longest.
const START: u32 = 1 << 31;
/// The class of answers to a name.
const NAME: u8 = 0;
/// The most replies per second that can be configured.
pub(crate) const MAX_RATE: u32 = 100_000;

/// How replies over UDP are limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Replies per second to one client prefix (IPv4 /24, IPv6 /56) for one name; 0 sets no limit of any kind, and at
    /// most 100,000.
    pub per_prefix: u32,
    /// Who is not limited; at most 64.
    pub exempt: Vec<Prefix>,
}

impl Default for RateLimit {
    fn default() -> Self {
        let loopback = [
            Prefix { address: IpAddr::from([127, 0, 0, 0]), length: 8 },
            Prefix { address: IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), length: 128 },
        ];
        Self { per_prefix: 200, exempt: loopback.to_vec() }
    }
}

/// What a reply is counted under, beside the client's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// An answer, under its name in any case.
    Name(&'a [u8]),
    /// A name that does not exist, under its zone or whatever is above it.
    Missing(&'a [u8]),
    /// An error.
    Failure,
}

/// What becomes of a reply that is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limited {
    /// As little is sent as makes a real client come back.
    Cut,
    /// Nothing is sent.
    Dropped,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    tag: u32,
    /// When last looked at, in milliseconds.
    at: u32,
    /// Thousandths of a token.
    tokens: u32,
    refused: u32,
}

/// The buckets of one thread.
#[derive(Debug)]
pub(crate) struct Limiter {
    sets: Box<[[Bucket; WAYS]]>,
    keys: SeedableRandomState,
    exempt: Vec<Prefix>,
    rates: Rates,
    made: Instant,
    now: u32,
    scratch: [u8; 255],
}

#[derive(Debug, Clone, Copy)]
struct Rates {
    name: u32,
    prefix: u32,
    surplus: u32,
}

impl Limiter {
    /// Makes the table of one of `threads` among which the kernel spreads clients; `None` if nothing is limited.
    pub(crate) fn new(config: &RateLimit, threads: usize) -> Option<Self> {
        // At most 64.
        let threads = threads.max(1) as u32;
        let share = |rate: u32| rate.div_ceil(threads);
        let name = config.per_prefix.min(MAX_RATE);
        let rates =
            Rates { name: share(name), prefix: share(name * NAMES), surplus: share(SURPLUS) };
        (name > 0).then(|| Self {
            sets: vec![[Bucket::default(); WAYS]; SETS].into_boxed_slice(),
            keys: keys::random(),
            exempt: config.exempt.clone(),
            rates,
            made: Instant::now(),
            now: START,
            scratch: [0; 255],
        })
    }

    /// Looks at the clock; once for a batch.
    pub(crate) fn tick(&mut self) {
        // Wraps after 49 days, which a bucket does not notice.
        self.now = START.wrapping_add(self.made.elapsed().as_millis() as u32);
    }

    /// Counts a reply to a client. Errors: what becomes of it instead.
    pub(crate) fn admit(&mut self, client: IpAddr, subject: Subject<'_>) -> Result<(), Limited> {
        let (class, name): (u8, &[u8]) = match subject {
            Subject::Name(name) => (NAME, name),
            Subject::Missing(zone) => (1, zone),
            Subject::Failure => (2, &[]),
        };
        let prefix = prefix_of(client);
        let key = self.key(prefix, class, name);
        let all = self.key(prefix, 3, &[]);
        let taken =
            self.take(key, self.rates.name, 1).and_then(|()| self.take(all, self.rates.prefix, 1));
        self.unless_exempt(client, taken)
    }

    /// Counts what a reply has beyond one and a half times its query. Errors: it is cut.
    pub(crate) fn weigh(
        &mut self,
        client: IpAddr,
        query: usize,
        reply: usize,
    ) -> Result<(), Limited> {
        let surplus = reply.saturating_sub(query + query / 2);
        if surplus == 0 {
            return Ok(());
        }
        let key = self.key(prefix_of(client), 4, &[]);
        // A reply over UDP has at most 1,232 bytes.
        let taken = self.take(key, self.rates.surplus, surplus as u32);
        self.unless_exempt(client, taken.map_err(|_| Limited::Cut))
    }

    fn unless_exempt(&self, client: IpAddr, taken: Result<(), Limited>) -> Result<(), Limited> {
        let exempt = || self.exempt.iter().any(|prefix| prefix.contains(client));
        taken.or_else(|limited| if exempt() { Ok(()) } else { Err(limited) })
    }

    fn key(&mut self, prefix: u64, class: u8, name: &[u8]) -> u64 {
        let lower = &mut self.scratch[..name.len()];
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let hash = hash_of(lower);
        self.key_of(prefix, class, hash)
    }

    fn key_of(&self, prefix: u64, class: u8, name_hash: u64) -> u64 {
        let mut hasher = self.keys.build_hasher();
        hasher.write_u64(prefix);
        hasher.write_u8(class);
        hasher.write_u64(name_hash);
        hasher.finish()
    }

    /// A look at the bucket of a client's answers under the name of this hash, in lower case.
    pub(crate) fn visit(&self, client: IpAddr, name_hash: u64) -> u32 {
        let key = self.key_of(prefix_of(client), NAME, name_hash);
        self.sets[key as usize % SETS][0].tag
    }

    fn take(&mut self, key: u64, rate: u32, cost: u32) -> Result<(), Limited> {
        let set = &mut self.sets[key as usize % SETS];
        let (tag, now) = ((key >> 32) as u32, self.now);
        let full = rate * 1000;
        let known = set.iter().position(|bucket| bucket.tag == tag);
        let place = known.unwrap_or_else(|| {
            let rested = |place: &usize| (now.wrapping_sub(set[*place].at), set[*place].tokens);
            let place = (0..WAYS).max_by_key(rested).unwrap_or(0);
            set[place] = Bucket { tag, at: now, tokens: full, refused: 0 };
            place
        });
        let bucket = &mut set[place];
        let came = u64::from(now.wrapping_sub(bucket.at)) * u64::from(rate);
        // At most `full`, which has 32 bits.
        bucket.tokens = (u64::from(bucket.tokens) + came).min(u64::from(full)) as u32;
        bucket.at = now;
        if let Some(left) = bucket.tokens.checked_sub(cost * 1000) {
            bucket.tokens = left;
            return Ok(());
        }
        bucket.refused = bucket.refused.wrapping_add(1);
        let cut = bucket.refused.is_multiple_of(2);
        Err(if cut { Limited::Cut } else { Limited::Dropped })
    }
}

/// An IPv4 /24 or IPv6 /56, told apart.
pub(crate) fn prefix_of(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(client) => u64::from(client.to_bits() >> 8),
        // No IPv6 source lies in ::/8, so the first byte is never that of an IPv4 prefix.
        IpAddr::V6(client) => (client.to_bits() >> 64) as u64 & !0xff,
    }
}

#[cfg(test)]
mod tests;
