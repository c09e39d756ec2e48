//! An update that is asked again is done once, and takes no places from other requests.

use super::*;

#[test]
fn a_request_is_done_once() {
    let mut group = Group::new(open());
    let add = Command::UpdateZone(update("k.test", "+ a 60 A 192.0.2.9"));
    assert_eq!(changed(group.apply_as(Some(7), add.clone()).outcome.result), Ok(true));
    assert_eq!(group.update("- a"), Ok(true));
    let again = group.apply_as(Some(7), add);
    assert_eq!(changed(again.outcome.result), Ok(true), "told as the first time");
    assert!(group.dynamic().is_empty(), "and not done again");
}

#[test]
fn updates_take_no_places_from_other_requests_and_go_earlier() {
    let mut group = Group::new(open());
    let delete = Command::DeleteZone { name: name("none") };
    let refused = group.apply_as(Some(1), delete).outcome;
    let mut snapshot = group.state.snapshot().clone();
    let at = snapshot.at;
    // All places of other requests are taken, this one's first.
    let others = (2..=Entry::REPLAY_LIMIT as u128).map(|id| (at, RequestId(id)));
    snapshot.reply_order.extend(others);
    group.state = State::restore(snapshot);
    let add = Command::UpdateZone(update("k.test", "+ a 60 A 192.0.2.9"));
    let signed = 1 << 64;
    assert_eq!(changed(group.apply_as(Some(signed), add.clone()).outcome.result), Ok(true));
    let create = Command::ApplyZone { zone: open(), if_revision: None };
    assert_eq!(group.apply_as(Some(1), create.clone()).outcome, refused, "it is remembered");

    let hour = u64::try_from(Entry::UPDATE_REPLAY_WINDOW.as_millis()).expect("an hour");
    assert_eq!(group.update("- a"), Ok(true));
    group.index += hour / 1000 - 10;
    group.apply_as(Some(signed), add.clone());
    assert!(group.dynamic().is_empty(), "the update is remembered");
    group.index += 10;
    group.apply_as(Some(signed), add);
    assert_eq!(group.dynamic().len(), 1, "and forgotten after an hour");
    assert_eq!(group.apply_as(Some(1), create).outcome, refused, "the other is remembered on");
    let snapshot = group.state.snapshot();
    let kept = (snapshot.reply_order.len(), snapshot.update_order.len());
    assert_eq!(kept, (Entry::REPLAY_LIMIT, 1));
}
