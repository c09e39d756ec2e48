//! Clients of several networks: through a resolver that tells their networks, by a database of places that is replaced,
//! and by a policy that keeps a network where it is.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use holdfast_tests::cluster::LIMIT;
use holdfast_tests::lab::Host;
use holdfast_tests::process::must;
use holdfast_tests::recursor::{Kind, Recursor, Root};
use holdfast_tests::scenario::bare_scenario;
use holdfast_tests::{Scene, poll};

/// Two clients of one network, which a rule names, and one of another.
const OFFICE: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 7), Ipv4Addr::new(192, 0, 2, 8)];
const HOME: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
