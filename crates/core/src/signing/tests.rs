use super::ds::{DsFault, Fit, SHA256};
use super::obstacle::Obstacle;
use super::*;
use crate::sealed::SealingKeyId;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn key(byte: u8) -> ZoneKey {
    let private = Sealed { key: SealingKeyId([0; 8]), nonce: [0; 12], ciphertext: Vec::new() };
    let algorithm = KeyAlgorithm::Ed25519;
    ZoneKey { algorithm, public: Vec::from([byte; 32]), private, created: Timestamp(0) }
}

fn at(minutes: u64) -> Timestamp {
    Timestamp(minutes * 60_000)
}

/// Five minutes for the agents, an hour for the parent.
fn delays() -> PropagationDelays {
    PropagationDelays::default()
}

/// The moment from which this has passed for certain since another: its real time and a tenth.
fn past(from: Timestamp, real: Duration) -> Timestamp {
    from + real * 11 / 10
}

fn apex() -> DnsName {
    DnsName::new("example.test").expect("a name")
}

/// A DS record that names the key of this tag, of some other zone where none of ours has it.
fn ds_of(tag: u16) -> Ds {
    let ours = (1..=3).map(key).find(|key| key.tag() == tag);
    let digest = Vec::from([7; 32]);
    let other = Ds { tag, algorithm: 15, digest_type: SHA256, digest };
    ours.map_or(other, |key| Ds::of(&apex(), &key))
}

fn look(signing: &mut Signing, tags: &[u16], ttl: Duration, now: Timestamp) -> bool {
    let records: Vec<Ds> = tags.iter().copied().map(ds_of).collect();
    look_at(signing, &records, ttl, now)
}

fn look_at(signing: &mut Signing, records: &[Ds], ttl: Duration, now: Timestamp) -> bool {
    signing.note_parent((records, ttl), delays(), now)
}

/// A zone of one key, which every cache knows.
fn signed() -> Signing {
    Signing { keys: Vec::from([key(1)]), ready: true, ..Signing::default() }
}

/// A rollover that began at 0 in a zone whose longest TTL is a day, with both tags.
fn rolling() -> (Signing, u16, u16) {
    let mut signing = signed();
    signing.add(key(2), cached_until(at(0), 24 * HOUR, at(0)));
    (signing, key(1).tag(), key(2).tag())
}

/// What is told of an obstacle; every one has a next step.
fn told(obstacle: Option<Obstacle>) -> String {
    obstacle.map_or_else(String::new, |obstacle| {
        assert!(!obstacle.next_step.is_empty());
        obstacle.problem
    })
}

fn obstacle(signing: &Signing, now: Timestamp) -> String {
    told(signing.obstacle(&SigningChange::FinishRollover { forced: None }, &apex(), delays(), now))
}

fn disable_obstacle(signing: &Signing, now: Timestamp) -> String {
    told(signing.obstacle(&SigningChange::Disable { forced: None }, &apex(), delays(), now))
}

/// The same, looked at again with the same result.
fn looked_at_again(signing: &Signing, now: Timestamp) -> Signing {
    let mut signing = signing.clone();
    if let Some(parent) = signing.parent.clone() {
        look_at(&mut signing, &parent.records, Duration::ZERO, now);
    }
    signing
}

/// Whether a step, asked for right after a look that finds the same, is refused until exactly this moment.
fn waits_until(
    signing: &Signing,
    refusal: impl Fn(&Signing, Timestamp) -> String,
    moment: Timestamp,
) -> bool {
    let asked = |now| refusal(&looked_at_again(signing, now), now);
    asked(Timestamp(moment.0 - 1)).contains(&alloc::format!("until {moment}"))
        && asked(moment).is_empty()
}

#[test]
fn the_parent_is_told_of_a_key_once_no_cache_holds_what_it_has_not_signed() {
    let (mut signing, old, new) = rolling();
    let told =
        |signing: &Signing| signing.for_parent().iter().map(ZoneKey::tag).collect::<Vec<_>>();
    assert_eq!(told(&signing), [old]);
    look(&mut signing, &[old, new], HOUR, at(1));
    assert_eq!(
        told(&signing),
        [old],
        "whatever the parent says: DNSKEY sets without it are cached"
    );
    assert_eq!(signing.due(delays()), Some(past(at(0), 24 * HOUR + 5 * MINUTE)));
    signing.ready = true;
    assert_eq!((told(&signing), signing.due(delays())), (Vec::from([new]), None));
}

