//! The API over real sockets and a single replica without Raft: what is asked is done, what is wrong is said.

mod answers;
mod audit;
mod connections;
mod dry_runs;
mod fixture;
mod health;
mod keys;
mod membership;
mod refusals;
mod registry;
mod settings;
mod signing;
mod steering;
mod trust;
mod watch;
