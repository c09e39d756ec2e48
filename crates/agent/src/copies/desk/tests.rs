use std::sync::Arc;

use holdfast_core::spec::{NameServer, Primaries, Soa, Zone};

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
    assert_eq!(desk.begin(begun), Some((copied.clone(), false)));
    assert_eq!(
        (desk.begin(begun), desk.wake()),
        (None, None),
        "it is under way, and own.test is ours"
    );
    for chance in [0, 512, 1023, u64::MAX] {
        desk.end(&copied, true, (Some(TIMES), chance), begun);
        let wake = desk.wake().expect("it is due some time") - begun;
        assert!(wake <= TIMES.refresh && wake >= TIMES.refresh * 9 / 10, "{wake:?}");
    }
    desk.end(&copied, true, (Some(TIMES), 0), begun);
    assert_eq!(desk.begin(begun + TIMES.refresh - SECOND), None);
    assert_eq!(desk.begin(begun + TIMES.refresh), Some((copied, false)));
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_ever_later_until_the_copy_is_overdue() {
    let mut now = Instant::now();
    let mut desk = desk(now);
    let copied = name("copied.test");
    let mut pauses = Vec::new();
    let overdue = loop {
        let (zone, overdue) = desk.begin(now).expect("due");
        if overdue {
            break now;
        }
        desk.end(&zone, false, (Some(TIMES), 0), now);
        let due = desk.wake().expect("due again");
        pauses.push((due - now).as_secs());
        now = due;
    };
    assert_eq!(pauses[..11], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600]);
    let since = desk.zones[&copied].since;
    assert!(overdue - since >= TIMES.expire && overdue - since < TIMES.expire + TIMES.retry);
    desk.end(&copied, true, (Some(TIMES), 0), now);
    assert_eq!(desk.begin(now + TIMES.refresh), Some((copied, false)), "it counts anew");
}

#[tokio::test(start_paused = true)]
async fn notices_make_it_sooner_but_once_a_second() {
    let begun = Instant::now();
    let mut desk = desk(begun);
    let copied = name("copied.test");
    desk.hint(&name("own.test"), begun);
    desk.hint(&name("nobodys.test"), begun);
    let (zone, _) = desk.begin(begun).expect("due");
    desk.hint(&zone, begun + SECOND / 4);
    desk.end(&zone, true, (Some(TIMES), 0), begun + SECOND / 2);
    assert_eq!(desk.wake(), Some(begun + SECOND), "it came while an attempt was under way");
    desk.begin(begun + SECOND).expect("due");
    desk.end(&zone, true, (Some(TIMES), 0), begun + SECOND);
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
    let (zone, _) = desk.begin(begun).expect("due");
    desk.end(&zone, true, (Some(TIMES), 0), begun);
    let later = begun + 10 * SECOND;
    desk.follow(&view(&[("copied.test", true, 5)]), later);
    assert_eq!(desk.begin(later), None);
    desk.follow(&view(&[("copied.test", true, 9)]), later);
    assert!(desk.begin(later).is_some());
    desk.follow(&view(&[("copied.test", false, 10)]), later);
    assert_eq!((desk.begin(later), desk.wake()), (None, None));
    assert!(desk.enter(None) && !desk.enter(None));
}