#[test]
fn a_ttl_that_was_lowered_counts_until_caches_have_forgotten_it() {
    assert_eq!(cached_until(at(10), MINUTE, at(0)), past(at(10), MINUTE));
    assert_eq!(cached_until(at(10), MINUTE, at(24 * 60)), at(24 * 60));
    assert_eq!(cached_until(Timestamp(u64::MAX), MINUTE, at(0)), Timestamp(u64::MAX));
}

#[test]
fn a_key_leaves_only_when_nobody_can_trust_the_zone_by_it_alone() {
    let (mut signing, old, new) = rolling();
    let ready = 26 * 60 + 30;
    assert!(obstacle(&signing, at(ready)).contains("nobody has looked"));
    look(&mut signing, &[old], 5 * HOUR, at(ready));
    assert!(obstacle(&signing, at(9999)).contains("do not name the new key"));
    look(&mut signing, &[new, old], 5 * HOUR, at(ready + 1));
    assert!(obstacle(&signing, at(9999)).contains("still name the old key"));
    look(&mut signing, &[new], HOUR, at(ready + 100));
    let moment = past(at(ready + 100), 6 * HOUR);
    assert!(waits_until(&signing, obstacle, moment), "the former TTL counts");
    look(&mut signing, &[new], HOUR, at(ready + 103));
    assert!(waits_until(&signing, obstacle, moment), "looking again does not begin anew");
}

#[test]
fn a_parent_that_changed_too_early_shortens_nothing() {
    let (mut signing, _, new) = rolling();
    look(&mut signing, &[new], HOUR, at(1));
    assert!(waits_until(&signing, obstacle, past(at(0), 24 * HOUR + 5 * MINUTE)));
    assert!(obstacle(&signing, at(2)).contains("back beside"), "what mends it");
}

#[test]
fn what_is_known_of_the_parent_outlasts_a_rollover() {
    let (mut signing, old, new) = rolling();
    look(&mut signing, &[old], 5 * HOUR, at(0));
    signing.keys.remove(0);
    look(&mut signing, &[new], HOUR, at(0));
    look(&mut signing, &[], Duration::ZERO, at(100));
    assert!(waits_until(&signing, disable_obstacle, past(at(100), 6 * HOUR)));
}

#[test]
fn a_zone_is_left_unsigned_only_when_no_resolver_may_expect_a_signature() {
    let mut signing = signed();
    assert!(disable_obstacle(&signing, at(0)).contains("nobody has looked"));
    look(&mut signing, &[key(1).tag()], HOUR, at(0));
    assert!(disable_obstacle(&signing, at(999)).contains("still has DS records"));
    look(&mut signing, &[], Duration::ZERO, at(999));
    assert!(waits_until(&signing, disable_obstacle, past(at(999), 2 * HOUR)));
}

#[test]
fn a_ds_that_nobody_saw_is_waited_for_as_for_one_of_two_days() {
    let until = past(at(10), 49 * HOUR);
    let mut unseen = signed();
    look(&mut unseen, &[], Duration::ZERO, at(10));
    assert!(waits_until(&unseen, disable_obstacle, until));
    let mut untold = signed();
    look(&mut untold, &[key(1).tag()], Duration::ZERO, at(0));
    look(&mut untold, &[], Duration::ZERO, at(10));
    assert!(waits_until(&untold, disable_obstacle, until));
}

#[test]
fn steps_come_in_their_order() {
    let (unsigned, mut signed) = (Signing::default(), signed());
    let (rolling, ..) = rolling();
    let (enable, start) = (SigningChange::Enable(key(3)), SigningChange::StartRollover(key(3)));
    let possible = |signing: &Signing, change: &_| {
        signing.obstacle(change, &apex(), delays(), Timestamp(0)).is_none()
    };
    assert_eq!([&unsigned, &signed, &rolling].map(|s| possible(s, &enable)), [true, false, false]);
    assert_eq!([&unsigned, &signed, &rolling].map(|s| possible(s, &start)), [false, true, false]);
    assert!(!possible(&signed, &SigningChange::StartRollover(key(1))), "another key is needed");
    look(&mut signed, &[key(3).tag()], HOUR, at(0));
    assert!(!possible(&signed, &start), "its tag would be taken for what the parent names");
}

