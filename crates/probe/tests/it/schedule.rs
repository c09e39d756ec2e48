//! The scheduler over a scripted world, on tokio's paused clock: time passes only when everything waits, so every
//! moment below is exact.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use holdfast_core::decision::Selection;
use holdfast_core::observation::{Observation, ObserverState, Target, fingerprint};
use holdfast_core::sample::{Failure, FailureKind, Finding, Phase, Sample};
use holdfast_core::spec::{
    Check, CheckKind, Endpoint, FailoverRules, HeartbeatCheck, Policy, Pool, Quorum, Service,
    ServiceDns,
};
use holdfast_core::ttl::Ttl;
use holdfast_core::view::{Agent, ServiceStatus, View};
use holdfast_core::{
    AgentId, AgentName, CheckName, DnsName, EndpointName, Epoch, PoolName, RegionName, ServiceId,
    Timestamp,
};
use holdfast_probe::{
    ConfirmHandle, Digest, ProbeSpec, Prober, Scheduler, SchedulerConfig, Sentinels,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fixture::{check, clock, endpoint, ms, tcp};

/// What a scripted endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Pass,
    Refuse,
    Hang,
    Panic,
}

/// A world in which endpoints do as they are told and every probe is noted.
#[derive(Debug, Default)]
struct Script {
    does: Mutex<BTreeMap<EndpointName, Does>>,
    all: Mutex<Option<Does>>,
    latency: Mutex<Duration>,
    probes: Mutex<Vec<(Instant, ProbeSpec)>>,
    active: AtomicUsize,
    most_active: AtomicUsize,
}

impl Script {
    fn set(&self, endpoint: &str, does: Does) {
        self.does
            .lock()
            .expect("nobody panics with it")
            .insert(EndpointName::new(endpoint).expect("valid"), does);
    }

    fn set_all(&self, does: Does) {
        *self.all.lock().expect("nobody panics with it") = Some(does);
    }

    fn probes_of(&self, endpoint: &str) -> Vec<Instant> {
        let probes = self.probes.lock().expect("nobody panics with it");
        let of = probes.iter().filter(|(_, spec)| spec.endpoint.name.as_str() == endpoint);
        of.map(|(at, _)| *at).collect()
    }

    fn forget(&self) {
        self.probes.lock().expect("nobody panics with it").clear();
    }

    fn count(&self) -> usize {
        self.probes.lock().expect("nobody panics with it").len()
    }
}

impl Prober for Script {
    fn probe(&self, spec: ProbeSpec) -> BoxFuture<'_, Sample> {
        async move {
            let started = Instant::now();
            let does =
                self.does.lock().expect("nobody panics with it").get(&spec.endpoint.name).copied();
            let does =
                does.or(*self.all.lock().expect("nobody panics with it")).unwrap_or(Does::Pass);
            let (timeout, latency) =
                (spec.timeout, *self.latency.lock().expect("nobody panics with it"));
            self.probes.lock().expect("nobody panics with it").push((started, spec));
            let active = self.active.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_active.fetch_max(active, Ordering::Relaxed);
            sleep(if does == Does::Hang { timeout } else { latency }).await;
            self.active.fetch_sub(1, Ordering::Relaxed);
            let fail = |kind| Finding::Fail(Failure::new(Phase::Connect, kind, "scripted"));
            let finding = match does {
                Does::Pass => Finding::Pass,
                Does::Refuse => fail(FailureKind::Refused),
                Does::Hang => fail(FailureKind::Timeout),
                Does::Panic => panic!("scripted"),
            };
            Sample { finding, latency: started.elapsed() }
        }
        .boxed()
    }
}

/// Sentinels that answer or not.
#[derive(Debug)]
struct Reach(AtomicBool);

