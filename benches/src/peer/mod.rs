//! The peers that Holdfast is measured against, each as a child process with a generated configuration.

pub(crate) mod etcd;
pub(crate) mod gdnsd;
pub(crate) mod nsd;

use std::net::Ipv4Addr;

use crate::spec::ZONE;

/// The zone of the benchmarks in the master file format (RFC 1035, 5), with more lines at the end.
fn zone_file(records: &[(String, Ipv4Addr)], more: &str) -> String {
    let mut text = format!(
        "$ORIGIN {ZONE}.\n$TTL 300\n@ SOA ns1.{ZONE}. hostmaster.{ZONE}. 1 3600 600 86400 5\n@ NS ns1.{ZONE}.\nns1 A 127.0.0.1\n"
    );
    for (name, address) in records {
        text.push_str(&format!("{name}. A {address}\n"));
    }
    text.push_str(more);
    text
}