#[test]
fn the_first_key_is_neither_told_nor_replaced_before_every_cache_knows_it() {
    let mut signing = Signing::default();
    signing.add(key(1), cached_until(at(0), HOUR, at(0)));
    assert_eq!(signing.for_parent(), []);
    let start = SigningChange::StartRollover(key(3));
    let refusal = |signing: &Signing, now| told(signing.obstacle(&start, &apex(), delays(), now));
    assert!(waits_until(&signing, refusal, past(at(0), 65 * MINUTE)));
    signing.ready = true;
    assert_eq!(signing.for_parent(), [key(1)]);
}

#[test]
fn a_forced_finish_tells_the_parent_at_once() {
    let (mut signing, ..) = rolling();
    signing.remove_old();
    assert_eq!((signing.for_parent(), signing.due(delays())), (&[key(2)][..], None));
    assert_eq!(signing.awaits(&apex(), delays(), at(0)), None);
}

/// A signed zone whose parent was seen at 0 to name no key, and until when that is waited for.
fn seen_without_ds() -> (Signing, Timestamp) {
    let mut signing = signed();
    look(&mut signing, &[], Duration::ZERO, at(0));
    (signing, past(at(0), 49 * HOUR))
}

#[test]
fn a_look_holds_for_minutes() {
    let (signing, until) = seen_without_ds();
    assert!(disable_obstacle(&signing, until).contains("look again"));
    let again = looked_at_again(&signing, until);
    assert_eq!(disable_obstacle(&again, until + 5 * MINUTE), "");
    let late = until + 5 * MINUTE + Duration::from_millis(1);
    assert!(disable_obstacle(&again, late).contains(&alloc::format!("last looked at {until}")));
    let (mut rolling, _, new) = rolling();
    look(&mut rolling, &[new], HOUR, at(0));
    assert!(obstacle(&rolling, until).contains("look again"), "and so for a rollover");
}

#[test]
fn the_wait_begins_anew_after_a_gap_in_which_a_ds_may_have_come_and_gone() {
    let (signing, until) = seen_without_ds();
    let latest = until + 3 * 24 * HOUR;
    let in_time = disable_obstacle(&looked_at_again(&signing, latest), latest);
    assert_eq!(in_time, "", "late by a weekend");
    let too_late = Timestamp(latest.0 + 1);
    let again = looked_at_again(&signing, too_late);
    assert!(waits_until(&again, disable_obstacle, past(too_late, 49 * HOUR)));
    let twice = looked_at_again(&looked_at_again(&signing, until), too_late);
    assert_eq!(disable_obstacle(&twice, too_late), "", "a look between keeps the run");
}

#[test]
fn that_the_parent_names_no_key_is_looked_at_anew_once_it_is_told_of_one() {
    let (mut signing, until) = seen_without_ds();
    signing.ready = false;
    signing.tell_newest();
    assert!(signing.ready && disable_obstacle(&signing, until).contains("CDS has begun"));
    assert!(waits_until(
        &looked_at_again(&signing, until),
        disable_obstacle,
        past(until, 49 * HOUR)
    ));
    let mut named = signed();
    look(&mut named, &[key(1).tag()], HOUR, at(0));
    named.tell_newest();
    assert!(
        disable_obstacle(&named, at(1)).contains("still has DS records"),
        "a DS is no lack of one"
    );
}

#[test]
fn only_a_look_that_finds_something_else_is_told() {
    let (mut signing, until) = seen_without_ds();
    assert!(!look(&mut signing, &[], Duration::ZERO, until));
    assert!(look(&mut signing, &[], HOUR, until), "the TTL is known");
    assert!(look(&mut signing, &[7], HOUR, until), "a DS came");
    assert!(look(&mut signing, &[7], HOUR, until + 90 * 24 * HOUR), "the run began anew");
}

