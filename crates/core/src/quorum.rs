//! From opinions to a verdict.
//!
//! Intuition: a failure is believed when enough *places* see it, not when one loud observer does. Two levels: a
//! region votes by the majority of its **configured** observers, and the verdict needs the votes of enough of the
//! configured regions. A veto guards the seam between the levels: with 2 of 3 regions × 2 of 3 observers, 4 of 9
//! opinions could otherwise condemn what 5 see working.
//!
//! Edge cases: silence is `Unknown` and counts for nobody, so a cut-off observer cannot shrink the quorum; between
//! the thresholds the last verdict is held and marked (`stale` when too few opinions are fresh, `partial` when
//! they disagree); with no observers configured there is never a verdict.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, BootId, RegionName};
use crate::observation::ObserverState;
use crate::sample::Failure;
use crate::spec::{Quorum, RegionRule};
use crate::time::Timestamp;

/// The group's judgement on an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// Not judged yet.
    #[default]
    Unknown,
    /// Enough regions see it working.
    Up,
    /// Enough regions see it failing.
    Down,
}

impl Verdict {
    /// `up`, `down` or `unknown`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// One opinion as it was counted, kept with the event that it led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The observer.
    pub agent: AgentId,
    /// Its region.
    pub region: RegionName,
    /// Its process start.
    pub boot: BootId,
    /// The report that brought the opinion.
    pub sequence: u64,
    /// The opinion.
    pub state: ObserverState,
    /// The last failure, when the opinion is down.
    pub failure: Option<Failure>,
    /// When the run that led to the opinion began, by the observer's clock.
    pub since: Timestamp,
    /// When the opinion entered the log.
    pub recorded_at: Timestamp,
}

/// How the opinions on one target add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Each configured region, in order.
    pub regions: Vec<RegionTally>,
    /// How many regions must agree.
    pub needed: u32,
    /// Whether the healthy-share veto stands against a verdict of down.
    pub veto: bool,
    /// What the opinions say; `None` is "nothing new: hold the last verdict".
    pub result: Option<Verdict>,
    /// Too few opinions are fresh to say anything.
    pub stale: bool,
    /// Opinions disagree: some regions see it failing, not enough for a verdict.
    pub partial: bool,
}

/// How the opinions of one region add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionTally {
    /// The region.
    pub region: RegionName,
    /// Configured observers.
    pub observers: u32,
    /// How many say up.
    pub up: u32,
    /// How many say down.
    pub down: u32,
}

impl RegionTally {
    /// The region's vote: what the majority of its configured observers says.
    pub fn vote(&self) -> ObserverState {
        if self.down * 2 > self.observers {
            ObserverState::Down
        } else if self.up * 2 > self.observers {
            ObserverState::Up
        } else {
            ObserverState::Unknown
        }
    }
}

/// How many of `regions` regions must agree.
pub fn needed(rule: RegionRule, regions: u32) -> u32 {
    let wanted = match rule {
        RegionRule::Any => 1,
        RegionRule::Majority => regions / 2 + 1,
        RegionRule::All => regions,
        RegionRule::AtLeast(k) => u32::from(k),
        RegionRule::Percent(p) => (regions * u32::from(p)).div_ceil(100),
    };
    wanted.clamp(1, regions.max(1))
}

/// Adds up opinions: one `(region, state)` per configured observer, grouped by region.
pub fn tally<'a>(
    rule: &Quorum,
    opinions: impl Iterator<Item = (&'a RegionName, ObserverState)>,
) -> Tally {
    let mut regions: Vec<RegionTally> = Vec::new();
    for (region, state) in opinions {
        let at = match regions.binary_search_by(|tally| tally.region.cmp(region)) {
            Ok(at) => at,
            Err(at) => {
                let fresh = RegionTally { region: region.clone(), observers: 0, up: 0, down: 0 };
                regions.insert(at, fresh);
                at
            }
        };
        let entry = &mut regions[at];
        entry.observers += 1;
        match state {
            ObserverState::Up => entry.up += 1,
            ObserverState::Down => entry.down += 1,
            ObserverState::Unknown => {}
        }
    }
    conclude(rule, regions)
}

