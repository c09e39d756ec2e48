//! A state with a service of two pools, a world outside that is made up, and a clock that is stopped.

use std::net::SocketAddr;
use std::sync::Mutex;

use holdfast_core::command::Entry;
use holdfast_core::overrides::Order;
use holdfast_core::propagation::{Fault, Seen, Sighting, Target};
use holdfast_core::spec::Service;
use holdfast_core::{DnsName, GroupId, State, Timestamp};

use super::*;
use crate::testing::{self, pool, zone};

const EU: &str = "192.0.2.10";
const US: &str = "192.0.2.20";
const TTL: Duration = Duration::from_secs(30);
const RESOLVER: &str = "203.0.113.9:53";

/// Wall time that follows the stopped clock.
struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.0.elapsed().as_millis()).expect("tests are short");
        Timestamp(1_790_000_000_000 + passed)
    }
}

/// What a name server and a resolver tell, by the seconds since the beginning.
struct World {
    begun: Instant,
    tell: fn(Duration) -> [&'static str; 2],
}

#[async_trait]
impl Outside for World {
    async fn sample(&self, lookup: Lookup, zone: &Zone) -> Looked {
        assert_eq!((lookup.name.as_str(), lookup.asked), ("shop.example.test", Asked::A));
        assert!(!lookup.parent, "round after round would be a burden on the parent");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let [server, resolver] = (self.tell)(self.begun.elapsed());
        let sighting = |address: &str, server: Option<DnsName>, told: &str| Sighting {
            asker: "a1".into(),
            seen: Ok(Seen {
                authoritative: server.is_some(),
                data: vec![told.into()],
                ..Seen::default()
            }),
            target: Target { address: address.parse::<SocketAddr>().expect("valid"), server },
            round_trip: Duration::ZERO,
        };
        let name = zone.name_servers.first().map(|server| server.name.clone());
        let sightings =
            vec![sighting("192.0.2.1:53", name, server), sighting(RESOLVER, None, resolver)];
        Looked { sightings, silent: Vec::new(), parent: Vec::new() }
    }
}

/// A state, and the channel on which its views are published.
struct Stage {
    state: Mutex<State>,
    views: watch::Sender<Arc<View>>,
    clock: Arc<Wall>,
}

impl Stage {
    fn new() -> Self {
        let stage = Self {
            state: Mutex::new(State::new(GroupId(1))),
            views: watch::Sender::new(Arc::default()),
            clock: Arc::new(Wall(Instant::now())),
        };
        stage.apply(Command::ApplyZone { zone: zone(), if_revision: None });
        stage.apply(Command::ApplyService { service: service(), if_revision: None });
        stage
    }

    fn apply(&self, command: Command) {
        let mut state = self.state.lock().expect("nobody panics");
        let entry =
            Entry { at: self.clock.now(), request_id: None, actor: Actor::system(), command };
        let index = state.index() + 1;
        state.apply(index, &entry).outcome.result.expect("it is possible");
        self.views.send_replace(state.view());
    }

    /// Moves the answer to a pool.
    fn pin(&self, pool: &str) {
        self.apply(Command::SetOverride {
            service: id(),
            order: Order::Pin(pool.parse().expect("valid")),
            reason: "a rehearsal".into(),
            lasting: Duration::from_secs(3600),
        });
    }

    fn view(&self) -> Arc<View> {
        self.views.borrow().clone()
    }

    fn epoch(&self) -> Epoch {
        self.view().services.get(&id()).expect("it is declared").epoch
    }

