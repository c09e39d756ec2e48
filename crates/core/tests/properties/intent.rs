//! What somebody may want to do to a group, from the sensible to the absurd. Small numbers stand for things of a
//! small world, so that intents meet.

use std::time::Duration;

use holdfast_core::spec::SettingsChange;
use proptest::collection::vec;
use proptest::prelude::*;

/// How time goes on before an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Passing {
    /// By so many milliseconds.
    By(u64),
    /// To the next deadline.
    ToDeadline,
    /// The leader's clock is behind by so many milliseconds, for this entry alone.
    Behind(u64),
    /// The leader's clock says this, for this entry alone.
    Says(u64),
}

/// A declaration of a service, in small numbers.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) service: u8,
    pub(crate) name: u8,
    pub(crate) policy: u8,
    /// Per pool: priority, min_up, endpoints.
    pub(crate) pools: Vec<(u16, u16, Vec<u8>)>,
    pub(crate) checks: u8,
    pub(crate) regions: u8,
    pub(crate) veto: u8,
    pub(crate) observe: bool,
    pub(crate) manual: bool,
    pub(crate) hold_down: Duration,
    pub(crate) cooldown: Duration,
    pub(crate) max_moves: u16,
    pub(crate) window: Duration,
    pub(crate) all_down: u8,
    pub(crate) ttl: Duration,
}

/// What is ordered, on what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ordered {
    pub(crate) service: u8,
    pub(crate) order: u8,
    pub(crate) pool: Option<u8>,
    pub(crate) endpoint: u8,
    pub(crate) lasting: Duration,
}

/// What an observer says.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) agent: u8,
    pub(crate) boot: u8,
    /// How far the sequence grows; 0 repeats the last one.
    pub(crate) step: u8,
    /// Which part of what it holds: see `lower::extent`.
    pub(crate) extent: u8,
    /// Of each target, in order: 0 is nothing, then unknown, up, down, and down on another declaration.
    pub(crate) opinions: Vec<u8>,
    pub(crate) since: u64,
}

/// What a primary gave.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) zone: u8,
    pub(crate) term: u64,
    /// How far the serial goes on.
    pub(crate) step: u32,
    /// Whether it is the difference to the copy there is.
    pub(crate) since: bool,
    /// Which of the records there are go.
    pub(crate) removed: Vec<u8>,
    /// What comes, by type and name: see `lower::come`.
    pub(crate) added: Vec<(u8, u8)>,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Zone { zone: u8, records: u8, secondary: bool, revision: Option<u64> },
    Copy(Given),
    Source { zone: u8, term: u64, problem: bool },
    DropZone(u8),
    Declare(Box<Declared>, Option<u64>),
    Drop(u8),
    Register { service: u8, pool: u8, endpoint: u8, address: u8 },
    Deregister { service: u8, endpoint: u8 },
    Say(Said),
    Beat { term: u64, beats: Vec<(u8, bool)> },
    Silence { term: u64, agent: u8, boot: u8 },
    Order(Ordered),
    Clear(u8),
    Pause(Duration),
    Resume,
    Admit { agent: u8, region: u8, observer: bool },
    Remove(u8),
    Term { term: u64, leader: u8 },
    Settings(SettingsChange),
    Tick,
    Logic(u32),
}

#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) passing: Passing,
    pub(crate) request: Option<u8>,
    pub(crate) what: What,
}

/// Logs that begin with a group of three observers, a zone and a service, and go on anyhow.
pub(crate) fn intents(most: usize) -> impl Strategy<Value = Vec<Intent>> {
    let service = prop_oneof![3 => sensible(), 1 => declared()];
    let start = (service, prop::bool::weighted(0.9))
        .prop_map(|(declared, begun)| if begun { beginning(declared) } else { Vec::new() });
    let more = prop_oneof![
        10 => wave(),
        1 => following(),
        20 => intent().prop_map(|one| vec![one])
    ];
    (start, vec(more, 0..most)).prop_map(move |(mut all, more)| {
        all.extend(more.into_iter().flatten());
        all.truncate(most);
        all
    })
}

/// Something happens in the world, and the first three observers see the same of it.
fn wave() -> impl Strategy<Value = Vec<Intent>> {
    let opinion = prop_oneof![2 => Just(0u8), 3 => Just(2u8), 4 => Just(3u8)];
    (passing(), vec(opinion, 1..6)).prop_map(|(passing, opinions)| {
        let say = |agent: u8| Intent {
            passing: if agent == 0 { passing } else { Passing::By(20) },
            request: None,
            what: What::Say(Said {
                agent,
                boot: 1,
                step: 1,
                extent: 0,
                opinions: opinions.clone(),
                since: 10,
            }),
        };
        (0..3).map(say).collect()
    })
}

