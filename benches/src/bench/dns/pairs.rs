//! What a load on the agent does to those who ask: waits at a fixed pace in quiet and under the load, in pairs.
//!
//! Both of a pair are measured one right after the other at the same agent, and which comes first changes from pair to
//! pair; what counts is their ratio. A pair that others disturbed is measured again, as any round is.
//!
//! The agent, all of it, is on the processor of the server under test: a load costs answers at least the time that it
//! has the processor while a question comes in, however well the agent's threads are kept apart.

use anyhow::Result;

use super::figures::Waits;
use super::{OTHERS, undisturbed};
use crate::report::{Bound, Report};
use crate::stat::Series;

/// What an agent has to do beside answering.
pub(super) trait Load {
    /// What it is made of, in the plural: a part of the report's names.
    const NAME: &'static str;
    /// The most that p99.9 may be under it over p99.9 in quiet, where that is a goal.
    const GOAL: Option<f64> = None;

    /// Waits without it.
    async fn quiet(&mut self) -> Result<Waits>;

    /// Waits under it, and how many times a second it came about.
    async fn loaded(&mut self) -> Result<(Waits, f64)>;
}

/// One of the waits.
type Pick = fn(&Waits) -> f64;

/// Waits without and under a load.
#[derive(Debug)]
pub(super) struct Pairs {
    name: &'static str,
    goal: Option<f64>,
    pairs: Vec<Pair>,
    /// Pairs in which others used the processors to the last attempt.
    pub(super) disturbed: u32,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    quiet: Waits,
    loaded: Waits,
    per_second: f64,
}

impl Pairs {
    /// Measures so many pairs.
    pub(super) async fn measure<L: Load>(rounds: u32, load: &mut L) -> Result<Self> {
        let mut all = Self { name: L::NAME, goal: L::GOAL, pairs: Vec::new(), disturbed: 0 };
        for round in 0..rounds {
            let loaded_first = round % 2 == 0;
            let (pair, others) =
                undisturbed(async || Pair::measure(load, loaded_first).await).await?;
            eprintln!(
                "{:.0} {} a second: p99.9 {:.0} us, {:.0} us in quiet, others {others:.2}",
                pair.per_second,
                L::NAME,
                pair.loaded.p999,
                pair.quiet.p999,
            );
            all.disturbed += u32::from(others > OTHERS);
            all.pairs.push(pair);
        }
        Ok(all)
    }

    pub(super) fn rounds(&self) -> u32 {
        u32::try_from(self.pairs.len()).expect("no more than were asked for")
    }

    pub(super) fn tell(&self, report: &mut Report) {
        let name = self.name;
        let of = |pick: &dyn Fn(&Pair) -> f64| Series::of(self.pairs.iter().map(pick).collect());
        report.series(&format!("{name}_per_second"), &of(&|pair| pair.per_second));
        let percentiles: [(&str, Pick); 3] =
            [("p50", |one| one.p50), ("p99", |one| one.p99), ("p999", |one| one.p999)];
        for (percentile, pick) in percentiles {
            let ratios = of(&|pair| pick(&pair.loaded) / pick(&pair.quiet));
            report
                .series(&format!("{percentile}_us_without_{name}"), &of(&|pair| pick(&pair.quiet)));
            report
                .series(&format!("{percentile}_us_during_{name}"), &of(&|pair| pick(&pair.loaded)));
            report.series(&format!("ratio_{percentile}_{name}_quiet"), &ratios);
            report.headline(&format!("ratio_{percentile}_{name}"), ratios.median());
            if let Some(most) = self.goal.filter(|_| percentile == "p999") {
                let what = format!("p99.9 during {name} over quiet");
                report.goal(&what, Bound::AtMost(most), ratios.median());
            }
        }
        let lost = |pick: fn(&Pair) -> u64| self.pairs.iter().map(pick).sum::<u64>() as f64;
        report.number(&format!("lost_without_{name}"), lost(|pair| pair.quiet.lost));
        report.number(&format!("lost_during_{name}"), lost(|pair| pair.loaded.lost));
    }
}

impl Pair {
    async fn measure(load: &mut impl Load, loaded_first: bool) -> Result<Self> {
        if loaded_first {
            let (loaded, per_second) = load.loaded().await?;
            Ok(Self { quiet: load.quiet().await?, loaded, per_second })
        } else {
            let quiet = load.quiet().await?;
            let (loaded, per_second) = load.loaded().await?;
            Ok(Self { quiet, loaded, per_second })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waits(us: f64) -> Waits {
        Waits { p50: us, p99: 2.0 * us, p999: 4.0 * us, lost: 1 }
    }

    /// Takes a microsecond in quiet and three when loaded, and notes what it was asked for.
    #[derive(Default)]
    struct Noted(Vec<&'static str>);

    impl Load for Noted {
        const NAME: &'static str = "notes";

        async fn quiet(&mut self) -> Result<Waits> {
            self.0.push("quiet");
            Ok(waits(1.0))
        }

        async fn loaded(&mut self) -> Result<(Waits, f64)> {
            self.0.push("loaded");
            Ok((waits(3.0), 7.0))
        }
    }

    #[tokio::test]
    async fn either_half_of_a_pair_may_come_first() {
        let mut load = Noted::default();
        for loaded_first in [true, false] {
            let pair = Pair::measure(&mut load, loaded_first).await.expect("it measures");
            assert_eq!((pair.quiet.p50, pair.loaded.p50, pair.per_second), (1.0, 3.0, 7.0));
        }
        assert_eq!(load.0, ["loaded", "quiet", "quiet", "loaded"]);
    }

    fn told(goal: Option<f64>) -> serde_json::Value {
        let pair = |quiet, loaded, per_second| Pair {
            quiet: waits(quiet),
            loaded: waits(loaded),
            per_second,
        };
        let pairs = vec![pair(1.0, 4.0, 50.0), pair(10.0, 10.0, 70.0), pair(2.0, 4.0, 60.0)];
        let mut report = Report::new("dns");
        Pairs { name: "notes", goal, pairs, disturbed: 0 }.tell(&mut report);
        report.json()
    }

    #[test]
    fn ratios_are_within_pairs() {
        let json = told(None);
        assert_eq!(
            (&json["ratio_p50_notes"], &json["ratio_p999_notes"]),
            (&json!(2.0), &json!(2.0))
        );
        let ratios = &json["facts"]["ratio_p99_notes_quiet"];
        assert_eq!((&ratios["min"], &ratios["max"]), (&json!(1.0), &json!(4.0)));
        let facts = &json["facts"];
        assert_eq!(facts["p999_us_during_notes"]["max"], json!(40.0));
        assert_eq!(facts["p99_us_without_notes"]["min"], json!(2.0));
        assert_eq!(facts["notes_per_second"]["p50"], json!(60.0));
        assert_eq!(facts["lost_during_notes"], json!(3.0));
    }

    #[test]
    fn only_the_highest_percentile_is_judged_and_only_by_a_goal() {
        assert_eq!(told(None)["goals"], json!([]));
        let goals = told(Some(2.0))["goals"].clone();
        let goal = json!({ "what": "p99.9 during notes over quiet", "at_most": 2.0, "got": 2.0, "met": true });
        assert_eq!(goals, json!([goal]));
    }
}
