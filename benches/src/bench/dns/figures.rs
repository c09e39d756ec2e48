//! What was measured, and the report of it: medians of the ratios within rounds.

use std::collections::BTreeMap;

use super::Args;
use super::pairs::Pairs;
use super::server::OWN;
use crate::load::dnsperf::Said;
use crate::load::paced::Paced;
use crate::report::{Bound, Report};
use crate::stat::Series;

/// The kind whose ratios are the headlines.
const MAIN: &str = "a";

/// One measurement of one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    /// Answers per second.
    pub(super) rate: f64,
    /// Processor time of the whole server per answer.
    pub(super) cpu_us: f64,
    /// Questions without an answer.
    pub(super) lost: u64,
}

/// How long answers took in one run at a fixed pace, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) lost: u64,
}

impl Waits {
    pub(super) fn of(paced: Paced) -> Self {
        let waits = Series::of(paced.waits_us);
        Self {
            p50: waits.median(),
            p99: waits.percentile(99.0),
            p999: waits.percentile(99.9),
            lost: paced.lost,
        }
    }
}

/// Everything that was measured, by the number of names and by server.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// By kind as well; the places of the vectors are the rounds.
    pub(super) trials: BTreeMap<(usize, &'static str, &'static str), Vec<Trial>>,
    pub(super) waits: BTreeMap<(usize, &'static str), Vec<Waits>>,
    pub(super) witness: BTreeMap<(usize, &'static str), Said>,
    /// Bytes.
    pub(super) memory: BTreeMap<(usize, &'static str), f64>,
    /// By load.
    pub(super) loads: Vec<Pairs>,
    pub(super) rounds: u32,
    /// Rounds in which others used the processors to the last attempt.
    pub(super) disturbed: u32,
}

impl Figures {
    pub(super) fn add_load(&mut self, pairs: Pairs) {
        self.rounds += pairs.rounds();
        self.disturbed += pairs.disturbed;
        self.loads.push(pairs);
    }

    pub(super) fn report(&self, args: &Args) -> Report {
        let mut report = Report::new("dns");
        report.number("threads", args.threads as f64);
        report.number("seconds", args.seconds as f64);
        report.headline("rounds", f64::from(self.rounds));
        report.headline("disturbed_rounds", f64::from(self.disturbed));
        self.tell_rates(&mut report);
        self.tell_ratios(&mut report);
        self.tell_shapes(&mut report);
        self.tell_waits(&mut report);
        self.tell_memory(&mut report);
        for ((names, server), said) in &self.witness {
            report.number(&format!("dnsperf_per_second_{server}_a_{names}"), said.rate);
            report.number(&format!("dnsperf_lost_{server}_a_{names}"), said.lost);
        }
        for pairs in &self.loads {
            pairs.tell(&mut report);
        }
        report
    }

    fn tell_rates(&self, report: &mut Report) {
        for ((names, kind, server), trials) in &self.trials {
            let of = |pick: fn(&Trial) -> f64| Series::of(trials.iter().map(pick).collect());
            let what = format!("{server}_{kind}_{names}");
            report.series(&format!("per_second_{what}"), &of(|trial| trial.rate));
            report.series(&format!("cpu_us_{what}"), &of(|trial| trial.cpu_us));
            report.number(&format!("lost_{what}"), trials.iter().map(|one| one.lost as f64).sum());
        }
    }

    /// Ours over each peer's in the same round.
    fn tell_ratios(&self, report: &mut Report) {
        let smallest = self.trials.keys().map(|(names, ..)| *names).min().unwrap_or_default();
        for ((names, kind, server), theirs) in &self.trials {
            let Some(ours) = self.trials.get(&(*names, *kind, OWN)).filter(|_| *server != OWN)
            else {
                continue;
            };
            let rate = ratios(ours, theirs, |trial| trial.rate);
            let cpu = ratios(ours, theirs, |trial| trial.cpu_us);
            report.series(&format!("ratio_{server}_{kind}_{names}"), &rate);
            report.series(&format!("cpu_ratio_{server}_{kind}_{names}"), &cpu);
            if *kind == MAIN && *names == smallest {
                report.headline(&format!("ratio_{server}"), rate.median());
                report.headline(&format!("cpu_ratio_{server}"), cpu.median());
                goals_beside(report, server, (rate.median(), cpu.median()));
            }
        }
        for server in [OWN].into_iter().chain(self.peers()) {
            if let Some(trials) = self.trials.get(&(smallest, MAIN, server)) {
                let cpu = Series::of(trials.iter().map(|trial| trial.cpu_us).collect());
                report.headline(&format!("cpu_us_{server}"), cpu.median());
            }
        }
    }

    /// Ours over ours: names that do not exist over those that do, signed answers over unsigned ones, many names over few.
    fn tell_shapes(&self, report: &mut Report) {
        let sizes: Vec<usize> = self.waits.keys().map(|(names, _)| *names).collect();
        let own = |names: usize, kind| self.trials.get(&(names, kind, OWN));
        let (Some(few), Some(many)) = (sizes.iter().min(), sizes.iter().max()) else { return };
        if let (Some(hits), Some(misses)) = (own(*few, MAIN), own(*few, "nxdomain")) {
            let ratio = ratios(misses, hits, |trial| trial.rate).median();
            report.headline("ratio_nxdomain_positive", ratio);
            report.goal("rate of NXDOMAIN over that of hits", Bound::AtLeast(0.9), ratio);
        }
        let rate =
            |trials: &[Trial]| Series::of(trials.iter().map(|trial| trial.rate).collect()).median();
        if let (Some(unsigned), Some(signed)) = (own(*few, MAIN), own(*few, "signed")) {
            let ratio = rate(signed) / rate(unsigned);
            report.headline("ratio_signed_unsigned", ratio);
            report.goal("rate of signed answers over unsigned ones", Bound::AtLeast(0.7), ratio);
        }
        if let (true, Some(small), Some(large)) = (few < many, own(*few, MAIN), own(*many, MAIN)) {
            let ratio = rate(large) / rate(small);
            report.headline(&format!("ratio_{many}_{few}_names"), ratio);
            report.goal("rate at the most names over the fewest", Bound::AtLeast(0.85), ratio);
        }
    }

    fn tell_waits(&self, report: &mut Report) {
        let smallest = self.waits.keys().map(|(names, _)| *names).min().unwrap_or_default();
        for ((names, server), waits) in &self.waits {
            let of = |pick: fn(&Waits) -> f64| Series::of(waits.iter().map(pick).collect());
            let what = format!("{server}_{names}");
            let (p50, p99) = (of(|one| one.p50), of(|one| one.p99));
            report.series(&format!("p50_us_{what}"), &p50);
            report.series(&format!("p99_us_{what}"), &p99);
            report.series(&format!("p999_us_{what}"), &of(|one| one.p999));
            let lost = waits.iter().map(|one| one.lost as f64).sum();
            report.number(&format!("paced_lost_{what}"), lost);
            if *names == smallest {
                report.headline(&format!("p50_us_{server}"), p50.median());
                report.headline(&format!("p99_us_{server}"), p99.median());
            }
        }
    }

    /// What a name costs: the difference between the most names and the fewest.
    fn tell_memory(&self, report: &mut Report) {
        for ((names, server), bytes) in &self.memory {
            report.number(&format!("memory_mib_{server}_{names}"), bytes / f64::from(1 << 20));
        }
        for server in [OWN].into_iter().chain(self.peers()) {
            let mut sizes = self.memory.iter().filter(|((_, of), _)| *of == server);
            let Some(((few, _), small)) = sizes.next() else { continue };
            let Some(((many, _), large)) = sizes.next_back() else { continue };
            let each = (large - small) / (many - few) as f64;
            report.headline(&format!("memory_per_name_bytes_{server}"), each);
        }
    }

    fn peers(&self) -> Vec<&'static str> {
        let mut peers: Vec<&'static str> =
            self.trials.keys().map(|(.., server)| *server).filter(|one| *one != OWN).collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }
}

/// A figure of ours over theirs, round by round.
fn ratios(ours: &[Trial], theirs: &[Trial], pick: fn(&Trial) -> f64) -> Series {
    let pairs = ours.iter().zip(theirs);
    Series::of(pairs.map(|(ours, theirs)| pick(ours) / pick(theirs)).collect())
}

fn goals_beside(report: &mut Report, server: &str, (rate, cpu): (f64, f64)) {
    match server {
        "nsd" => {
            report.goal("rate over NSD's", Bound::AtLeast(1.2), rate);
            report.goal("processor time per answer over NSD's", Bound::AtMost(0.85), cpu);
        }
        "gdnsd" => report.goal("rate over gdnsd's", Bound::AtLeast(1.0), rate),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(rate: f64) -> Trial {
        Trial { rate, cpu_us: 1.0, lost: 0 }
    }

    #[test]
    fn ratios_are_within_rounds() {
        let (ours, theirs) = ([trial(10.0), trial(30.0)], [trial(5.0), trial(10.0)]);
        let ratios = ratios(&ours, &theirs, |trial| trial.rate);
        assert_eq!((ratios.min(), ratios.max()), (2.0, 3.0));
    }

    #[test]
    fn memory_per_name_is_what_more_names_take() {
        let mut figures = Figures::default();
        figures.memory.insert((1_000, OWN), 5e6);
        figures.memory.insert((101_000, OWN), 25e6);
        let mut report = Report::new("dns");
        figures.tell_memory(&mut report);
        assert_eq!(report.json()["memory_per_name_bytes_holdfast"], 200.0);
    }
}