/// A zone comes from a primary from now on, which changes it, is silent, and comes back.
fn following() -> impl Strategy<Value = Vec<Intent>> {
    (0u8..2, passing(), vec(given(), 1..4)).prop_map(|(zone, passing, given)| {
        let source = |problem| What::Source { zone, term: 6, problem };
        let declare = What::Zone { zone, records: 0, secondary: true, revision: None };
        let given = given.into_iter().map(|given| What::Copy(Given { zone, ..given }));
        let all = core::iter::once(declare).chain(given).chain([source(true), source(false)]);
        all.map(|what| Intent { passing, request: None, what }).collect()
    })
}

/// A service that is possible and has somewhere to go.
fn sensible() -> impl Strategy<Value = Declared> {
    declared().prop_map(|declared| Declared {
        pools: vec![(10, 1, vec![0, 1]), (20, 1, vec![2])],
        checks: 1,
        regions: 7,
        veto: 33,
        hold_down: declared.hold_down.min(Duration::from_secs(300)),
        cooldown: declared.cooldown.min(Duration::from_secs(300)),
        window: declared.window.clamp(Duration::from_secs(1), Duration::from_secs(600)),
        max_moves: declared.max_moves.clamp(1, 6),
        ttl: Duration::from_secs(30),
        ..declared
    })
}

fn beginning(declared: Declared) -> Vec<Intent> {
    let admit = |agent: u8| What::Admit { agent, region: 0, observer: true };
    let zone = What::Zone { zone: 0, records: 0, secondary: false, revision: None };
    let all_up = |agent| {
        What::Say(Said { agent, boot: 1, step: 1, extent: 1, opinions: vec![2; 12], since: 0 })
    };
    let declare = What::Declare(Box::new(Declared { service: 0, name: 0, ..declared }), None);
    let mut whats = vec![zone, admit(0), admit(1), admit(2), declare];
    whats.extend((0..3).map(all_up));
    let plain = |what| Intent { passing: Passing::By(1000), request: None, what };
    whats.into_iter().map(plain).collect()
}

fn intent() -> impl Strategy<Value = Intent> {
    let request = prop::option::weighted(0.15, 0u8..8);
    (passing(), request, what()).prop_map(|(passing, request, what)| Intent {
        passing,
        request,
        what,
    })
}

fn passing() -> impl Strategy<Value = Passing> {
    prop_oneof![
        12 => (0u64..5_000).prop_map(Passing::By),
        4 => (0u64..400_000).prop_map(Passing::By),
        4 => Just(Passing::ToDeadline),
        1 => (0u64..100_000_000).prop_map(Passing::By),
        1 => (0u64..10_000_000).prop_map(Passing::Behind),
        1 => prop_oneof![Just(0), 0u64..4_000_000_000_000].prop_map(Passing::Says),
    ]
}

/// Rarely a moment at the end of time: what follows is then all at once.
fn absurd() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::from_millis(u64::MAX)),
        Just(Duration::MAX),
    ]
}

fn lasting() -> impl Strategy<Value = Duration> {
    prop_oneof![
        12 => (1u64..600).prop_map(Duration::from_secs),
        1 => absurd(),
    ]
}

fn short() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => Just(Duration::ZERO),
        8 => (0u64..300).prop_map(Duration::from_secs),
        1 => absurd(),
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        24 => said().prop_map(What::Say),
        8 => ordered().prop_map(What::Order),
        4 => (0u8..8).prop_map(What::Clear),
        5 => Just(What::Tick),
        4 => (declared(), revision()).prop_map(|(d, r)| What::Declare(Box::new(d), r)),
        4 => (0u8..3, 0u8..3, 0u8..5, 0u8..4).prop_map(|(service, pool, endpoint, address)| {
            What::Register { service, pool, endpoint, address }
        }),
        2 => (0u8..3, 0u8..6).prop_map(|(service, endpoint)| What::Deregister { service, endpoint }),
        1 => (0u8..3).prop_map(What::Drop),
        2 => lasting().prop_map(What::Pause),
        2 => Just(What::Resume),
        2 => (0u64..6, vec((0u8..12, any::<bool>()), 0..5))
            .prop_map(|(term, beats)| What::Beat { term, beats }),
        3 => (0u64..6, 0u8..6, 0u8..4)
            .prop_map(|(term, agent, boot)| What::Silence { term, agent, boot }),
        2 => (prop_oneof![8 => 0u64..6, 1 => any::<u64>()], 0u8..4)
            .prop_map(|(term, leader)| What::Term { term, leader }),
        2 => (0u8..6, 0u8..3, prop::bool::weighted(0.8))
            .prop_map(|(agent, region, observer)| What::Admit { agent, region, observer }),
        1 => (0u8..6).prop_map(What::Remove),
        2 => settings().prop_map(What::Settings),
        1 => (0u8..3, 0u8..3, any::<bool>(), revision()).prop_map(
            |(zone, records, secondary, revision)| What::Zone { zone, records, secondary, revision }
        ),
        2 => given().prop_map(What::Copy),
        2 => (0u8..3, 4u64..7, any::<bool>())
            .prop_map(|(zone, term, problem)| What::Source { zone, term, problem }),
        1 => (0u8..3).prop_map(What::DropZone),
        1 => prop_oneof![0u32..3, any::<u32>()].prop_map(What::Logic),
    ]
}

