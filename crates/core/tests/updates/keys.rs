//! How long a key waits for what updates made, and for what deleted zones served.

use super::*;

#[test]
fn a_key_waits_for_the_records_of_updates_too_even_for_those_that_are_gone() {
    let rules: &[(&str, &[&str], &[Kind])] = &[("k.test", &["a"], &[])];
    let signed = Zone { dnssec: Some(Dnssec::default()), ..zone(&[], rules) };
    let group = Group::new(signed);
    let added = "+ a 7200 A 192.0.2.7";
    for (told, kept_from) in [(vec![added], 3), (vec![added, "- a"], 3)] {
        let mut group = Group { state: group.state.clone(), index: group.index };
        for told in &told {
            assert_eq!(group.update(told), Ok(true), "{told}");
        }
        // Two hours and a tenth after the key came, or after the record went.
        let expected = Timestamp(1000 * kept_from + 7_920_000);
        assert_eq!(group.key_awaits("@"), expected, "{told:?}");
    }
}

#[test]
fn a_key_waits_for_what_a_deleted_zone_served_at_its_names() {
    let signed = |apex: &str| {
        let zone = zone(&[], &[("k.test", &[], &[])]);
        Zone { name: name(apex), dnssec: Some(Dnssec::default()), ..zone }
    };
    let mut group = Group::new(signed("@"));
    assert_eq!(group.update("+ a 7200 A 192.0.2.7"), Ok(true));
    group.done(Command::DeleteZone { name: name("@") });
    let kept_until = Timestamp(3000 + 7_920_000);
    for apex in ["@", "below", "test."] {
        let mut group = Group { state: State::restore(group.state.snapshot().clone()), index: 3 };
        assert!(group.declare(signed(apex)).is_ok(), "{apex}");
        assert_eq!(group.key_awaits(apex), kept_until, "{apex}");
    }
    assert!(group.declare(signed("elsewhere.")).is_ok());
    assert!(group.key_awaits("elsewhere.") < kept_until, "nothing was served there");
    let unsigned = Zone { dnssec: None, ..signed("other.") };
    assert!(group.declare(unsigned).is_ok());
    group.index += 8000;
    group.done(Command::DeleteZone { name: name("other.") });
    let kept: Vec<_> = group.state.snapshot().deleted_zones.keys().cloned().collect();
    assert_eq!(kept, [name("other.")], "the first is forgotten");
}

#[test]
fn the_deleted_zones_that_are_remembered_have_a_bound() {
    let mut group = Group::new(open());
    let mut snapshot = group.state.snapshot().clone();
    let full = |until| (0..10_000).map(move |n| (name(&format!("d{n}.test.")), until));
    snapshot.deleted_zones = full(Timestamp(5000)).collect();
    group.state = State::restore(snapshot);
    let delete = Command::DeleteZone { name: name("@") };
    let refused = group.apply(delete.clone()).outcome.result;
    assert!(matches!(refused, Err(Rejection::LimitReached { .. })), "{refused:?}");
    group.index += 3;
    group.done(delete);
    assert_eq!(group.state.snapshot().deleted_zones.len(), 1);
}
