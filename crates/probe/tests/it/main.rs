//! The prober against real little servers on loopback, and the scheduler against a scripted prober.

mod fixture;
mod kinds;
mod schedule;
mod servers;
