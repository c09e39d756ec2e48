//! How much an update, a name and a zone may have.

use super::*;

#[test]
fn an_update_has_bounds() {
    let mut group = Group::new(open());
    let whole = update("k.test", "yx www; + a 60 A 192.0.2.9");
    let asking = |count| vec![whole.prerequisites[0].clone(); count];
    let changing = |count| vec![whole.changes[0].clone(); count];
    for (prerequisites, changes, expected) in [
        (64, 1000, Ok(true)),
        (65, 0, Err(UpdateCode::Refused)),
        (0, 1001, Err(UpdateCode::Refused)),
    ] {
        let update = ZoneUpdate {
            prerequisites: asking(prerequisites),
            changes: changing(changes),
            ..whole.clone()
        };
        let result = group.apply(Command::UpdateZone(update)).outcome.result;
        assert_eq!(changed(result), expected, "{prerequisites} and {changes}");
    }
}

#[test]
fn a_name_has_a_bounded_number_of_records_of_updates() {
    let mut group = Group::new(open());
    let mut add = |kind: usize, records: std::ops::Range<usize>| {
        let lines = records.map(|n| format!("+ a 60 TYPE{} \\# 2 {n:04x}", 1000 + kind));
        group.update(&lines.collect::<Vec<_>>().join(";"))
    };
    for kind in 0..4 {
        assert_eq!(add(kind, 0..1000), Ok(true));
    }
    assert_eq!(add(4, 0..96), Ok(true), "4096 records");
    assert_eq!(add(5, 0..1), Err(UpdateCode::Refused));
    assert_eq!(add(4, 0..96), Ok(false), "they are there");
    let longer = update("k.test", "+ a 61 TYPE1001 \\# 2 0000");
    let applied = group.done(Command::UpdateZone(longer));
    let Event::ZoneUpdated { changes, unnamed, .. } = &applied.records[0].content.event else {
        panic!("{:?}", applied.records)
    };
    assert_eq!((changes.len(), *unnamed), (64, 2000 - 64), "a TTL is that of the whole set");
    assert!(changes.iter().all(|line| line.starts_with("- a.z.test 60 TYPE1001 ")), "{changes:?}");
    assert_eq!(group.update("- a; + b 60 A 192.0.2.1"), Ok(true));
}

#[test]
fn a_zone_has_a_bounded_number_of_bytes() {
    let mut group = Group::new(open());
    let record = |n: usize, last: u8| {
        let data = RecordData::Other { kind: Kind(1000), data: vec![last; 8000] };
        Record { name: name(&format!("h{n}")), ttl: Duration::from_secs(60), data }
    };
    // 24 KB at each name.
    let fill = |names: std::ops::Range<usize>| {
        let records = names.flat_map(|n| (0..3).map(move |last| record(n, last)));
        let changes = records
            .map(|Record { name, ttl, data }| Change { name, action: Action::Add { ttl, data } });
        let update = ZoneUpdate { changes: changes.collect(), ..update("k.test", "- a") };
        Command::UpdateZone(update)
    };
    for chunk in 0..4 {
        group.done(fill(chunk * 330..(chunk + 1) * 330));
    }
    let held =
        |group: &Group| group.state.snapshot().zones[&name("@")].dynamic.values().flatten().count();
    assert_eq!(held(&group), 3960);
    assert_eq!(changed(group.apply(fill(1320..1420)).outcome.result), Err(UpdateCode::Refused));
    assert_eq!(held(&group), 3960);
    assert_eq!(group.update("- h0; - h1"), Ok(true));
    assert_eq!(changed(group.apply(fill(2000..2002)).outcome.result), Ok(true));
    let declaring = |count: usize| {
        let records = (0..count).map(|n| record(5000 + n, 0)).collect();
        Zone { records, ..open() }
    };
    let beside = group.declare(declaring(250));
    assert!(matches!(beside, Err(Rejection::LimitReached { .. })), "{beside:?}");
    let alone = declaring(4200).validate().expect_err("more than 32 MiB");
    assert_eq!(alone.field, "records");
    assert!(declaring(4000).validate().is_ok());
}
