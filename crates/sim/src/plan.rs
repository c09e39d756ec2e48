//! What one run will be: the shape of its network and the order of its faults, drawn from the seed before it begins.
//!
//! Every kind of fault comes once, in a shuffled order, before any comes again, so that a run of ordinary length
//! meets them all. A plan is data; [`nemesis`](crate::nemesis) carries it out.

use std::fmt;
use std::time::Duration;

use holdfast_core::AgentId;

use crate::dice::Dice;
use crate::sabotage::Sabotage;

/// The agents of the cluster: 1 to this number.
pub(crate) const AGENTS: u64 = 3;

/// The shortest round: every endpoint is probed in it.
const SHORTEST: Duration = Duration::from_millis(1200);
/// A long round needs so much time left.
const LONG_AFTER: Duration = Duration::from_secs(24);

/// Whom a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Whoever leads at that moment; the first agent where nobody does.
    Leader,
    /// The agent after the leader.
    Follower,
    /// This agent.
    Agent(u64),
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine stops; what was not synced is lost. It starts again at the end of the round.
    Crash(Whom),
    /// All machines stop at once.
    PowerLoss,
    /// Nothing passes between the agent and the others.
    Partition(Whom),
    /// What the agent sends is lost (`mute`), or what is sent to it is.
    OneWay { whom: Whom, mute: bool },
    /// Messages are late, reordered and sometimes lost.
    Storm { latest_ms: u64, loss_permille: u64 },
    /// Every endpoint of a pool fails, at once or by hanging.
    Endpoints { service: usize, pool: usize, hung: bool },
    /// The agent no longer reaches the endpoints of a service; the endpoints are well.
    PathCut { whom: Whom, service: usize },
    /// The agent's wall clock jumps.
    ClockJump { whom: Whom, by_ms: i64 },
}

impl Fault {
    /// The kinds, as coverage counts them.
    pub(crate) const KINDS: [&'static str; 8] = [
        "crash",
        "power_loss",
        "partition",
        "one_way",
        "storm",
        "endpoints",
        "path_cut",
        "clock_jump",
    ];

    /// Whether a fault of another kind can be felt in the same round: not where no machine runs, and a machine that
    /// is down neither sends nor probes.
    fn leaves_room_for(&self, kind: &str) -> bool {
        match self {
            Self::PowerLoss => false,
            Self::Crash(_) => !["power_loss", "path_cut", "one_way"].contains(&kind),
            Self::PathCut { .. } | Self::OneWay { .. } => !["crash", "power_loss"].contains(&kind),
            _ => kind != "power_loss",
        }
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Crash(_) => "crash",
            Self::PowerLoss => "power_loss",
            Self::Partition(_) => "partition",
            Self::OneWay { .. } => "one_way",
            Self::Storm { .. } => "storm",
            Self::Endpoints { .. } => "endpoints",
            Self::PathCut { .. } => "path_cut",
            Self::ClockJump { .. } => "clock_jump",
        }
    }
}

/// Faults that hold together for a while, and the calm after them.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) faults: Vec<Fault>,
    pub(crate) lasts: Duration,
    pub(crate) rest: Duration,
}

/// What one run will be.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Whether each agent is in a region of its own.
    pub(crate) regions: bool,
    /// The longest ordinary delay of a message, in milliseconds; the shortest is 0.2.
    pub(crate) latest_ms: u64,
    /// Messages lost in ordinary times.
    pub(crate) loss_permille: u64,
    /// How long a sync takes.
    pub(crate) sync: Duration,
    /// Time between heartbeats, in milliseconds; elections are timed by it.
    pub(crate) heartbeat_ms: u64,
    /// Entries between snapshots.
    pub(crate) snapshot_every: u64,
    pub(crate) rounds: Vec<Round>,
    /// A defect put in on purpose.
    pub(crate) sabotage: Option<Sabotage>,
}