impl Sentinels for Reach {
    fn reachable(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A running scheduler with its world.
struct Stage {
    script: Arc<Script>,
    digest: Arc<Digest>,
    view: watch::Sender<Arc<View>>,
    confirm: ConfirmHandle,
    reach: Arc<Reach>,
    _running: DropGuard,
}

impl Stage {
    fn new(view: View, config: SchedulerConfig) -> Self {
        let script = Arc::new(Script::default());
        *script.latency.lock().expect("nobody panics with it") = ms(1);
        let digest = Arc::new(Digest::new());
        let reach = Arc::new(Reach(AtomicBool::new(true)));
        let (sender, receiver) = watch::channel(Arc::new(view));
        let scheduler =
            Scheduler::new(config, agent("n1"), script.clone(), clock(), digest.clone())
                .with_sentinels(reach.clone());
        let confirm = scheduler.confirm_handle();
        let cancel = CancellationToken::new();
        tokio::spawn(scheduler.run(receiver, cancel.clone()));
        Self { script, digest, view: sender, confirm, reach, _running: cancel.drop_guard() }
    }

    fn of(services: &[Service]) -> Self {
        Self::new(view(services), SchedulerConfig::default())
    }

    /// Waits for the next changes.
    async fn changes(&self) -> Vec<Observation> {
        loop {
            let changes = self.digest.take_changes();
            if !changes.is_empty() {
                return changes;
            }
            self.digest.notified().await;
        }
    }

    fn state(&self, target: &Target) -> Option<ObserverState> {
        self.opinion(target).map(|opinion| opinion.state)
    }

    fn opinion(&self, target: &Target) -> Option<Observation> {
        self.digest.full().into_iter().find(|opinion| opinion.target == *target)
    }

    fn count(&self, state: ObserverState) -> usize {
        self.digest.full().iter().filter(|opinion| opinion.state == state).count()
    }
}

fn agent(name: &str) -> AgentName {
    AgentName::new(name).expect("valid")
}

fn service(name: &str, endpoints: Vec<Endpoint>, checks: Vec<Check>) -> Service {
    Service {
        id: ServiceId::new(name).expect("valid"),
        dns: ServiceDns::new(
            DnsName::new(&format!("{name}.test")).expect("valid"),
            Duration::from_secs(30),
        ),
        policy: Policy::Failover,
        pools: vec![Pool {
            name: PoolName::new("main").expect("valid"),
            region: None,
            priority: 1,
            weight: 1,
            min_up: 1,
            endpoints,
        }],
        checks,
        quorum: Quorum::default(),
        failover: FailoverRules {
            hold_down: Duration::ZERO,
            cooldown: Duration::ZERO,
            max_moves: 10,
            window: Duration::from_secs(60),
            ..FailoverRules::default()
        },
    }
}

fn view(services: &[Service]) -> View {
    let status = |spec: &Service| {
        Arc::new(ServiceStatus {
            ttl_floor: Duration::ZERO,
            spec: Arc::new(spec.clone()),
            revision: 1,
            epoch: Epoch(0),
            selection: Selection::default(),
            selected_at: Timestamp(0),
            steps: vec![],
            decided_at: Timestamp(0),
            blocked: None,
            moves: vec![],
            endpoints: vec![],
            ttl: Ttl::declared(spec.dns.ttl),
            convergence: None,
        })
    };
    let services = services.iter().map(|spec| (spec.id.clone(), status(spec))).collect();
    View { services, ..View::default() }
}

fn place(name: &str, n: u8) -> Endpoint {
    endpoint(name, ([192, 0, 2, n], 80).into())
}

fn tcp_check() -> Check {
    check(CheckKind::Tcp(tcp()))
}

fn one() -> Service {
    service("shop", vec![place("a", 1)], vec![tcp_check()])
}

fn target(service: &str, endpoint: &str) -> Target {
    Target {
        service: ServiceId::new(service).expect("valid"),
        endpoint: EndpointName::new(endpoint).expect("valid"),
        check: CheckName::new("c").expect("valid"),
    }
}

fn a() -> Target {
    target("shop", "a")
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_new_target_is_known_within_its_interval_and_the_confirm_gaps() {
    let stage = Stage::of(&[one()]);
    let start = Instant::now();
    stage.digest.notified().await;
    assert_eq!(stage.state(&a()), Some(ObserverState::Up));
    assert!(start.elapsed() < SECOND + ms(110), "{:?}", start.elapsed());
    assert_eq!(stage.digest.take_changes().len(), 1);
    assert_eq!(stage.digest.take_changes(), vec![], "taken once");
    assert_eq!(stage.digest.full().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_fixed_and_the_phase_jittered() {
    let stage = Stage::of(&[one()]);
    sleep(100 * SECOND).await;
    let probes = stage.script.probes_of("a");
    assert!((100..=103).contains(&probes.len()), "{} probes in 100 s", probes.len());
    let gaps: Vec<_> = probes[3..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap > ms(940) && *gap < ms(1060)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap != gaps[0]), "there is jitter");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_hinted_at_once_and_decided_by_the_confirm_gap() {
    let stage = Stage::of(&[one()]);
    stage.digest.notified().await;
    stage.digest.take_changes();
    stage.script.set("a", Does::Refuse);
    stage.digest.notified().await;
    let first = Instant::now();
    assert_eq!(stage.digest.take_suspects(), vec![a()]);
    assert_eq!(stage.digest.take_changes(), vec![], "one failure changes nothing");
    let changes = stage.changes().await;
    assert_eq!(changes[0].state, ObserverState::Down);
    assert_eq!(changes[0].failure.as_ref().map(|failure| failure.kind), Some(FailureKind::Refused));
    let took = first.elapsed();
    assert!(took >= ms(200) && took < ms(250), "two confirm gaps, not two intervals: {took:?}");
    assert_eq!(stage.digest.take_suspects(), vec![], "the run is hinted at once");
    stage.script.set("a", Does::Pass);
    assert_eq!(stage.changes().await[0].state, ObserverState::Up);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_endpoint_is_probed_at_its_rate_and_with_the_adaptive_timeout() {
    let stage = Stage::of(&[one()]);
    stage.script.set("a", Does::Hang);
    sleep(20 * SECOND).await;
    assert_eq!(stage.state(&a()), Some(ObserverState::Down));
    stage.script.forget();
    sleep(10 * SECOND).await;
    assert!((9..=11).contains(&stage.script.count()), "{} probes in 10 s", stage.script.count());
    stage.script.set("a", Does::Pass);
    sleep(20 * SECOND).await;
    let last = stage
        .script
        .probes
        .lock()
        .expect("nobody panics with it")
        .last()
        .expect("probed")
        .1
        .timeout;
    assert_eq!(
        last,
        ms(125),
        "a quarter of the declared timeout, for an endpoint that answers in 1 ms"
    );
}

#[tokio::test(start_paused = true)]
async fn a_confirm_brings_a_bounded_burst() {
    let slow = Check { interval: 60 * SECOND, ..tcp_check() };
    let stage = Stage::of(&[service("shop", vec![place("a", 1)], vec![slow])]);
    stage.digest.notified().await;
    sleep(90 * SECOND).await;
    for (does, want) in [(Does::Pass, 2), (Does::Refuse, 3)] {
        stage.script.set("a", does);
        stage.script.forget();
        let asked = Instant::now();
        for _ in 0..5 {
            stage.confirm.confirm(&[a(), target("shop", "nobody"), a()]);
            tokio::task::yield_now().await;
        }
        sleep(SECOND).await;
        let probes = stage.script.probes_of("a");
        assert_eq!(probes.len(), want, "{does:?}: until the run decides, however often asked");
        assert_eq!(probes[0], asked, "at once");
        assert!(probes.windows(2).all(|pair| pair[1] - pair[0] == ms(101)), "at the confirm gap");
    }
    assert_eq!(stage.state(&a()), Some(ObserverState::Down));
}

#[tokio::test(start_paused = true)]
async fn targets_follow_the_view() {
    let two = service("shop", vec![place("a", 1), place("b", 2)], vec![tcp_check()]);
    let stage = Stage::of(std::slice::from_ref(&two));
    sleep(3 * SECOND).await;
    assert_eq!(stage.count(ObserverState::Up), 2);
    stage.digest.take_changes();
    stage.digest.take_suspects();

    // Other times: the opinion stays and is told anew, as one on the new declaration.
    let mut retimed = two.clone();
    retimed.checks[0].interval = 2 * SECOND;
    stage.view.send_replace(Arc::new(view(&[retimed.clone()])));
    let changes = stage.changes().await;
    let wanted = fingerprint(&place("a", 1), &retimed.checks[0]);
    assert_eq!((changes.len(), changes[0].fingerprint), (2, wanted));
    assert!(changes.iter().all(|opinion| opinion.state == ObserverState::Up));

    // Another address: a new target. Another weight: the same.
    let mut moved = retimed.clone();
    moved.pools[0].endpoints[0].address = place("a", 9).address;
    moved.pools[0].endpoints[1].weight = 7;
    stage.script.set("a", Does::Refuse);
    stage.view.send_replace(Arc::new(view(&[moved.clone()])));
    tokio::task::yield_now().await;
    assert_eq!(stage.state(&a()), None, "no opinion of the new place yet");
    assert_eq!(stage.state(&target("shop", "b")), Some(ObserverState::Up));
    sleep(3 * SECOND).await;
    assert_eq!(stage.state(&a()), Some(ObserverState::Down));

    // Removed: forgotten, and not probed any more.
    let mut fewer = moved;
    fewer.pools[0].endpoints.remove(0);
    stage.view.send_replace(Arc::new(view(&[fewer])));
    tokio::task::yield_now().await;
    stage.script.forget();
    sleep(5 * SECOND).await;
    assert_eq!((stage.state(&a()), stage.script.probes_of("a").len()), (None, 0));
    assert_eq!(stage.digest.take_changes().len(), 0);
    stage.view.send_replace(Arc::new(View::default()));
    tokio::task::yield_now().await;
    assert!(stage.digest.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sample_of_a_former_target_is_dropped() {
    let stage = Stage::of(&[one()]);
    sleep(3 * SECOND).await;
    stage.script.set("a", Does::Hang);
    stage.script.forget();
    while stage.script.count() == 0 {
        sleep(ms(1)).await;
    }
    stage.view.send_replace(Arc::new(View::default()));
    sleep(3 * SECOND).await;
    assert!(stage.digest.is_empty() && stage.digest.take_suspects().is_empty());
    assert_eq!(stage.script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_not_probed_and_agents_that_are_no_observers_do_not_probe() {
    let heartbeat = check(CheckKind::Heartbeat(HeartbeatCheck { ttl: SECOND }));
    let stage = Stage::of(&[service("shop", vec![place("a", 1)], vec![heartbeat])]);
    sleep(5 * SECOND).await;
    assert_eq!(stage.script.count(), 0);

    let observer = |observer| Agent {
        id: AgentId(1),
        name: agent("n1"),
        region: RegionName::new("eu").expect("valid"),
        observer,
        heard: None,
    };
    let seen = |flag| {
        let agents = BTreeMap::from([(AgentId(1), observer(flag))]);
        View { agents: Arc::new(agents), ..view(&[one()]) }
    };
    let stage = Stage::new(seen(false), SchedulerConfig::default());
    sleep(5 * SECOND).await;
    assert_eq!(stage.script.count(), 0);
    stage.view.send_replace(Arc::new(seen(true)));
    sleep(5 * SECOND).await;
    assert_eq!(stage.state(&a()), Some(ObserverState::Up));
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_bounded_and_what_waits_too_long_abstains() {
    let places = |n: u8| (0..n).map(|n| place(&format!("e{n}"), n + 1)).collect();
    let config = SchedulerConfig { max_concurrency: 3, ..SchedulerConfig::default() };
    let spread = service("shop", places(20), vec![tcp_check()]);
    let stage = Stage::new(view(&[spread]), config);
    stage.script.set_all(Does::Hang);
    sleep(30 * SECOND).await;
    assert_eq!(stage.script.most_active.load(Ordering::Relaxed), 3);
    // Three at a time for up to 500 ms cannot serve 20 in a second: those that are late are not told as down.
    assert!(stage.count(ObserverState::Unknown) > 0, "some never get their turn");

    let config = SchedulerConfig { per_host: 2, ..SchedulerConfig::default() };
    let mut same_host: Vec<Endpoint> = places(20);
    for (n, endpoint) in same_host.iter_mut().enumerate() {
        *endpoint = crate::fixture::endpoint(
            endpoint.name.as_str(),
            ([192, 0, 2, 1], 8000 + n as u16).into(),
        );
    }
    let stage = Stage::new(view(&[service("shop", same_host, vec![tcp_check()])]), config);
    *stage.script.latency.lock().expect("nobody panics with it") = ms(20);
    sleep(30 * SECOND).await;
    assert_eq!(stage.script.most_active.load(Ordering::Relaxed), 2);
    assert_eq!(stage.count(ObserverState::Up), 20, "20 ms each is little enough for two at a time");
}

#[tokio::test(start_paused = true)]
async fn targets_beyond_the_bound_wait_for_room() {
    let config = SchedulerConfig { max_targets: 2, ..SchedulerConfig::default() };
    let three = ["a", "b", "c"].map(|name| service(name, vec![place("e", 1)], vec![tcp_check()]));
    let stage = Stage::new(view(&three), config);
    sleep(3 * SECOND).await;
    assert_eq!(stage.count(ObserverState::Up), 2);
    stage.view.send_replace(Arc::new(view(&three[1..])));
    sleep(3 * SECOND).await;
    assert_eq!(stage.state(&target("c", "e")), Some(ObserverState::Up));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_probe_says_nothing_about_the_endpoint() {
    let stage = Stage::of(&[one()]);
    sleep(3 * SECOND).await;
    stage.script.set("a", Does::Panic);
    sleep(5 * SECOND).await;
    assert_eq!(stage.state(&a()), Some(ObserverState::Unknown));
    stage.script.set("a", Does::Pass);
    sleep(3 * SECOND).await;
    assert_eq!(stage.state(&a()), Some(ObserverState::Up), "and the schedule goes on");
}

/// Twelve endpoints in four services.
fn twelve() -> Vec<Service> {
    (0..4_u8)
        .map(|s| {
            let places = (0..3).map(|e| place(&format!("e{s}{e}"), s * 3 + e + 1)).collect();
            service(&format!("s{s}"), places, vec![tcp_check()])
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_is_cut_off_says_unknown() {
    let stage = Stage::of(&twelve());
    sleep(3 * SECOND).await;
    assert_eq!(stage.count(ObserverState::Up), 12);
    // One failure before the cut is real, and stands.
    stage.script.set("e00", Does::Refuse);
    sleep(10 * SECOND).await;
    assert_eq!(stage.count(ObserverState::Down), 1);

    stage.reach.0.store(false, Ordering::Relaxed);
    stage.script.set_all(Does::Refuse);
    sleep(10 * SECOND).await;
    assert_eq!(stage.count(ObserverState::Down), 1);
    assert_eq!(stage.count(ObserverState::Unknown), 11);
    let hidden = stage.opinion(&target("s1", "e10")).expect("held");
    assert_eq!(hidden.failure, None);

    // The sentinels come back and the failures do not go away: they were real.
    stage.reach.0.store(true, Ordering::Relaxed);
    sleep(SECOND).await;
    assert_eq!(stage.count(ObserverState::Down), 12);

    stage.script.set_all(Does::Pass);
    sleep(5 * SECOND).await;
    assert_eq!(stage.count(ObserverState::Up), 11);
}

#[tokio::test(start_paused = true)]
async fn mass_failures_stand_while_a_sentinel_is_reachable() {
    let stage = Stage::of(&twelve());
    sleep(3 * SECOND).await;
    stage.script.set_all(Does::Refuse);
    sleep(5 * SECOND).await;
    assert_eq!(stage.count(ObserverState::Down), 12);
}

#[tokio::test(start_paused = true)]
async fn a_few_failures_stand_even_without_sentinels() {
    let stage = Stage::of(&twelve());
    sleep(3 * SECOND).await;
    stage.reach.0.store(false, Ordering::Relaxed);
    for name in ["e00", "e01", "e10", "e11", "e20", "e21"] {
        stage.script.set(name, Does::Refuse);
    }
    sleep(5 * SECOND).await;
    assert_eq!(stage.count(ObserverState::Down), 6);
}

#[tokio::test(start_paused = true)]
async fn two_runs_are_equal() {
    async fn run() -> Vec<(Duration, String)> {
        let stage = Stage::of(&twelve());
        let start = Instant::now();
        sleep(10 * SECOND).await;
        stage.script.set_all(Does::Hang);
        stage.confirm.confirm(&[target("s0", "e00")]);
        sleep(10 * SECOND).await;
        let probes = stage.script.probes.lock().expect("nobody panics with it");
        probes.iter().map(|(at, spec)| (*at - start, spec.target.to_string())).collect()
    }
    let (first, second) = (run().await, run().await);
    assert!(first.len() > 200);
    assert_eq!(first, second);
}
