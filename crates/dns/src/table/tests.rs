use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_proto::op::ResponseCode::{self, NXDomain, NoError, Refused, ServFail};
use holdfast_core::Epoch;
use holdfast_core::spec::{RecordData, Soa, Zone as Declared};
use holdfast_core::view::{NameAnswers, Pick, RecordSet, ZoneAnswers};

use super::*;
use crate::plain;
use crate::respond::{Peer, Transport};
use crate::screen::{Screened, screen};

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("valid")
}

fn data(last: u8, refused: bool) -> Arc<NameAnswers> {
    let address = RecordData::A(Ipv4Addr::new(192, 0, 2, last));
    let set =
        RecordSet { ttl: Duration::from_secs(30), pick: Pick::All, records: vec![(address, 1)] };
    Arc::new(NameAnswers { service: None, epoch: Epoch(0), refused, sets: vec![set] })
}

fn zone(apex: &str) -> Arc<ZoneAnswers> {
    let soa = Soa::new(name("hostmaster.example.test"));
    let zone = Declared::new(name(apex), soa, vec![], Duration::ZERO);
    Arc::new(ZoneAnswers::new(zone, 0))
}

/// Many names of one zone, a closed one, and a wildcard.
fn view() -> Answers {
    let many = (0..5000).map(|number| format!("h{number}.svc.example.test"));
    let names = many.map(|text| (name(&text), data(1, false))).chain([
        (name("closed.example.test"), data(1, true)),
        (name("*.wild.example.test"), data(2, false)),
    ]);
    Answers {
        index: 1,
        zones: [(name("example.test"), zone("example.test"))].into(),
        names: names.collect(),
        ..Answers::default()
    }
}

/// The names that two tables do not share the entries of, and how many shards they do not share.
fn unshared(old: &Table, new: &Table) -> (Vec<Vec<u8>>, usize) {
    let mut names = Vec::new();
    let mut shards = 0;
    let held = |shard: &Shard, slot: &Slot| {
        shard.find(slot.hash, |other| other.is(slot.hash, &slot.entry.name)).cloned()
    };
    for (old, new) in old.shards.iter().zip(&new.shards) {
        shards += usize::from(!Arc::ptr_eq(old, new));
        let kept =
            |slot: &&Slot| held(old, slot).is_some_and(|old| Arc::ptr_eq(&old.entry, &slot.entry));
        names.extend(new.iter().filter(|slot| !kept(slot)).map(|slot| slot.entry.name.to_vec()));
        let gone = old.iter().filter(|slot| held(new, slot).is_none());
        names.extend(gone.map(|slot| slot.entry.name.to_vec()));
    }
    (names, shards)
}

#[test]
fn what_changes_at_a_name_touches_nothing_else() {
    let old = view();
    let table = Table::of(None, &old);
    let h7 = name("h7.svc.example.test");
    let mut new = old.clone();
    new.zones.insert(name("example.test"), zone("example.test"));
    new.names.insert(h7.clone(), data(9, false));
    let next = Table::of(Some((&old, &table)), &new);
    assert_eq!(unshared(&table, &next), (vec![h7.to_wire()], 1));

    let mut newer = new.clone();
    newer.names.remove(&h7);
    let last = Table::of(Some((&new, &next)), &newer);
    assert_eq!(unshared(&next, &last), (vec![h7.to_wire()], 1));
    assert!(last.node(&h7.to_wire()).is_none());
}

#[test]
fn names_above_the_last_name_go_with_it() {
    let mut old = view();
    old.names.insert(name("a.b.c.example.test"), data(1, false));
    let table = Table::of(None, &old);
    let above = ["b.c.example.test", "c.example.test"].map(|text| name(text).to_wire());
    assert!(above.iter().all(|wire| table.node(wire).is_some()));
    let mut new = old.clone();
    new.names.remove(&name("a.b.c.example.test"));
    let next = Table::of(Some((&old, &table)), &new);
    assert!(above.iter().all(|wire| next.node(wire).is_none()));
    assert!(next.node(&name("example.test").to_wire()).is_some(), "the apex stays");
}

