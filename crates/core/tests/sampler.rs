//! The sampler by tables of samples, and by properties over arbitrary ones.

use std::time::Duration;

use holdfast_core::observation::{ObserverState, Target};
use holdfast_core::sample::{Abstention, Failure, FailureKind, Finding, Phase, Sample};
use holdfast_core::sampler::{Recorded, Sampler};
use holdfast_core::spec::{Check, CheckKind, TcpCheck};
use holdfast_core::{CheckName, EndpointName, ServiceId, Timestamp};
use proptest::prelude::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn check(rise: u16, fall: u16) -> Check {
    Check {
        name: CheckName::new("tcp").expect("valid"),
        kind: CheckKind::Tcp(TcpCheck { port: None, send: vec![], expect: vec![] }),
        interval: ms(5000),
        timeout: ms(2000),
        rise,
        fall,
        confirm: ms(100),
    }
}

fn target() -> Target {
    Target {
        service: ServiceId::new("shop").expect("valid"),
        endpoint: EndpointName::new("a").expect("valid"),
        check: CheckName::new("tcp").expect("valid"),
    }
}

fn pass(latency: u64) -> Sample {
    Sample { finding: Finding::Pass, latency: ms(latency) }
}

fn fail(kind: FailureKind) -> Sample {
    Sample { finding: Finding::Fail(Failure::new(Phase::Connect, kind, "")), latency: ms(1) }
}

fn abstain() -> Sample {
    Sample { finding: Finding::Abstain(Abstention::Late), latency: ms(0) }
}

/// `p`, `f` and `a` as samples one second apart. The trace has, per sample, the state (`u`, `d`, `?`), in upper case
/// where it changed, and `!` where it was suspect.
fn trace(rise: u16, fall: u16, samples: &str) -> String {
    let mut sampler = Sampler::new(&check(rise, fall));
    let mut out = String::new();
    for (second, sample) in samples.chars().enumerate() {
        let sample = match sample {
            'p' => pass(1),
            'f' => fail(FailureKind::Refused),
            _ => abstain(),
        };
        let Recorded { changed, suspect } =
            sampler.record(&sample, Timestamp(second as u64 * 1000));
        assert!(changed.is_none_or(|state| state == sampler.state()));
        out.push(match (sampler.state(), changed.is_some()) {
            (ObserverState::Up, false) => 'u',
            (ObserverState::Up, true) => 'U',
            (ObserverState::Down, false) => 'd',
            (ObserverState::Down, true) => 'D',
            (ObserverState::Unknown, false) => '?',
            (ObserverState::Unknown, true) => '#',
        });
        if suspect {
            out.push('!');
        }
    }
    out
}

#[test]
fn states_follow_runs() {
    for (rise, fall, samples, want) in [
        (1, 1, "pf", "UD!"),
        (2, 3, "pp", "?U"),
        (2, 3, "ppfff", "?Uu!uD"),
        (2, 3, "ppffpfff", "?Uu!uuu!uD"),
        (2, 3, "fff", "?!?D"),
        (2, 3, "fffffpp", "?!?DdddU"),
        (2, 3, "fffpfpp", "?!?DdddU"),
        (2, 3, "fffpfp", "?!?Dddd"),
        // Abstentions leave runs as they are, and states until there are three in a row.
        (2, 3, "ppfafaf", "?Uu!uuuD"),
        (2, 3, "ppaaapp", "?Uuu#?U"),
        (2, 3, "ppaapaa", "?Uuuuuu"),
        // After that a single probe decides nothing: a full round is needed.
        (1, 3, "pffaaaf", "Uu!uuu#?!"),
        (2, 3, "fffaaafff", "?!?Ddd#?!?D"),
        // Degenerate settings are those of 1.
        (0, 0, "pfp", "UD!U"),
        (2, 1, "f", "D!"),
    ] {
        assert_eq!(trace(rise, fall, samples), want, "rise {rise}, fall {fall}: {samples}");
    }
}

