//! Searching, the tail, and following.

use super::*;
use crate::query::SCAN_RECORDS;
use crate::{Filter, Order, Query};

const COUNT: u64 = 60;

fn at(sequence: u64) -> Timestamp {
    content(sequence).at
}

/// The sequences that a filter finds, read page by page; ascending and descending must agree.
fn found(log: &AuditLog, filter: &Filter) -> Vec<u64> {
    let pages = |order, limit| {
        let mut query = Query { filter: filter.clone(), order, limit, after: None };
        let mut sequences = Vec::new();
        loop {
            let page = log.query(&query).expect("reads");
            assert!(page.records.len() <= limit);
            sequences.extend(page.records.iter().map(|r| r.sequence));
            query.after = page.next;
            if page.next.is_none() {
                break sequences;
            }
        }
    };
    let ascending = pages(Order::Ascending, 7);
    let mut descending = pages(Order::Descending, 1000);
    descending.reverse();
    assert_eq!(ascending, descending);
    ascending
}

#[tokio::test]
async fn each_condition_finds_what_a_plain_scan_finds() {
    let (_, log) = filled(COUNT).await;
    let filters = [
        Filter::default(),
        Filter { from: Some(at(20)), ..Filter::default() },
        Filter { until: Some(at(20)), ..Filter::default() },
        Filter { from: Some(at(20)), until: Some(at(20)), ..Filter::default() },
        Filter { from: Some(Timestamp(0)), until: Some(at(999)), ..Filter::default() },
        Filter { service: Some(ServiceId::new("shop").expect("valid")), ..Filter::default() },
        Filter { actor: Some("alice".into()), ..Filter::default() },
        Filter { kind: Some("service.*".into()), ..Filter::default() },
        Filter { kind: Some("term.began".into()), from: Some(at(9)), ..Filter::default() },
        Filter { request_id: content(15).request_id, ..Filter::default() },
        Filter { sequences: Some(10..=12), ..Filter::default() },
        Filter { kind: Some("no.such".into()), ..Filter::default() },
    ];
    let mut sizes = Vec::new();
    for filter in filters {
        let all = chain(COUNT);
        let plain: Vec<u64> =
            all.iter().filter(|r| filter.matches(r)).map(|r| r.sequence).collect();
        assert_eq!(found(&log, &filter), plain, "{filter:?}");
        sizes.push(plain.len());
    }
    assert_eq!(sizes, [60, 41, 19, 0, 60, 18, 30, 30, 13, 1, 3, 0]);
}

#[tokio::test]
async fn the_tail_is_the_newest_oldest_first() {
    let (_, log) = filled(COUNT).await;
    let sequences = |n| log.tail(n).expect("reads").iter().map(|r| r.sequence).collect::<Vec<_>>();
    assert_eq!(sequences(3), [58, 59, 60]);
    assert!(sequences(0).is_empty());
    assert_eq!(sequences(500).len(), 60);
}

#[tokio::test]
async fn a_search_looks_at_a_bounded_number_of_records() {
    let count = u64::try_from(SCAN_RECORDS).expect("small") + 10;
    let (_, log) = filled(count).await;
    let last = Filter { request_id: content(count).request_id, ..Filter::default() };
    let first = log.query(&Query { filter: last.clone(), ..Query::default() }).expect("reads");
    assert_eq!((first.records.len(), first.next), (0, Some(count - 10)));
    let second = Query { filter: last, after: first.next, ..Query::default() };
    let second = log.query(&second).expect("reads");
    assert_eq!((second.records.len(), second.next), (1, None));
}

#[tokio::test]
async fn a_follower_sees_everything_once_and_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, _) = AuditLog::open(&dir.path().join("audit"), &Config::default()).expect("opens");
    log.append(chain(300), 600).await.expect("appends");
    log.settle().await.expect("settles");
    let mut follow = log.follow(5);
    let task = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 396 {
            seen.push(follow.next().await.expect("follows").sequence);
        }
        seen
    });
    for record in chain(400).split_off(300) {
        log.append(vec![record], 800).await.expect("appends");
    }
    assert_eq!(task.await.expect("ends"), (5..=400).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_follower_passes_over_a_hole() {
    let (_, log) = filled(10).await;
    log.set_head(head_of(&chain(30)), 60).await.expect("announces");
    log.append(chain(32).split_off(30), 64).await.expect("appends");
    let mut follow = log.follow(9);
    for expected in [9, 10, 31, 32] {
        assert_eq!(follow.next().await.expect("follows").sequence, expected);
    }
}