fn told(table: &Table, owner: &str, kind: u16) -> Option<(ResponseCode, usize)> {
    let mut wire = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    wire.extend(name(owner).to_wire());
    wire.extend([kind.to_be_bytes(), [0, 1]].as_flattened());
    let peer =
        Peer { address: (IpAddr::from([192, 0, 2, 1]), 4000).into(), transport: Transport::Udp };
    let Screened::Query(query) = screen(&wire, peer) else { panic!("{owner} is no query") };
    let mut out = Vec::new();
    let geo = crate::geo::Geo::default();
    let asker = crate::client::Asker { source: peer.address.ip(), subnet: None, geo: &geo };
    let plain = plain::answer(table, (&wire, &query), 512, (&asker, || 0), &mut out)?;
    Some((plain.told.code, usize::from(out[7])))
}

#[test]
fn plain_questions_are_answered_without_the_handler_and_others_are_not() {
    let table = Table::of(None, &view());
    for (owner, kind, expected) in [
        ("h7.svc.example.test", 1, Some((NoError, 1))),
        ("h7.svc.example.test", 28, Some((NoError, 0))),
        ("h7.svc.example.test", 65, Some((NoError, 0))),
        ("svc.example.test", 1, Some((NoError, 0))),
        ("example.test", 1, Some((NoError, 0))),
        ("no.svc.example.test", 1, Some((NXDomain, 0))),
        ("a.b.c.d.e.f.no.example.test", 1, Some((NXDomain, 0))),
        ("closed.example.test", 1, Some((ServFail, 0))),
        ("elsewhere.test", 1, Some((Refused, 0))),
        ("a.wild.example.test", 1, None),
        ("example.test", 6, None),
        ("h7.svc.example.test", 255, None),
        ("h7.svc.example.test", 252, None),
        ("_holdfast.example.test", 16, None),
        // The SOA's mailbox could be compressed against it.
        ("hostmaster.example.test", 1, None),
    ] {
        assert_eq!(told(&table, owner, kind), expected, "{owner} {kind}");
    }
}

#[test]
fn a_dname_in_the_place_of_name_servers_at_an_apex_renews_what_is_below() {
    let with = |data: RecordData| {
        let mut view = view();
        let set =
            RecordSet { ttl: Duration::from_secs(30), pick: Pick::All, records: vec![(data, 1)] };
        let here = NameAnswers { service: None, epoch: Epoch(0), refused: false, sets: vec![set] };
        view.names.insert(name("example.test"), Arc::new(here));
        view
    };
    let old = with(RecordData::Ns(name("ns.elsewhere.test")));
    let table = Table::of(None, &old);
    assert_eq!(told(&table, "h7.svc.example.test", 1), Some((NoError, 1)));
    let new = with(RecordData::Dname(name("elsewhere.test")));
    let next = Table::of(Some((&old, &table)), &new);
    assert_eq!(told(&next, "h7.svc.example.test", 1), None, "it is renamed, by the handler");
}

#[test]
fn names_of_one_hash_are_kept_apart() {
    let table = Table::of(None, &view());
    let (hash, known) = (7, name("h7.svc.example.test").to_wire());
    let node = Node::compile(&view(), &name("h7.svc.example.test"), 0);
    let slot = Slot { hash, entry: Arc::new(Entry { name: known[..].into(), node }) };
    assert!(slot.is(hash, &known));
    assert!(!slot.is(hash, &name("h8.svc.example.test").to_wire()));
    let long = format!("{}.{}.example.test", "a".repeat(63), "b".repeat(63));
    let mut view = view();
    view.names.insert(name(&long), data(3, false));
    let next = Table::of(Some((&self::view(), &table)), &view);
    assert_eq!(told(&next, &long, 1), Some((NoError, 1)), "longer than the usual name");
}