#[test]
fn a_rollover_is_abandoned_only_while_no_resolver_may_trust_the_zone_by_the_new_key() {
    let abandon = SigningChange::AbandonRollover { forced: None };
    let refusal = |signing: &Signing, now| told(signing.obstacle(&abandon, &apex(), delays(), now));
    assert!(refusal(&signed(), at(0)).contains("no rollover"));
    let (mut signing, old, new) = rolling();
    assert!(refusal(&signing, at(0)).contains("nobody has looked"));
    look(&mut signing, &[old, new], 5 * HOUR, at(1));
    assert!(refusal(&signing, at(9999)).contains("name the new key"));
    look(&mut signing, &[], 5 * HOUR, at(2));
    assert!(refusal(&signing, at(9999)).contains("do not name the old key"));
    look(&mut signing, &[old], HOUR, at(10));
    assert!(
        waits_until(&signing, refusal, past(at(10), 6 * HOUR)),
        "whether the new is ready or not"
    );
    signing.tell_newest();
    signing.remove_new();
    assert_eq!((signing.for_parent(), signing.due(delays())), (&[key(1)][..], None));
    let start = SigningChange::StartRollover(key(3));
    assert_eq!(
        signing.obstacle(&start, &apex(), delays(), at(999)),
        None,
        "another key may be tried"
    );
}

#[test]
fn the_delays_of_the_moment_count_and_are_told() {
    let quick = PropagationDelays { zone: 2 * MINUTE, parent: 30 * MINUTE };
    let (mut signing, _, new) = rolling();
    look(&mut signing, &[new], HOUR, at(0));
    let finish = SigningChange::FinishRollover { forced: None };
    let refusal = |signing: &Signing, delays, now| {
        let mut signing = signing.clone();
        signing.note_parent((&[ds_of(new)], HOUR), delays, now);
        told(signing.obstacle(&finish, &apex(), delays, now))
    };
    let (early, late) = (past(at(0), 24 * HOUR + 2 * MINUTE), past(at(0), 24 * HOUR + 5 * MINUTE));
    assert_eq!((signing.due(quick), signing.due(delays())), (Some(early), Some(late)));
    assert_eq!(refusal(&signing, quick, early), "");
    assert!(refusal(&signing, quick, at(1)).contains("2m00s for all agents"));
    assert!(refusal(&signing, delays(), early).contains("5m00s for all agents"));

    let (mut signing, _) = seen_without_ds();
    look(&mut signing, &[], HOUR, at(0));
    let disable = SigningChange::Disable { forced: None };
    let refusal = |delays, now| told(signing.obstacle(&disable, &apex(), delays, now));
    let moment = past(at(0), 90 * MINUTE);
    assert!(refusal(delays(), moment).contains("1h00m for all servers"));
    let told = refusal(quick, at(0));
    assert!(told.contains("30m00s for all servers"), "{told}");
    assert!(told.contains(&alloc::format!("until {moment}")), "{told}");
}

/// A parent that has a DS record of this key with another digest.
fn mistaken(tag: u16) -> Ds {
    Ds { digest: Vec::from([0xaa; 32]), ..ds_of(tag) }
}

#[test]
fn a_ds_with_the_tag_of_the_new_key_and_another_digest_lets_nothing_leave_and_starts_no_wait() {
    let (mut signing, old, new) = rolling();
    signing.tell_newest();
    for (what, wrong) in [
        ("digest", mistaken(new)),
        ("algorithm", Ds { algorithm: 13, ..ds_of(new) }),
        ("type", Ds { digest_type: 4, ..ds_of(new) }),
    ] {
        look_at(&mut signing, &[wrong], HOUR, at(0));
        assert!(obstacle(&signing, at(9999)).contains("another digest or algorithm"), "{what}");
        assert_eq!(signing.seen_of(&apex(), &key(2)), Some(Fit::Mistaken), "{what}");
    }
    look_at(&mut signing, &[Ds { digest_type: 3, ..ds_of(new) }], HOUR, at(0));
    assert!(obstacle(&signing, at(9999)).contains("not compared"));
    look(&mut signing, &[new], HOUR, at(100));
    assert!(waits_until(&signing, obstacle, past(at(100), 2 * HOUR)), "since it is right");

    look_at(&mut signing, &[mistaken(old), ds_of(new)], HOUR, at(9999));
    assert!(
        waits_until(&signing, obstacle, past(at(9999), 2 * HOUR)),
        "nobody trusts the old key by a record that is not its own"
    );
    look_at(&mut signing, &[Ds { digest_type: 3, ..ds_of(old) }, ds_of(new)], HOUR, at(9999));
    assert!(obstacle(&signing, at(99_999)).contains("still name the old key"), "somebody may");
}

