use std::sync::Arc;

use holdfast_core::Timestamp;
use holdfast_core::copied::Copied;
use holdfast_core::spec::{NameServer, Primaries, Soa, Zone};
use holdfast_core::view::CopyStatus;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("valid")
}

fn zone(apex: &str, secondary: bool) -> Zone {
    let soa = Soa {
        mailbox: name("hostmaster.test"),
        refresh: SECOND,
        retry: SECOND,
        expire: SECOND,
        negative_ttl: SECOND,
    };
    let address = "192.0.2.1:53".parse().expect("an address");
    let primaries = Primaries { addresses: vec![address], key: None };
    let server = NameServer { name: name("ns.elsewhere.test"), addresses: Vec::new() };
    Zone {
        primaries: secondary.then_some(primaries),
        ..Zone::new(name(apex), soa, vec![server], SECOND)
    }
}

fn view(zones: &[(&str, bool, u64)]) -> View {
    let zones = zones.iter();
    let entry = |(apex, secondary, revision): &(&str, bool, u64)| {
        (name(apex), (Arc::new(zone(apex, *secondary)), *revision))
    };
    View { zones: zones.map(entry).collect(), ..View::default() }
}

fn desk(now: Instant) -> Desk {
    let mut desk = Desk::default();
    assert!(desk.enter(Some(1)));
    desk.follow(&view(&[("copied.test", true, 5), ("own.test", false, 6)]), now);
    desk
}

fn begun_of(zone: &DnsName, overdue: bool) -> Begun {
    Begun { zone: zone.clone(), overdue, refusals: Refusals::default() }
}

fn ended(desk: &mut Desk, zone: &DnsName, fresh: bool, times: (Option<Times>, u64), now: Instant) {
    finished(desk, zone, fresh.then_some(Found::Nothing), times, now);
}

fn finished(
    desk: &mut Desk,
    zone: &DnsName,
    found: Option<Found>,
    times: (Option<Times>, u64),
    now: Instant,
) {
    desk.end(Ended { zone: zone.clone(), found, refusals: Refusals::default() }, times, now);
}

const TIMES: Times = Times {
    refresh: Duration::from_secs(3600),
    retry: Duration::from_secs(600),
    expire: Duration::from_secs(7200),
};

#[tokio::test(start_paused = true)]
async fn a_zone_is_asked_for_at_once_and_after_its_refresh() {
    let begun = Instant::now();
    let mut desk = desk(begun);
    let copied = name("copied.test");
    assert_eq!(desk.begin(begun), Some(begun_of(&copied, false)));
    assert_eq!(
        (desk.begin(begun), desk.wake()),
        (None, None),
        "it is under way, and own.test is ours"
    );
    for chance in [0, 512, 1023, u64::MAX] {
        ended(&mut desk, &copied, true, (Some(TIMES), chance), begun);
        let wake = desk.wake().expect("it is due some time") - begun;
        assert!(wake <= TIMES.refresh && wake >= TIMES.refresh * 9 / 10, "{wake:?}");
    }
    ended(&mut desk, &copied, true, (Some(TIMES), 0), begun);
    assert_eq!(desk.begin(begun + TIMES.refresh - SECOND), None);
    assert_eq!(desk.begin(begun + TIMES.refresh), Some(begun_of(&copied, false)));
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_ever_later_until_the_copy_is_overdue() {
    let mut now = Instant::now();
    let mut desk = desk(now);
    let copied = name("copied.test");
    let mut pauses = Vec::new();
    let overdue = loop {
        let Begun { zone, overdue, .. } = desk.begin(now).expect("due");
        if overdue {
            break now;
        }
        ended(&mut desk, &zone, false, (Some(TIMES), 0), now);
        let due = desk.wake().expect("due again");
        pauses.push((due - now).as_secs());
        now = due;
    };
    assert_eq!(pauses[..11], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600]);
    let since = desk.zones[&copied].since;
    let failed_for = overdue - since;
    assert!(failed_for >= LONGEST_FAILING && failed_for < LONGEST_FAILING + TIMES.retry);
    ended(&mut desk, &copied, true, (Some(TIMES), 0), now);
    assert_eq!(desk.begin(now + TIMES.refresh), Some(begun_of(&copied, false)), "it counts anew");
}

