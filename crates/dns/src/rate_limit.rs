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
//! Its two tables belong to one thread: no lock, no allocation, and a fixed size, whatever comes. Where one is full the bucket
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

/// Sets of buckets for names: 512 KiB.
const NAME_SETS: usize = 1 << 13;
/// Buckets in one of them.
const NAME_WAYS: usize = 4;
/// Sets of buckets for prefixes: 256 KiB.
const PREFIX_SETS: usize = 1 << 12;
/// Buckets in one of them.
const PREFIX_WAYS: usize = 3;
/// All names together have this many times the replies of one.
const NAMES: u32 = 20;
/// Bytes per second that a prefix gets beyond one and a half times its queries.
const SURPLUS: u32 = 32 << 10;
/// The clock's start, so that a bucket never used has rested longest.
const START: u32 = 1 << 31;
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

/// What a reply is counted under, beside the client's prefix. Names stand for themselves by their hash in lower case
/// ([`hash_of`](crate::table::hash_of)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// An answer, under its name.
    Name(u64),
    /// A name that does not exist, under its zone.
    Missing(u64),
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

/// What is left of some kinds of tokens.
#[derive(Debug, Clone, Copy)]
struct Bucket<const KINDS: usize> {
    tag: u32,
    /// When last looked at, in milliseconds.
    at: u32,
    /// Thousandths of a token.
    tokens: [u32; KINDS],
    /// Replies that were refused.
    refused: u32,
}

impl<const KINDS: usize> Bucket<KINDS> {
    const UNUSED: Self = Self { tag: 0, at: 0, tokens: [0; KINDS], refused: 0 };

    /// Adds what came since it was last looked at.
    fn fill(&mut self, rates: [u32; KINDS], now: u32) {
        let passed = u64::from(now.wrapping_sub(self.at));
        self.at = now;
        for (tokens, rate) in self.tokens.iter_mut().zip(rates) {
            let came = passed * u64::from(rate);
            // At most what fills it, which has 32 bits.
            *tokens = (u64::from(*tokens) + came).min(u64::from(rate) * 1000) as u32;
        }
    }

    /// Takes tokens of a kind; false where there are too few.
    fn take(&mut self, kind: usize, cost: u32) -> bool {
        let left = self.tokens[kind].checked_sub(cost * 1000);
        self.tokens[kind] = left.unwrap_or(self.tokens[kind]);
        left.is_some()
    }

    /// Takes one reply.
    fn admit(&mut self) -> Result<(), Limited> {
        if self.take(REPLIES, 1) {
            return Ok(());
        }
        self.refused = self.refused.wrapping_add(1);
        let cut = self.refused.is_multiple_of(2);
        Err(if cut { Limited::Cut } else { Limited::Dropped })
    }
}

/// The buckets among which a key finds its own: a line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Set<const KINDS: usize, const WAYS: usize>([Bucket<KINDS>; WAYS]);

#[derive(Debug)]
struct Buckets<const KINDS: usize, const WAYS: usize> {
    sets: Box<[Set<KINDS, WAYS>]>,
    /// Tokens per second of each kind.
    rates: [u32; KINDS],
}

impl<const KINDS: usize, const WAYS: usize> Buckets<KINDS, WAYS> {
    fn new(sets: usize, rates: [u32; KINDS]) -> Self {
        assert!(sets.is_power_of_two());
        let unused = Set([Bucket::UNUSED; WAYS]);
        Self { sets: vec![unused; sets].into_boxed_slice(), rates }
    }

    fn place(&self, key: u64) -> usize {
        key as usize & (self.sets.len() - 1)
    }

    /// The bucket of a key, as it is at this moment.
    fn of(&mut self, key: u64, now: u32) -> &mut Bucket<KINDS> {
        let place = self.place(key);
        let (Set(set), tag) = (&mut self.sets[place], (key >> 32) as u32);
        let known = set.iter().position(|bucket| bucket.tag == tag);
        let place = known.unwrap_or_else(|| {
            let rested = |place: &usize| (now.wrapping_sub(set[*place].at), set[*place].tokens);
            let place = (0..WAYS).max_by_key(rested).unwrap_or(0);
            let tokens = self.rates.map(|rate| rate * 1000);
            set[place] = Bucket { tag, at: now, tokens, refused: 0 };
            place
        });
        set[place].fill(self.rates, now);
        &mut set[place]
    }
}

/// The kinds of tokens that a prefix has.
const REPLIES: usize = 0;
const SURPLUS_BYTES: usize = 1;

/// The buckets of one thread.
#[derive(Debug)]
pub(crate) struct Limiter {
    names: Buckets<1, NAME_WAYS>,
    prefixes: Buckets<2, PREFIX_WAYS>,
    keys: SeedableRandomState,
    exempt: Vec<Prefix>,
    made: Instant,
    now: u32,
}

impl Limiter {
    /// Makes the table of one of `threads` among which the kernel spreads clients; `None` if nothing is limited.
    pub(crate) fn new(config: &RateLimit, threads: usize) -> Option<Self> {
        // At most 64.
        let threads = threads.max(1) as u32;
        let share = |rate: u32| rate.div_ceil(threads);
        let name = config.per_prefix.min(MAX_RATE);
        (name > 0).then(|| Self {
            names: Buckets::new(NAME_SETS, [share(name)]),
            prefixes: Buckets::new(PREFIX_SETS, [share(name * NAMES), share(SURPLUS)]),
            keys: keys::random(),
            exempt: config.exempt.clone(),
            made: Instant::now(),
            now: START,
        })
    }

    /// Looks at the clock; once for a batch.
    pub(crate) fn tick(&mut self) {
        // Wraps after 49 days, which a bucket does not notice.
        self.now = START.wrapping_add(self.made.elapsed().as_millis() as u32);
    }

    /// Counts a reply to a client. Errors: what becomes of it instead.
    pub(crate) fn admit(&mut self, client: IpAddr, subject: Subject) -> Result<(), Limited> {
        let prefix = prefix_of(client);
        let of_name = self.names.of(self.key(prefix, subject), self.now).admit();
        let taken = of_name.and_then(|()| self.prefix(prefix).admit());
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
        // A reply over UDP has at most 1,232 bytes.
        let taken = self.prefix(prefix_of(client)).take(SURPLUS_BYTES, surplus as u32);
        self.unless_exempt(client, if taken { Ok(()) } else { Err(Limited::Cut) })
    }

    fn unless_exempt(&self, client: IpAddr, taken: Result<(), Limited>) -> Result<(), Limited> {
        let exempt = || self.exempt.iter().any(|prefix| prefix.contains(client));
        taken.or_else(|limited| if exempt() { Ok(()) } else { Err(limited) })
    }

    fn prefix(&mut self, prefix: u64) -> &mut Bucket<2> {
        let mut hasher = self.keys.build_hasher();
        hasher.write_u64(prefix);
        self.prefixes.of(hasher.finish(), self.now)
    }

    fn key(&self, prefix: u64, subject: Subject) -> u64 {
        // That one hash is another's complement, or zero, is as rare as that two are the same.
        let subject = match subject {
            Subject::Name(name) => name,
            Subject::Missing(zone) => !zone,
            Subject::Failure => 0,
        };
        let mut hasher = self.keys.build_hasher();
        hasher.write_u64(prefix);
        hasher.write_u64(subject);
        hasher.finish()
    }

    /// A look at the bucket of a client's answers under the name of this hash.
    pub(crate) fn visit(&self, client: IpAddr, name: u64) -> u32 {
        let key = self.key(prefix_of(client), Subject::Name(name));
        self.names.sets[self.names.place(key)].0[0].tag
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