fn given() -> impl Strategy<Value = Given> {
    let step = prop_oneof![8 => 1u32..3, 1 => any::<u32>()];
    let added = vec((prop_oneof![6 => Just(0u8), 4 => 1u8..6], 0u8..6), 0..5);
    let removed = prop_oneof![3 => Just(Vec::new()), 1 => vec(0u8..8, 1..3)];
    let term = prop_oneof![4 => Just(6u64), 1 => 0u64..6];
    (0u8..3, term, step, prop::bool::weighted(0.7), removed, added).prop_map(
        |(zone, term, step, since, removed, added)| Given {
            zone,
            term,
            step,
            since,
            removed,
            added,
        },
    )
}

fn revision() -> impl Strategy<Value = Option<u64>> {
    prop::option::weighted(0.2, prop_oneof![0u64..30, any::<u64>()])
}

fn said() -> impl Strategy<Value = Said> {
    let opinion =
        prop_oneof![4 => Just(0u8), 1 => Just(1u8), 5 => Just(2u8), 5 => Just(3u8), 1 => Just(4u8)];
    let since = prop_oneof![6 => 0u64..3_000, 1 => any::<u64>()];
    let boot = prop_oneof![12 => Just(1u8), 2 => 0u8..4];
    let step = prop_oneof![12 => Just(1u8), 1 => 0u8..4];
    let extent = prop_oneof![12 => Just(0u8), 3 => Just(1u8), 3 => 2u8..5];
    (0u8..4, boot, step, extent, vec(opinion, 0..12), since).prop_map(
        |(agent, boot, step, extent, opinions, since)| Said {
            agent,
            boot,
            step,
            extent,
            opinions,
            since,
        },
    )
}

fn ordered() -> impl Strategy<Value = Ordered> {
    (0u8..3, 0u8..5, prop::option::of(0u8..3), 0u8..6, lasting()).prop_map(
        |(service, order, pool, endpoint, lasting)| Ordered {
            service,
            order,
            pool,
            endpoint,
            lasting,
        },
    )
}

prop_compose! {
    fn declared()(
        service in 0u8..3,
        name in 0u8..4,
        policy in 0u8..4,
        pools in vec((prop_oneof![8 => 10u16..40, 1 => any::<u16>()],
            prop_oneof![8 => Just(1u16), 2 => 0u16..3, 1 => any::<u16>()],
            vec(0u8..6, 0..3)), 1..4),
        checks in prop_oneof![8 => 1u8..3, 1 => 0u8..6],
        regions in 0u8..8,
        veto in prop_oneof![8 => Just(33u8), 2 => 0u8..=110],
        (observe, manual) in (prop::bool::weighted(0.1), prop::bool::weighted(0.2)),
        (hold_down, cooldown, window) in (short(), short(), prop_oneof![8 => lasting(), 1 => short()]),
        max_moves in prop_oneof![10 => 1u16..6, 1 => any::<u16>()],
        all_down in 0u8..5,
        ttl in prop_oneof![10 => (1u64..100).prop_map(Duration::from_secs), 1 => absurd()],
    ) -> Declared {
        Declared { service, name, policy, pools, checks, regions, veto, observe, manual, hold_down, cooldown,
            max_moves, window, all_down, ttl }
    }
}

prop_compose! {
    fn settings()(
        warm_up in prop::option::of(short()),
        max_moves in prop::option::of(prop::option::of(prop_oneof![0u32..4, any::<u32>()])),
        window in prop::option::of(short()),
        ttl_floor in prop::option::of(short()),
    ) -> SettingsChange {
        SettingsChange { warm_up, max_moves, window, ttl_floor }
    }
}