#[tokio::test(start_paused = true)]
async fn notices_make_it_sooner_but_once_a_second() {
    let begun = Instant::now();
    let mut desk = desk(begun);
    let copied = name("copied.test");
    desk.hint(&name("own.test"), begun);
    desk.hint(&name("nobodys.test"), begun);
    let Begun { zone, .. } = desk.begin(begun).expect("due");
    desk.hint(&zone, begun + SECOND / 4);
    ended(&mut desk, &zone, true, (Some(TIMES), 0), begun + SECOND / 2);
    assert_eq!(desk.wake(), Some(begun + SECOND), "it came while an attempt was under way");
    desk.begin(begun + SECOND).expect("due");
    ended(&mut desk, &zone, true, (Some(TIMES), 0), begun + SECOND);
    for _ in 0..100 {
        desk.hint(&copied, begun + SECOND);
    }
    assert_eq!(desk.wake(), Some(begun + 2 * SECOND));
    desk.hint(&copied, begun + 5 * SECOND);
    assert_eq!(desk.wake(), Some(begun + 2 * SECOND), "never later than it was");
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_anew_is_due_and_what_is_no_copy_is_forgotten() {
    let begun = Instant::now();
    let mut desk = desk(begun);
    let Begun { zone, .. } = desk.begin(begun).expect("due");
    ended(&mut desk, &zone, true, (Some(TIMES), 0), begun);
    let later = begun + 10 * SECOND;
    desk.follow(&view(&[("copied.test", true, 5)]), later);
    assert_eq!(desk.begin(later), None);
    desk.follow(&view(&[("copied.test", true, 9)]), later);
    assert!(desk.begin(later).is_some());
    desk.follow(&view(&[("copied.test", false, 10)]), later);
    assert_eq!((desk.begin(later), desk.wake()), (None, None));
    assert!(desk.enter(None) && !desk.enter(None));
}

#[tokio::test(start_paused = true)]
async fn the_zone_that_has_been_due_longest_is_next_whatever_its_name() {
    let mut now = Instant::now();
    let mut desk = Desk::default();
    desk.enter(Some(1));
    desk.follow(&view(&[("a.test", true, 1), ("b.test", true, 1), ("z.test", true, 1)]), now);
    let mut order = Vec::new();
    for _ in 0..6 {
        let Begun { zone, .. } = desk.begin(now).expect("due");
        now += 10 * SECOND;
        ended(&mut desk, &zone, false, (None, 0), now);
        desk.hint(&name("a.test"), now);
        order.push(zone.to_string());
    }
    assert_eq!(order, ["a.test", "b.test", "z.test", "a.test", "b.test", "z.test"]);
}

#[tokio::test(start_paused = true)]
async fn a_notice_comes_no_sooner_than_the_pause_of_a_failure_or_the_floor() {
    for chance in [0, u64::MAX] {
        let mut now = Instant::now();
        let mut desk = desk(now);
        let mut waited = Vec::new();
        for _ in 0..6 {
            let Begun { zone, .. } = desk.begin(now).expect("due");
            ended(&mut desk, &zone, false, (Some(TIMES), chance), now);
            desk.hint(&zone, now);
            let due = desk.wake().expect("due again");
            waited.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(waited, [1, 2, 4, 8, 10, 10], "{chance}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_soa_and_no_chance_makes_it_be_asked_for_without_rest() {
    let hasty = Times { refresh: SECOND, retry: SECOND, expire: SECOND };
    for chance in [0, 512, u64::MAX] {
        let mut now = Instant::now();
        let mut desk = desk(now);
        let Begun { zone, .. } = desk.begin(now).expect("due");
        ended(&mut desk, &zone, true, (Some(hasty), chance), now);
        assert_eq!(desk.wake(), Some(now + FLOOR), "{chance}");
        let mut waited = Vec::new();
        for _ in 0..6 {
            now = desk.wake().expect("due again");
            desk.begin(now).expect("due");
            ended(&mut desk, &zone, false, (Some(hasty), chance), now);
            waited.push(desk.wake().expect("due again") - now);
        }
        let seconds = waited.iter().map(Duration::as_secs).collect::<Vec<_>>();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10], "{chance}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_overdue_by_its_own_soa_from_a_leaders_first_look_on() {
    let begun = Instant::now();
    let mut declared = view(&[("copied.test", true, 5)]);
    let mut copied = zone("copied.test", false);
    copied.soa.expire = 600 * SECOND;
    let copied = Copied {
        index: 5,
        at: Timestamp(0),
        serial: Some(1),
        from: None,
        mname: name("ns.elsewhere.test"),
        zone: Arc::new(copied),
    };
    let status = CopyStatus { copied: Some(Arc::new(copied)), stale: None };
    declared.copies.insert(name("copied.test"), Arc::new(status));
    for (waited, overdue) in [(PATIENCE, false), (600 * SECOND, true)] {
        let mut desk = Desk::default();
        desk.enter(Some(1));
        desk.follow(&declared, begun);
        assert_eq!(desk.begin(begun + waited), Some(begun_of(&name("copied.test"), overdue)));
    }
}

#[tokio::test(start_paused = true)]
async fn one_failure_long_after_the_last_look_is_no_event() {
    let mut now = Instant::now();
    let mut desk = desk(now);
    let seldom = Times { refresh: LONGEST, retry: LONGEST, expire: 7 * LONGEST };
    let Begun { zone, .. } = desk.begin(now).expect("due");
    ended(&mut desk, &zone, true, (Some(seldom), 0), now);
    now += LONGEST;
    assert_eq!(desk.begin(now), Some(begun_of(&zone, false)));
}

#[tokio::test(start_paused = true)]
async fn what_is_superseded_neither_confirms_a_copy_nor_fails() {
    let begun = Instant::now();
    let mut desk = desk(begun);
    let Begun { zone, .. } = desk.begin(begun).expect("due");
    ended(&mut desk, &zone, true, (Some(TIMES), 0), begun);
    let (mut now, mut waited) = (begun + TIMES.refresh, Vec::new());
    for _ in 0..3 {
        desk.begin(now).expect("due");
        finished(&mut desk, &zone, Some(Found::Superseded), (Some(TIMES), 0), now);
        let due = desk.wake().expect("due again");
        waited.push((due - now).as_secs());
        now = due;
    }
    assert_eq!(waited, [1, 2, 4], "it is asked for with what there is, and not without rest");
    let docket = &desk.zones[&zone];
    assert_eq!((docket.since, docket.failing), (begun, None));
    desk.begin(now).expect("due");
    ended(&mut desk, &zone, false, (Some(TIMES), 0), now);
    assert_eq!(
        desk.begin(begun + TIMES.expire),
        Some(begun_of(&zone, true)),
        "nobody confirmed it"
    );
}