    async fn follow(&self, tell: fn(Duration) -> [&'static str; 2]) -> Convergence {
        let following = Following {
            view: self.views.subscribe(),
            outside: Arc::new(World { begun: Instant::now(), tell }),
            clock: self.clock.clone(),
        };
        let ended = following.run(&id()).await.expect("it has an answer");
        assert!(ended.is_possible(), "{ended:?}");
        ended
    }
}

fn id() -> ServiceId {
    "shop".parse().expect("valid")
}

fn service() -> Service {
    testing::service(TTL, vec![pool("eu", 1, ("eu-1", EU)), pool("us", 2, ("us-1", US))])
}

#[tokio::test(start_paused = true)]
async fn a_failover_is_followed_until_all_tell_it() {
    const LATE: Duration = Duration::from_secs(7);
    let stage = Stage::new();
    stage.pin("us");
    let ended = stage.follow(|after| [US, if after < LATE { EU } else { US }]).await;
    assert_eq!((ended.ending, ended.epoch), (Ending::Converged, stage.epoch()));
    let (server, resolver) = (ended.servers.t100, ended.resolvers.t100);
    assert!(server.is_some_and(|at| at < FIRST_PAUSE), "{ended:?}");
    assert!(resolver.is_some_and(|at| at >= LATE && at < LATE * 12 / 10), "{ended:?}");
    assert!(ended.stragglers.is_empty() && ended.faults.is_empty(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_keeps_the_old_answer_is_named_when_the_bound_has_passed() {
    let stage = Stage::new();
    stage.pin("us");
    let begun = Instant::now();
    let ended = stage.follow(|_| [US, EU]).await;
    let (bound, took) = (2 * TTL, begun.elapsed());
    assert!(took >= bound && took < bound + Duration::from_secs(1), "{took:?}");
    assert_eq!((ended.ending, ended.resolvers.agreed), (Ending::NotWithin, 0));
    assert_eq!(ended.stragglers, [RESOLVER]);
    assert_eq!(ended.faults, [(Fault::KeptTooLong, RESOLVER.to_owned())]);
    assert_eq!(ended.servers.agreed, 1, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_is_overtaken_ends_at_once() {
    const MOVES: Duration = Duration::from_secs(5);
    let stage = Arc::new(Stage::new());
    stage.pin("us");
    let (first, moving) = (stage.epoch(), stage.clone());
    let moved = tokio::spawn(async move {
        tokio::time::sleep(MOVES).await;
        moving.pin("eu");
    });
    let ended = stage.follow(|_| [US, EU]).await;
    moved.await.expect("it does not panic");
    assert_eq!((ended.ending, ended.epoch), (Ending::Superseded, first));
    assert!(ended.followed < MOVES + Duration::from_millis(100), "{ended:?}");
    assert!(stage.epoch() > first);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_deleted_is_followed_no_further() {
    let stage = Arc::new(Stage::new());
    let deleting = stage.clone();
    let deleted = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        deleting.apply(Command::DeleteService { id: id(), if_revision: None });
    });
    let following = Following {
        view: stage.views.subscribe(),
        outside: Arc::new(World { begun: Instant::now(), tell: |_| [EU, US] }),
        clock: stage.clock.clone(),
    };
    assert_eq!(following.run(&id()).await, None);
    deleted.await.expect("it does not panic");
}

#[tokio::test(start_paused = true)]
async fn a_flapping_service_is_followed_once_a_minute_and_its_other_changes_are_counted() {
    let stage = Stage::new();
    let mut desk = Desk::default();
    assert!(desk.enter(Some(1), &stage.view()), "it begins to lead");
    assert_eq!(desk.notice(&stage.view(), 0, Instant::now()), [], "with what it finds");
    for (second, pool, running, followed) in [
        (0, "us", 0, Some(0)),
        (10, "eu", 1, None),
        (20, "us", 0, None),
        (60, "eu", 0, Some(2)),
        (130, "us", AT_ONCE, None),
        (131, "eu", AT_ONCE - 1, Some(1)),
    ] {
        tokio::time::sleep_until(stage.clock.0 + Duration::from_secs(second)).await;
        stage.pin(pool);
        let begun = desk.notice(&stage.view(), running, Instant::now());
        let expected = Vec::from_iter(followed.map(|unfollowed| (id(), unfollowed)));
        assert_eq!(begun, expected, "after {second} s");
        assert_eq!(desk.notice(&stage.view(), running, Instant::now()), [], "seen once");
    }
    assert!(!desk.enter(Some(1), &stage.view()));
    assert!(desk.enter(None, &stage.view()), "it leads no longer");
    stage.pin("us");
    assert_eq!(desk.notice(&stage.view(), 0, Instant::now()), [], "whoever leads does");
}
