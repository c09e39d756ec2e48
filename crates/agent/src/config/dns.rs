//! The keys of `[dns]` that say what stands between the open internet and an answer: cookies, rate limits, the server's
//! name.
//!
//! A secret stands in the file itself or in a file of its own (`file:…`, relative to the configuration), so that the
//! configuration can be shown to people.

use std::path::Path;

use holdfast_dns::{CookieSecret, RateLimit};

use super::raw::{Problem, problem};

/// What stands between the open internet and an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsGuard {
    /// Told to clients that ask who answers (NSID); not told where absent.
    pub nsid: Option<String>,
    /// Shared by the agents of a cluster; random for each process where empty.
    pub cookie_secrets: Vec<CookieSecret>,
    /// How replies over UDP are limited.
    pub rate_limit: RateLimit,
    /// The most bytes over UDP for a client without a valid cookie.
    pub max_reply_without_cookie: Option<u16>,
}

/// These keys as they are written.
#[derive(Debug, Default)]
pub(super) struct RawDnsGuard {
    pub(super) nsid: Option<String>,
    pub(super) cookie_secrets: Vec<String>,
    pub(super) rate_limit_per_prefix: Option<u32>,
    pub(super) rate_limit_exempt: Option<Vec<String>>,
    pub(super) max_reply_without_cookie: Option<u16>,
}

impl RawDnsGuard {
    pub(super) fn check(self, base: &Path) -> Result<DnsGuard, Problem> {
        let default = RateLimit::default();
        let exempt = self.rate_limit_exempt.map(|prefixes| {
            let prefix = |text: &String| {
                text.parse().map_err(|error| problem("dns.rate_limit_exempt", error))
            };
            prefixes.iter().map(prefix).collect::<Result<_, _>>()
        });
        let rate_limit = RateLimit {
            per_prefix: self.rate_limit_per_prefix.unwrap_or(default.per_prefix),
            exempt: exempt.transpose()?.unwrap_or(default.exempt),
        };
        let secrets = self.cookie_secrets.iter().map(|text| secret(base, text));
        Ok(DnsGuard {
            nsid: self.nsid,
            cookie_secrets: secrets.collect::<Result<_, _>>()?,
            rate_limit,
            max_reply_without_cookie: self.max_reply_without_cookie,
        })
    }
}

fn secret(base: &Path, text: &str) -> Result<CookieSecret, Problem> {
    const KEY: &str = "dns.cookie_secrets";
    let Some(file) = text.strip_prefix("file:") else {
        return text.parse().map_err(|error| problem(KEY, error));
    };
    let path = base.join(file);
    let held = std::fs::read_to_string(&path)
        .map_err(|error| problem(KEY, format!("cannot read {}: {error}", path.display())))?;
    held.trim().parse().map_err(|error| problem(KEY, format!("{}: {error}", path.display())))
}