#[test]
fn an_observation_names_the_first_probe_of_its_run_and_the_last_failure() {
    let mut sampler = Sampler::new(&check(1, 3));
    sampler.record(&pass(7), Timestamp(1000));
    let up = sampler.observation(target(), 7);
    assert_eq!((up.state, up.since, up.latency), (ObserverState::Up, Timestamp(1000), ms(7)));
    assert_eq!(up.failure, None);
    for (at, kind) in
        [(2000, FailureKind::Refused), (3000, FailureKind::Reset), (4000, FailureKind::Timeout)]
    {
        sampler.record(&fail(kind), Timestamp(at));
    }
    let down = sampler.observation(target(), 7);
    assert_eq!((down.state, down.since), (ObserverState::Down, Timestamp(2000)));
    assert_eq!(down.failure.map(|failure| failure.kind), Some(FailureKind::Timeout));
}

#[test]
fn hurries_only_while_deciding() {
    let (hurry, calm) = (ms(100), ms(5000));
    for (samples, want) in [
        ("", hurry),
        ("p", hurry),
        ("pp", calm),
        ("ppp", calm),
        ("ppf", hurry),
        ("ppff", hurry),
        ("ppfff", calm),
        ("pppfp", calm),
        ("fffp", hurry),
        ("a", calm),
        ("ppfa", calm),
    ] {
        let mut sampler = Sampler::new(&check(2, 3));
        for sample in samples.chars() {
            let sample = match sample {
                'p' => pass(1),
                'f' => fail(FailureKind::Refused),
                _ => abstain(),
            };
            sampler.record(&sample, Timestamp(0));
        }
        assert_eq!(sampler.next_gap(), want, "{samples}");
    }
}

#[test]
fn the_timeout_follows_the_latency() {
    let mut sampler = Sampler::new(&check(1, 3));
    assert_eq!(sampler.timeout(), ms(2000), "before any answer, the declared one");
    for _ in 0..50 {
        sampler.record(&pass(10), Timestamp(0));
    }
    assert_eq!(sampler.timeout(), ms(500), "a quarter of the declared one is the floor");
    for (want, sample) in [
        (1000, FailureKind::Timeout),
        (1000, FailureKind::Refused),
        (2000, FailureKind::Timeout),
        (2000, FailureKind::Timeout),
    ] {
        sampler.record(&fail(sample), Timestamp(0));
        assert_eq!(sampler.timeout(), ms(want), "after {sample:?}");
    }
    sampler.record(&pass(10), Timestamp(0));
    assert_eq!(sampler.timeout(), ms(500), "an answer ends the doubling");
    for _ in 0..100 {
        sampler.record(&pass(900), Timestamp(0));
    }
    assert!((ms(899)..ms(1000)).contains(&sampler.timeout()), "{:?}", sampler.timeout());
}

#[test]
fn retuning_keeps_the_opinion() {
    let mut sampler = Sampler::new(&check(2, 3));
    sampler.record(&pass(1), Timestamp(0));
    sampler.record(&pass(1), Timestamp(0));
    sampler.retune(&Check { interval: ms(900), timeout: ms(80), ..check(1, 1) });
    assert_eq!((sampler.state(), sampler.next_gap()), (ObserverState::Up, ms(900)));
    assert!(sampler.timeout() <= ms(80));
    assert_eq!(
        sampler.record(&fail(FailureKind::Reset), Timestamp(1)).changed,
        Some(ObserverState::Down)
    );
}

