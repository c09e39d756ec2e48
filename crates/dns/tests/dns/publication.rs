//! Only what is newer is served, whoever publishes when.

use std::sync::Arc;
use std::thread;

use holdfast_core::View;
use holdfast_core::view::Answers;
use holdfast_dns::{AnswersSource, Outcome, channel};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn at(generation: u64, index: u64) -> Arc<Answers> {
    Arc::new(Answers { generation, index, ..Answers::default() })
}

fn served(source: &AnswersSource) -> Option<(u64, u64, bool)> {
    let position = source.current()?.position();
    Some((position.generation, position.index, position.live))
}

#[test]
fn only_what_is_newer_is_served() {
    let (publisher, source) = channel();
    assert_eq!(served(&source), None);
    for (generation, index, outcome) in [
        (1, 5, Outcome::Served),
        (1, 5, Outcome::NotNewer),
        (1, 4, Outcome::NotNewer),
        (0, 900, Outcome::NotNewer),
        (1, 6, Outcome::Served),
        (2, 1, Outcome::Served),
        (1, 7, Outcome::NotNewer),
    ] {
        assert_eq!(publisher.publish(at(generation, index)), outcome, "{generation}/{index}");
    }
    assert_eq!(served(&source), Some((2, 1, true)));
}

#[test]
fn a_restored_view_yields_to_a_live_one_of_the_same_index() {
    let (publisher, source) = channel();
    assert_eq!(source.restore(at(1, 5)), Outcome::Served);
    assert_eq!(publisher.publish(at(1, 4)), Outcome::NotNewer);
    assert_eq!(publisher.publish(at(1, 5)), Outcome::Served);
    assert_eq!(source.restore(at(1, 5)), Outcome::NotNewer);
    assert_eq!(served(&source), Some((1, 5, true)));
}

#[test]
fn the_view_before_is_kept_and_the_one_before_that_is_not() {
    let (publisher, _source) = channel();
    let views = [at(1, 1), at(1, 2), at(1, 3)];
    let weak = views.each_ref().map(Arc::downgrade);
    for view in views {
        publisher.publish(view);
    }
    assert_eq!(weak.map(|view| view.upgrade().is_some()), [false, true, true]);
}

#[test]
fn a_reader_that_missed_publications_does_not_free_its_view() {
    let (publisher, source) = channel();
    publisher.publish(at(1, 1));
    let read = source.current().expect("published");
    for index in 2..6 {
        publisher.publish(at(1, index));
    }
    assert!(Arc::strong_count(&read) > 1, "the reader is the last to hold it");
    let view = Arc::downgrade(&read);
    drop(read);
    assert!(view.upgrade().is_some(), "freed by its reader");
    publisher.publish(at(1, 6));
    assert!(view.upgrade().is_none(), "kept though nobody reads it");
}

#[test]
fn racing_publishers_never_turn_the_view_back() {
    const VIEWS: u64 = 2000;
    let (publisher, source) = channel();
    thread::scope(|scope| {
        for first in 0..3 {
            let publisher = publisher.clone();
            scope.spawn(move || {
                for index in (1 + first..=VIEWS).step_by(3) {
                    publisher.publish(at(1, index));
                    publisher.publish(at(1, index.saturating_sub(50)));
                }
            });
        }
        let mut last = 0;
        while last < VIEWS {
            let index = served(&source).map_or(0, |(_, index, _)| index);
            assert!(index >= last, "{index} after {last}");
            last = index;
            thread::yield_now();
        }
    });
    assert_eq!(source.changes().borrow().map(|position| position.index), Some(VIEWS));
}

#[tokio::test]
async fn a_watched_view_is_followed() {
    let (publisher, source) = channel();
    let mut changes = source.changes();
    let (views, watched) = watch::channel(Arc::new(View::default()));
    let following = tokio::spawn(publisher.follow(watched, CancellationToken::new()));
    views.send_replace(Arc::new(View { answers: at(1, 9), ..View::default() }));
    changes.wait_for(Option::is_some).await.expect("the source lives");
    assert_eq!(
        served(&source),
        Some((1, 9, true)),
        "a state that applied nothing is not published"
    );
    drop(views);
    following.await.expect("ends with its sender");
}