impl Plan {
    /// The plan of a seed, with faults for so many seconds.
    pub(crate) fn new(seed: u64, seconds: u64) -> Self {
        let dice = Dice::new(seed, "plan");
        let mut rounds = Vec::new();
        let mut kinds: Vec<&'static str> = Vec::new();
        let mut left = Duration::from_secs(seconds);
        while left >= SHORTEST {
            let mut faults = vec![next_fault(&dice, &mut kinds)];
            if dice.permille(500)
                && kinds.last().is_some_and(|next| faults[0].leaves_room_for(next))
            {
                faults.push(next_fault(&dice, &mut kinds));
            }
            // Now and then long enough for a member to fall behind what the others' logs keep.
            let long = dice.permille(150) && left > LONG_AFTER;
            let lasts = if long { dice.millis(7000, 12_000) } else { dice.millis(1200, 4500) };
            let lasts = lasts.min(left);
            let rest = dice.millis(200, 2500).min(left - lasts);
            left -= lasts + rest;
            rounds.push(Round { faults, lasts, rest });
        }
        if let Some(last) = rounds.last_mut() {
            last.rest += left;
        }
        Self {
            seed,
            regions: dice.permille(500),
            latest_ms: dice.between(1, 8),
            loss_permille: if dice.permille(500) { dice.between(1, 10) } else { 0 },
            sync: dice.millis(0, 3),
            heartbeat_ms: *dice.pick(&[50, 80, 120]),
            snapshot_every: dice.between(10, 60),
            rounds,
            sabotage: None,
        }
    }

    /// Whether the defect is in this agent.
    pub(crate) fn is_sabotaged(&self, agent: AgentId, how: Sabotage) -> bool {
        self.sabotage == Some(how) && how.concerns(agent)
    }
}

/// A fault of the next kind; every kind comes before any comes again.
fn next_fault(dice: &Dice, kinds: &mut Vec<&'static str>) -> Fault {
    if kinds.is_empty() {
        *kinds = Fault::KINDS.to_vec();
        dice.shuffle(kinds);
    }
    fault(dice, kinds.pop().expect("filled when it was empty"))
}

fn fault(dice: &Dice, kind: &str) -> Fault {
    let whom = match dice.below(4) {
        0 | 1 => Whom::Leader,
        2 => Whom::Follower,
        _ => Whom::Agent(dice.between(1, AGENTS)),
    };
    let service = usize::try_from(dice.below(4)).expect("below 4");
    match kind {
        "crash" => Fault::Crash(whom),
        "power_loss" => Fault::PowerLoss,
        "partition" => Fault::Partition(whom),
        "one_way" => Fault::OneWay { whom, mute: dice.permille(500) },
        "storm" => {
            Fault::Storm { latest_ms: dice.between(20, 250), loss_permille: dice.between(0, 150) }
        }
        "endpoints" => Fault::Endpoints {
            service,
            pool: usize::from(dice.permille(300)),
            hung: dice.permille(400),
        },
        "path_cut" => Fault::PathCut { whom, service },
        _ => {
            let size = *dice.pick(&[1_500, 20_000, 3_600_000]);
            Fault::ClockJump { whom, by_ms: if dice.permille(500) { size } else { -size } }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {} regions {} latency 0.2-{}ms loss {}‰ sync {:?} heartbeat {}ms snapshot every {}",
            self.seed,
            if self.regions { AGENTS } else { 1 },
            self.latest_ms,
            self.loss_permille,
            self.sync,
            self.heartbeat_ms,
            self.snapshot_every
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_before_any_comes_again() {
        for seed in 0..50 {
            let plan = Plan::new(seed, 60);
            let kinds: Vec<_> =
                plan.rounds.iter().flat_map(|round| &round.faults).map(Fault::kind).collect();
            let mut first: Vec<_> = kinds.iter().take(Fault::KINDS.len()).collect();
            first.sort();
            first.dedup();
            assert_eq!(first.len(), Fault::KINDS.len(), "seed {seed}: {kinds:?}");
            let total: Duration = plan.rounds.iter().map(|round| round.lasts + round.rest).sum();
            assert_eq!(total, Duration::from_secs(60));
        }
    }
}