#[test]
fn a_rollover_is_not_abandoned_for_a_ds_with_the_old_tag_and_another_digest() {
    let (mut signing, old, new) = rolling();
    let abandon = SigningChange::AbandonRollover { forced: None };
    let refusal = |signing: &Signing, now| told(signing.obstacle(&abandon, &apex(), delays(), now));
    look_at(&mut signing, &[mistaken(old)], HOUR, at(0));
    assert!(refusal(&signing, at(9999)).contains("another digest or algorithm"));
    look_at(&mut signing, &[ds_of(old), Ds { digest_type: 3, ..ds_of(new) }], HOUR, at(0));
    assert!(refusal(&signing, at(9999)).contains("name the new key"), "somebody may trust it");
    look_at(&mut signing, &[ds_of(old), mistaken(new)], HOUR, at(10));
    assert!(waits_until(&signing, refusal, past(at(10), 2 * HOUR)), "nobody can");
}

#[test]
fn what_is_wrong_at_the_parent_is_told_as_long_as_it_was_seen_last() {
    let mut signing = signed();
    assert_eq!(
        (signing.parent_faults(&apex()), signing.seen_of(&apex(), &key(1))),
        (Vec::new(), None)
    );
    look_at(&mut signing, &[mistaken(key(1).tag())], HOUR, at(0));
    let told = signing.parent_faults(&apex());
    assert!(matches!(&told[..], [DsFault::NamesNoKey(_), DsFault::Mistaken(_)]), "{told:?}");
    look(&mut signing, &[key(1).tag()], HOUR, at(1));
    assert_eq!(signing.parent_faults(&apex()), []);
    assert_eq!(signing.seen_of(&apex(), &key(1)), Some(Fit::Names));
}

#[test]
fn more_than_is_remembered_is_refused_rather_than_cut() {
    let signing = signed();
    let noted = |records: Vec<Ds>| {
        let note = SigningChange::NoteParent { records, ttl: HOUR };
        signing.obstacle(&note, &apex(), delays(), at(0))
    };
    let many = |count: u16| (0..count).map(ds_of).collect::<Vec<_>>();
    assert_eq!(noted(many(16)), None);
    assert!(noted(many(17)).is_some());
    let long = |length| Vec::from([Ds { digest: alloc::vec![1; length], ..ds_of(7) }]);
    assert_eq!(noted(long(64)), None);
    assert!(noted(long(65)).is_some());
}

#[test]
fn a_refusal_says_to_wait_only_where_time_alone_is_in_the_way() {
    let next = |signing: &Signing, change: &SigningChange| {
        let obstacle = signing.obstacle(change, &apex(), delays(), at(9999));
        obstacle.expect("it is refused").next_step
    };
    let (finish, disable) =
        (SigningChange::FinishRollover { forced: None }, SigningChange::Disable { forced: None });
    let (rolling, ..) = rolling();
    for (signing, change, expected) in [
        (&signed(), &SigningChange::Enable(key(3)), "rollover start"),
        (&signed(), &finish, "rollover start"),
        (&rolling, &SigningChange::StartRollover(key(3)), "rollover finish"),
        (&rolling, &finish, "--resolver IP"),
        (&Signing::default(), &disable, "holdfast zone list"),
    ] {
        let next = next(signing, change);
        assert!(next.contains(expected) && !next.contains("ask again then"), "{next}");
    }
    let mut fresh = Signing::default();
    fresh.add(key(1), cached_until(at(0), HOUR, at(0)));
    let early = fresh.obstacle(&SigningChange::StartRollover(key(3)), &apex(), delays(), at(0));
    assert!(early.expect("too early").next_step.contains("ask again then"));
}
