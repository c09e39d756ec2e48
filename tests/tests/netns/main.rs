//! Real processes in network namespaces, told as stories: each ends with the shared invariants (`epilogue`).
//!
//! Needs root and other servers, so it is behind the feature `netns`, which `.ci/run` switches on after it has
//! installed what is needed. `--test-threads=1`: the stories are about one cluster each, not about a busy machine.

#![cfg(feature = "netns")]

mod abuse;
mod bad_input;
mod bad_requests;
mod clients;
mod copies;
mod disks;
mod endpoints;
mod guide;
mod kdig;
mod leaders;
mod peers;
mod policies;
mod propagation;
mod recursors;
mod replacements;
mod steering;
mod transfers;
mod transports;
mod updates;
mod validation;
