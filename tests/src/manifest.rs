//! The manifests that tests apply: short intervals, so that a suite takes minutes.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// The zone that the tests' names are in.
pub const ZONE: &str = "hf.test";

/// A zone served by these agents.
pub fn zone(agents: &[Ipv4Addr]) -> String {
    let mut text = format!(
        "apiVersion: holdfast/v1\nkind: Zone\nmetadata: {{ name: {ZONE} }}\nspec:\n  soa: {{ negative_ttl: 1s }}\n  \
         ttl: 60s\n  name_servers:\n"
    );
    for (place, address) in agents.iter().enumerate() {
        let number = place + 1;
        // Writing to a string does not fail.
        let _ = writeln!(text, "    - {{ name: ns{number}.{ZONE}, addresses: [\"{address}\"] }}");
    }
    text
}

/// A service: one pool per endpoint, each with the endpoint's name.
#[derive(Debug, Clone)]
pub struct Service<'a> {
    /// Its name, and the label of its DNS name.
    pub name: &'a str,
    /// Endpoints with port, in order of priority.
    pub endpoints: &'a [(&'a str, Ipv4Addr, u16)],
    /// The check after its `name`, in flow style.
    pub check: &'a str,
    /// More keys of `failover`, in flow style.
    pub failover: &'a str,
}

/// A web check, once a second.
pub const WEB: &str =
    "type: http, path: /, interval: 1s, timeout: 700ms, rise: 2, fall: 2, confirm: 100ms";
/// Returns after two seconds, often enough for any test.
pub const BRISK: &str = "hold_down: 2s, cooldown: 1s, max_moves: 20, window: 1m";

impl Service<'_> {
    /// The manifest.
    pub fn to_yaml(&self) -> String {
        let Self { name, endpoints, check, failover } = self;
        let mut pools = String::new();
        for (endpoint, address, port) in *endpoints {
            let _ = writeln!(
                pools,
                "    - name: {endpoint}\n      endpoints: [ {{ name: {endpoint}, address: \"{address}:{port}\" }} ]"
            );
        }
        format!(
            "apiVersion: holdfast/v1\nkind: Service\nmetadata: {{ name: {name} }}\nspec:\n  \
             dns: {{ name: {name}.{ZONE}, ttl: 1s }}\n  pools:\n{pools}  checks:\n    \
             - {{ name: check, {check} }}\n  failover: {{ {failover} }}\n"
        )
    }
}