fn conclude(rule: &Quorum, regions: Vec<RegionTally>) -> Tally {
    let count = u32::try_from(regions.len()).unwrap_or(u32::MAX);
    let needed = needed(rule.regions, count);
    let votes = |state| {
        u32::try_from(regions.iter().filter(|r| r.vote() == state).count()).unwrap_or(u32::MAX)
    };
    let (up_votes, down_votes) = (votes(ObserverState::Up), votes(ObserverState::Down));
    let up: u32 = regions.iter().map(|r| r.up).sum();
    let down: u32 = regions.iter().map(|r| r.down).sum();
    // The share in whole percent, rounded down: 1 of 3 is 33 % and does not veto at the default of 33.
    let veto = up * 100 / (up + down).max(1) > u32::from(rule.veto_percent);
    let result = if regions.is_empty() {
        None
    } else if down_votes >= needed && !veto {
        Some(Verdict::Down)
    } else if up_votes >= needed {
        Some(Verdict::Up)
    } else {
        None
    };
    let heard = regions.iter().filter(|r| (r.up + r.down) * 2 > r.observers).count();
    let stale = u32::try_from(heard).unwrap_or(u32::MAX) < needed;
    let partial = result != Some(Verdict::Down) && down_votes > 0 && !stale;
    Tally { regions, needed, veto, result, stale, partial }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    /// Regions as texts of one letter per observer: `u`p, `d`own, `?`.
    fn count(regions: RegionRule, veto_percent: u8, observers: &[&str]) -> Tally {
        let names: Vec<RegionName> = (0..observers.len())
            .map(|number| RegionName::new(&format!("r{number}")).expect("a label"))
            .collect();
        let opinions = names.iter().zip(observers).flat_map(|(name, letters)| {
            letters.chars().map(move |letter| {
                let state = match letter {
                    'u' => ObserverState::Up,
                    'd' => ObserverState::Down,
                    _ => ObserverState::Unknown,
                };
                (name, state)
            })
        });
        tally(&Quorum { regions, veto_percent }, opinions)
    }

    fn check(rule: RegionRule, veto: u8, observers: &[&str], expected: &str) {
        let tally = count(rule, veto, observers);
        let result = tally.result.map_or("hold", Verdict::label);
        let stale = if tally.stale { " stale" } else { "" };
        let partial = if tally.partial { " partial" } else { "" };
        assert_eq!(format!("{result}{stale}{partial}"), expected, "{rule:?} {veto} {observers:?}");
    }

    #[test]
    fn one_region_is_a_majority_of_its_observers() {
        for (observers, expected) in [
            ("uuu", "up"),
            ("duu", "up"),
            ("ddu", "down"),
            ("ddd", "down"),
            ("d", "down"),
            ("du", "hold"),
            ("dd?", "down"),
            ("d??", "hold stale"),
            ("u??", "hold stale"),
            ("du?", "hold"),
            ("???", "hold stale"),
            // Three of five, and two that see it working: 40 % veto.
            ("ddduu", "hold partial"),
            ("ddddu", "down"),
            ("ddd??", "down"),
        ] {
            check(RegionRule::Majority, 33, &[observers], expected);
        }
    }

    #[test]
    fn nobody_configured_never_judges() {
        check(RegionRule::Any, 100, &[], "hold stale");
    }

    #[test]
    fn regions_vote_by_the_rule() {
        let one_of_three = ["ddd", "uuu", "uuu"];
        let two_of_three = ["ddd", "ddd", "uuu"];
        for (rule, one, two) in [
            (RegionRule::Any, "down", "down"),
            (RegionRule::Majority, "up partial", "down"),
            (RegionRule::All, "hold partial", "hold partial"),
            (RegionRule::AtLeast(1), "down", "down"),
            (RegionRule::AtLeast(2), "up partial", "down"),
            (RegionRule::AtLeast(200), "hold partial", "hold partial"),
            (RegionRule::Percent(34), "up partial", "down"),
            (RegionRule::Percent(67), "hold partial", "hold partial"),
        ] {
            check(rule, 100, &one_of_three, one);
            check(rule, 100, &two_of_three, two);
        }
    }

    #[test]
    fn the_veto_counts_heads_not_regions() {
        check(RegionRule::Majority, 33, &["ddu", "ddu", "uuu"], "hold partial");
        check(RegionRule::Majority, 33, &["ddd", "ddd", "uuu"], "down");
        check(RegionRule::Majority, 0, &["ddd", "ddd", "??u"], "hold partial");
        check(RegionRule::Majority, 100, &["ddu", "ddu", "uuu"], "down");
    }

    #[test]
    fn a_silent_region_does_not_shrink_the_quorum() {
        check(RegionRule::Majority, 33, &["ddd", "???", "???"], "hold stale");
        check(RegionRule::Majority, 33, &["ddd", "ddd", "???"], "down");
        check(RegionRule::All, 33, &["ddd", "ddd", "???"], "hold stale");
    }

    #[test]
    fn how_many_regions_must_agree() {
        for (rule, regions, expected) in [
            (RegionRule::Majority, 0, 1),
            (RegionRule::Majority, 1, 1),
            (RegionRule::Majority, 2, 2),
            (RegionRule::Majority, 5, 3),
            (RegionRule::All, 4, 4),
            (RegionRule::AtLeast(0), 4, 1),
            (RegionRule::AtLeast(9), 4, 4),
            (RegionRule::Percent(1), 4, 1),
            (RegionRule::Percent(51), 4, 3),
            (RegionRule::Percent(100), 4, 4),
        ] {
            assert_eq!(needed(rule, regions), expected, "{rule:?} of {regions}");
        }
    }
}