#[test]
fn the_latency_that_is_told_follows_slowly_and_seldom() {
    let mut sampler = Sampler::new(&check(1, 3));
    let told = |sampler: &Sampler| sampler.observation(target(), 1).latency;
    let mut probe = |latency: u64, times: u16| {
        let mut changes = 0;
        for _ in 0..times {
            let before = told(&sampler);
            sampler.record(&pass(latency), Timestamp(0));
            sampler.follow_latency();
            changes += u32::from(told(&sampler) != before);
        }
        (changes, told(&sampler))
    };
    assert_eq!(probe(10, 1), (1, ms(10)), "the probe that decides tells its own");
    assert_eq!(probe(11, 200), (0, ms(10)), "a tenth more is the same band");
    let (changes, latency) = probe(40, 200);
    assert!(changes <= 200 / u32::from(Sampler::LATENCY_HOLD), "{changes} changes");
    assert!(latency.abs_diff(ms(40)) < ms(10), "{latency:?}");
    let (changes, _) = probe(10, Sampler::LATENCY_HOLD - 1);
    assert!(changes <= 1, "what was told stands for a while");
    assert!(probe(10, 200).1 < ms(15));
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let kind = prop_oneof![
        Just(FailureKind::Timeout),
        Just(FailureKind::Refused),
        Just(FailureKind::Slow),
        Just(FailureKind::Status),
    ];
    let finding = prop_oneof![
        4 => Just(Finding::Pass),
        4 => kind.prop_map(|kind| Finding::Fail(Failure::new(Phase::Connect, kind, "x"))),
        1 => Just(Finding::Abstain(Abstention::Late)),
    ];
    let latency = prop_oneof![0..5_000_u64, Just(u64::MAX)];
    (finding, latency)
        .prop_map(|(finding, latency)| Sample { finding, latency: Duration::from_millis(latency) })
}

fn any_check() -> impl Strategy<Value = Check> {
    (0..5_u16, 0..5_u16, 0..10_000_u64, 0..20_000_u64, 0..20_000_u64).prop_map(
        |(rise, fall, interval, timeout, confirm)| Check {
            interval: ms(interval),
            timeout: ms(timeout),
            confirm: ms(confirm),
            ..check(rise, fall)
        },
    )
}

fn is_failure(sample: &Sample) -> bool {
    matches!(sample.finding, Finding::Fail(_))
}

proptest! {
    /// A change to up or down has a whole run behind it; a change to unknown has three abstentions.
    #[test]
    fn every_change_has_its_run(check in any_check(), samples in prop::collection::vec(any_sample(), 0..200)) {
        let mut sampler = Sampler::new(&check);
        for (i, sample) in samples.iter().enumerate() {
            let before = sampler.state();
            let recorded = sampler.record(sample, Timestamp(i as u64));
            prop_assert_eq!(recorded.changed.is_some(), before != sampler.state());
            let judged: Vec<_> = samples[..=i]
                .iter()
                .rev()
                .filter(|s| !matches!(s.finding, Finding::Abstain(_)))
                .collect();
            match recorded.changed {
                Some(ObserverState::Up) => {
                    let run = usize::from(check.rise.max(1));
                    prop_assert!(judged.len() >= run && judged[..run].iter().all(|s| !is_failure(s)));
                }
                Some(ObserverState::Down) => {
                    let run = usize::from(check.fall.max(1));
                    prop_assert!(judged.len() >= run && judged[..run].iter().all(|s| is_failure(s)));
                }
                Some(ObserverState::Unknown) => {
                    let run = &samples[i - 2..=i];
                    prop_assert!(run.iter().all(|s| matches!(s.finding, Finding::Abstain(_))));
                }
                None => {}
            }
            prop_assert!(!recorded.suspect || is_failure(sample) && before != ObserverState::Down);
        }
    }

    /// Whatever the settings and the samples, no gap and no timeout is zero or beyond what was declared.
    #[test]
    fn gaps_and_timeouts_stay_in_their_bounds(check in any_check(), samples in prop::collection::vec(any_sample(), 0..100)) {
        let mut sampler = Sampler::new(&check);
        for sample in &samples {
            let gap = sampler.next_gap();
            prop_assert!(gap >= Sampler::MIN_GAP && gap <= check.interval.max(Sampler::MIN_GAP));
            let timeout = sampler.timeout();
            prop_assert!(timeout >= Sampler::MIN_GAP && timeout <= check.timeout.max(Sampler::MIN_GAP));
            sampler.record(sample, Timestamp(0));
        }
    }

    /// An observation carries a failure exactly while the opinion is down.
    #[test]
    fn only_down_has_a_failure(samples in prop::collection::vec(any_sample(), 0..100)) {
        let mut sampler = Sampler::new(&check(2, 3));
        for sample in &samples {
            sampler.record(sample, Timestamp(0));
            let observation = sampler.observation(target(), 7);
            prop_assert_eq!(observation.failure.is_some(), observation.state == ObserverState::Down);
        }
    }
}
