//! Defects put in on purpose. An oracle that has never been seen to fail proves nothing: each of these must end a
//! run, and the tests of this crate see to it that it does.

use holdfast_core::AgentId;

/// A defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// Two agents report an endpoint as failing whose probes they never saw fail.
    LyingProbers,
    /// One agent's audit store alters what it keeps.
    TamperedRecords,
    /// A machine that stopped comes back with an empty disk, under its old name.
    WipedDisk,
    /// An agent that starts again has no answers until the group gives it some.
    ForgottenAnswers,
    /// An endpoint fails and no prober notices.
    BlindProbers,
    /// The network never heals.
    LastingPartition,
}

impl Sabotage {
    /// Whether the agent is one that the defect concerns.
    pub(crate) fn concerns(self, agent: AgentId) -> bool {
        match self {
            Self::LyingProbers => agent.0 <= 2,
            Self::TamperedRecords => agent.0 == 2,
            Self::WipedDisk
            | Self::ForgottenAnswers
            | Self::BlindProbers
            | Self::LastingPartition => true,
        }
    }
}
