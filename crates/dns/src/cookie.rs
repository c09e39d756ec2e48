//! DNS cookies (RFC 7873) in the form that servers of all makers share (RFC 9018).
//!
//! ```text
//! server cookie = version 1 ‖ reserved ‖ time ‖ SipHash-2-4(client cookie ‖ version ‖ reserved ‖ time ‖ address)
//! ```
//!
//! A valid cookie proves that its sender has received a packet at the address it claims: such a client is not limited.
//! Nothing is remembered of clients. The agents of a cluster, and servers of other makers beside them, accept each
//! other's cookies if they have a secret in common.
//!
//! To change the secret without a cookie refused: add the new one behind the old everywhere, then put it in front
//! everywhere, then take the old one out an hour later. The first secret makes cookies, all of them are accepted.
//!
//! What it deliberately does not do: refuse anything. What an invalid cookie costs is decided by `respond`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use holdfast_core::seam::Clock;
use siphasher::sip::SipHasher24;

use crate::opt::{Cookie, ServerCookie};
use crate::reply_opt::COOKIE;

/// The most secrets at a time.
pub const MAX_SECRETS: usize = 4;

const VERSION: u8 = 1;
/// How old a cookie may be, in seconds (RFC 9018, 4.3).
const MAX_AGE: i32 = 3600;
/// How far ahead of our clock the one may be that made a cookie, in seconds (RFC 9018, 4.3).
const MAX_AHEAD: i32 = 300;
/// A valid cookie older than this is replaced by a new one (RFC 9018, 4.3), as is one of a secret that makes no more.
const RENEWED_AFTER: i32 = 1800;

/// A secret that cookies are made with: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CookieSecret([u8; 16]);

impl CookieSecret {
    /// Makes a secret of 128 bits, which must be random and known to the servers of one cluster alone.
    pub fn new(bits: [u8; 16]) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for CookieSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieSecret(…)")
    }
}

/// Why a text is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cookie secret is 32 hexadecimal digits; `openssl rand -hex 16` makes one")]
pub struct CookieSecretError;

impl FromStr for CookieSecret {
    type Err = CookieSecretError;

    fn from_str(text: &str) -> Result<Self, CookieSecretError> {
        let is_hex = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let bits = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
        bits.map(|bits| Self(bits.to_be_bytes())).ok_or(CookieSecretError)
    }
}

/// Makes and judges cookies. Clones share the clock and the secrets.
#[derive(Clone)]
pub struct Cookies {
    secrets: Arc<[CookieSecret]>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").field("secrets", &self.secrets).finish_non_exhaustive()
    }
}

/// What a cookie is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The client has no server cookie yet.
    New,
    /// Not made by us for this client, or too long ago.
    Invalid,
    Valid,
}

/// A cookie that was judged, and the one that the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) standing: Standing,
    pub(crate) told: [u8; COOKIE],
}

impl Cookies {
    /// Makes cookies with the first secret and accepts those of all; at most [`MAX_SECRETS`] are used, and without any
    /// no cookie is ever valid.
    pub fn new(secrets: &[CookieSecret], clock: Arc<dyn Clock>) -> Self {
        Self { secrets: secrets.iter().take(MAX_SECRETS).copied().collect(), clock }
    }

    /// Judges a client's cookie.
    pub(crate) fn judge(&self, cookie: Cookie, client: IpAddr) -> Judged {
        // The low 32 bits of seconds, compared by serial arithmetic (RFC 9018, 4.3).
        let now = (self.clock.now().0 / 1000) as u32;
        let ServerCookie::Presented(server) = cookie.server else {
            let absent = cookie.server == ServerCookie::Absent;
            let standing = if absent { Standing::New } else { Standing::Invalid };
            return Judged { standing, told: self.told(cookie.client, client, now) };
        };
        let [version, _, _, _, time @ .., _, _, _, _, _, _, _, _] = server;
        let age = now.wrapping_sub(u32::from_be_bytes(time)) as i32;
        let in_time = version == VERSION && (-MAX_AHEAD..=MAX_AGE).contains(&age);
        let made_with = self.made_with(cookie.client, client, server).filter(|_| in_time);
        let standing = if made_with.is_some() { Standing::Valid } else { Standing::Invalid };
        let told = if made_with == Some(0) && age <= RENEWED_AFTER {
            joined(cookie.client, server)
        } else {
            self.told(cookie.client, client, now)
        };
        Judged { standing, told }
    }

    fn told(&self, client_cookie: [u8; 8], client: IpAddr, now: u32) -> [u8; COOKIE] {
        let mut head = [VERSION, 0, 0, 0, 0, 0, 0, 0];
        head[4..].copy_from_slice(&now.to_be_bytes());
        let secret = self.secrets.first().copied().unwrap_or(CookieSecret([0; 16]));
        let mut server = [0; 16];
        server[..8].copy_from_slice(&head);
        server[8..].copy_from_slice(&secret.hash(client_cookie, head, client));
        joined(client_cookie, server)
    }

    /// Which of the secrets a cookie was made with.
    fn made_with(&self, client_cookie: [u8; 8], client: IpAddr, server: [u8; 16]) -> Option<usize> {
        let [head, hash] = [0, 8].map(|at| std::array::from_fn(|byte| server[at + byte]));
        self.secrets.iter().position(|secret| {
            // Compared as a whole, so that the time taken tells nothing of where they differ.
            let made = secret.hash(client_cookie, head, client);
            u64::from_ne_bytes(made) == u64::from_ne_bytes(hash)
        })
    }
}

impl CookieSecret {
    fn hash(&self, client_cookie: [u8; 8], head: [u8; 8], client: IpAddr) -> [u8; 8] {
        let mut hashed = [0; 32];
        hashed[..8].copy_from_slice(&client_cookie);
        hashed[8..16].copy_from_slice(&head);
        let length = match client.to_canonical() {
            IpAddr::V4(client) => {
                hashed[16..20].copy_from_slice(&client.octets());
                20
            }
            IpAddr::V6(client) => {
                hashed[16..].copy_from_slice(&client.octets());
                32
            }
        };
        SipHasher24::new_with_key(&self.0).hash(&hashed[..length]).to_le_bytes()
    }
}

fn joined(client: [u8; 8], server: [u8; 16]) -> [u8; COOKIE] {
    let mut joined = [0; COOKIE];
    joined[..8].copy_from_slice(&client);
    joined[8..].copy_from_slice(&server);
    joined
}

#[cfg(test)]
mod tests;
