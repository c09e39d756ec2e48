//! What the end-to-end tests stand on: real processes in network namespaces, and what looks at them from outside.
//!
//! ```text
//! lab: one bridge, one namespace per host            10.77.0.0/24, no way out
//!   cluster: `holdfast agent` ×3, certificates by `holdfast ca`, the CLI, gRPC and DNS from a client's namespace
//!   abuse: floods, slow connections, and good clients beside them
//!   machine: a host that is reached by ssh and scp alone, for what is installed by hand
//!   site: a web server whose manners a file decides  resolver: unbound, told where the zone is
//!   recursor: unbound, BIND and Knot Resolver, which find the zone from a root down
//! epilogue: audit verified on every node, equal heads, states and epochs, and the shared invariants
//! ```
//!
//! Waiting is always for a condition, with a deadline ([`poll`]). Everything that is started ends with its handle.
//! Only [`holdfast_core`] and [`holdfast_wire`] are used of the workspace: the product is what runs in the processes.

pub mod abuse;
pub mod binary;
pub mod cluster;
pub mod dns;
pub mod epilogue;
pub mod lab;
pub mod machine;
pub mod manifest;
pub mod places;
pub mod poll;
pub mod primary;
pub mod process;
pub mod python;
pub mod recursor;
pub mod resolver;
pub mod scenario;
pub mod secondary;
pub mod site;

pub use binary::{holdfast, workspace};
pub use scenario::{Scene, scenario};
