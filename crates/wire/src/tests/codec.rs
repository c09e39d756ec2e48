//! Every value survives its bytes; no bytes do harm; what a newer version wrote is recognised.

use std::collections::BTreeMap;

use holdfast_core::membership::MembershipChange;
use holdfast_core::spec::{Service, Zone};
use holdfast_core::state::ZoneState;
use holdfast_core::{Actor, AgentId, Command, Entry, GroupId, Sealed, State, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use super::value;
use crate::codec::ENTRY_FORMAT;
use crate::command::Proposal;
use crate::convert::request_id;
use crate::lookup::{Found, Lookup};
use crate::pb::internal::v1 as internal;
use crate::{Convert, DecodeError, command, entry, outcome, records, report, snapshot};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn entries_survive(value in value::entry()) {
        prop_assert_eq!(entry::decode(&entry::encode(&value)), Ok(value.clone()));
        prop_assert_eq!(entry::normalize(&value), Ok(value));
    }

    #[test]
    fn proposals_survive(value in value::entry()) {
        let proposal =
            Proposal { request_id: value.request_id, actor: value.actor, command: value.command };
        prop_assert_eq!(command::decode(&command::encode(&proposal)), Ok(proposal));
    }

    #[test]
    fn services_survive(value in value::service()) {
        prop_assert_eq!(Service::from_proto(value.to_proto()), Ok(value));
    }

    #[test]
    fn zones_survive(value in value::zone()) {
        prop_assert_eq!(Zone::from_proto(value.to_proto()), Ok(value));
    }

    #[test]
    fn sealed_secrets_survive(value in value::sealed()) {
        prop_assert_eq!(Sealed::from_proto(value.to_proto()), Ok(value));
    }

    #[test]
    fn outcomes_survive(value in value::outcome()) {
        prop_assert_eq!(outcome::decode(&outcome::encode(&value)), Ok(value));
    }

    #[test]
    fn reports_survive(value in value::report()) {
        prop_assert_eq!(report::decode(&report::encode(&value)), Ok(value));
    }

    #[test]
    fn looks_from_outside_survive(asked in value::lookup(), found in value::found()) {
        prop_assert_eq!(Lookup::decode(&asked.encode()), Ok(asked));
        prop_assert_eq!(Found::decode(&found.encode()), Ok(found));
    }

    #[test]
    fn chains_survive_and_stay_intact(value in value::chain()) {
        let decoded = records::decode(&records::encode(&value)).expect("our own bytes");
        prop_assert!(decoded.iter().all(|record| record.is_intact()));
        prop_assert_eq!(decoded, value);
    }

    #[test]
    fn snapshots_of_real_states_survive(entries in vec(value::entry(), 0..12)) {
        let mut state = State::new(GroupId(1));
        for (i, entry) in entries.iter().enumerate() {
            state.apply(i as u64 + 1, entry);
        }
        let decoded = snapshot::decode(&snapshot::encode(state.snapshot()));
        prop_assert_eq!(decoded.as_ref(), Ok(state.snapshot()));
        let restored = State::restore(decoded.expect("compared above"));
        prop_assert_eq!(restored.hash(), state.hash());
    }

    #[test]
    fn snapshots_hold_members_and_what_is_requested(
        before in value::members(), after in value::members(), entries in vec(value::entry(), 0..12),
    ) {
        let mut state = State::new(GroupId(1));
        for (index, (members, votes, joint)) in [(1, before), (2, after)] {
            let members: BTreeMap<_, _> = (1..).map(AgentId).zip(members).collect();
            let voters = members.keys().copied().take(votes).collect();
            state.take_membership(index, members, voters, joint);
        }
        let promote = (1..6).map(AgentId).map(MembershipChange::Promote);
        let requests = promote.map(|change| Entry { command: Command::RequestMembership(change), ..tick() });
        for (i, entry) in entries.into_iter().chain(requests).enumerate() {
            state.apply(i as u64 + 3, &entry);
        }
        let decoded = snapshot::decode(&snapshot::encode(state.snapshot()));
        prop_assert_eq!(decoded.as_ref(), Ok(state.snapshot()));
    }

    #[test]
    fn snapshots_hold_the_keys_of_zones(
        zone in value::zone(), signing in value::signing(), former_ttls_until in any::<u64>().prop_map(Timestamp),
        deleted in value::dns_name(),
    ) {
        let mut snapshot = State::new(GroupId(1)).snapshot().clone();
        snapshot.deleted_zones.insert(deleted, former_ttls_until);
        let state = ZoneState { signing, former_ttls_until, ..ZoneState::new(zone.clone(), 7) };
        snapshot.zones.insert(zone.name, state);
        prop_assert_eq!(snapshot::decode(&snapshot::encode(&snapshot)), Ok(snapshot));
    }

    #[test]
    fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..200)) {
        try_all(&bytes);
    }

    #[test]
    fn no_damage_to_good_bytes_does_harm(
        value in value::entry(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = entry::encode(&value);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        try_all(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        try_all(&bytes);
    }

    #[test]
    fn no_damage_to_what_agents_saw_does_harm(
        value in value::found(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = value.encode();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        try_all(&bytes);
    }

    #[test]
    fn request_ids_are_read_as_they_are_written(id: u128, upper: bool) {
        let id = holdfast_core::RequestId(id);
        let text = id.to_string();
        let text = if upper { text.to_uppercase() } else { text };
        prop_assert_eq!(request_id(&text), Ok(id));
        prop_assert_eq!(request_id(&text.replace('-', "")), Ok(id));
    }
}

/// Decodes as everything; what decodes must survive being encoded again.
fn try_all(bytes: &[u8]) {
    if let Ok(value) = entry::decode(bytes) {
        assert_eq!(entry::decode(&entry::encode(&value)), Ok(value));
    }
    if let Ok(value) = Found::decode(bytes) {
        assert_eq!(Found::decode(&value.encode()), Ok(value));
    }
    let _ = Lookup::decode(bytes);
    let _ = command::decode(bytes);
    let _ = outcome::decode(bytes);
    let _ = report::decode(bytes);
    let _ = records::decode(bytes);
    if let Ok(value) = snapshot::decode(bytes) {
        assert_eq!(snapshot::decode(&snapshot::encode(&value)), Ok(value));
    }
}

fn tick() -> Entry {
    Entry {
        at: Timestamp(7),
        request_id: None,
        actor: Actor::system(),
        command: Command::AdvanceTime,
    }
}

#[test]
fn a_newer_format_is_recognised_whatever_follows() {
    let newer = [&[0x08, 2][..], &[0xff; 5]].concat();
    let whole = internal::Format { format: ENTRY_FORMAT + 1 }.encode_to_vec();
    let error = entry::decode(&whole).expect_err("it is newer");
    assert_eq!(error, DecodeError::TooNew { what: "entry", found: 2, known: 1 });
    assert!(matches!(entry::decode(&newer), Err(DecodeError::Malformed { .. })));
}

#[test]
fn what_only_a_newer_version_knows_is_missing_rather_than_guessed() {
    let mut proto = tick().to_proto();
    proto.command = Some(internal::Command { command: None });
    let error = Entry::from_proto(proto).expect_err("there is no command");
    assert_eq!(error.to_string(), "command: missing, or of a kind that this version does not know");
    let mut proto = tick().to_proto();
    proto.actor.as_mut().expect("it has one").kind = 99;
    let error = Entry::from_proto(proto).expect_err("there is no such kind");
    assert_eq!(error.field(), Some("actor.kind"));
}

#[test]
fn errors_name_the_place() {
    let service = crate::pb::v1::Service {
        id: "shop".to_owned(),
        dns: Some(crate::pb::v1::ServiceDns { name: "a..b".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let error = Service::from_proto(service).expect_err("the name is not possible");
    assert_eq!(error.field(), Some("dns.name"));
    let text = "not-a-uuid";
    assert!(request_id(text).expect_err("no UUID").to_string().contains(text));
    assert_eq!(request_id("").expect_err("no UUID").field(), Some("request_id"));
}

#[test]
fn bytes_of_nothing_are_no_entry() {
    assert!(matches!(entry::decode(&[]), Err(DecodeError::Malformed { .. })));
}
