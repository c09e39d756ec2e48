//! `[dns.propagation]`: which resolvers are asked what the world is told.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

/// The most resolvers.
const MAX_RESOLVERS: usize = 16;
/// Where resolvers answer unless a port is given.
const DNS_PORT: u16 = 53;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPropagation {
    resolvers: Vec<String>,
}

impl RawPropagation {
    /// Where the resolvers stand.
    pub(super) const KEY: &str = "dns.propagation.resolvers";

    /// The resolvers. Errors: which is none, or that they are too many.
    pub(super) fn check(&self) -> Result<Vec<SocketAddr>, String> {
        if self.resolvers.len() > MAX_RESOLVERS {
            return Err(format!("at most {MAX_RESOLVERS}"));
        }
        let address = |text: &String| {
            let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
            let problem = || format!("{text:?} is no IP address, with or without a port");
            text.parse().or(bare).map_err(|_| problem())
        };
        self.resolvers.iter().map(address).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_be_absent_and_a_name_is_refused() {
        let of = |texts: &[&str]| {
            let resolvers = texts.iter().map(ToString::to_string).collect();
            RawPropagation { resolvers }.check()
        };
        let expected = [([9, 9, 9, 9], 53).into(), ([127, 0, 0, 1], 5353).into()];
        assert_eq!(of(&["9.9.9.9", "127.0.0.1:5353"]), Ok(expected.to_vec()));
        assert!(of(&["[2001:db8::1]:53", "2001:db8::1"]).is_ok());
        assert!(of(&["resolver.example"]).is_err());
        assert!(of(&["9.9.9.9"; MAX_RESOLVERS + 1]).is_err());
    }
}
