//! What holds of a zone whatever is asked of it: it is possible, and served whole.

use super::*;

/// What may be asked of a small zone.
fn step() -> impl Strategy<Value = Command> {
    let owner = prop::sample::select(vec![
        "@",
        "a",
        "b",
        "a.b",
        "c.a.b",
        "*.b",
        "ns1",
        "www",
        "shop",
        "shop",
        "ip-192-0-2-1.shop",
    ]);
    let kinds = vec![
        ("A", "192.0.2.1"),
        ("A", "192.0.2.2"),
        ("A", "192.0.2.80"),
        ("CNAME", "a"),
        ("TXT", "x"),
        ("NS", "ns.elsewhere.test."),
        ("NS", "c.a.b"),
        ("DNAME", "b"),
        ("DS", "1 13 2 00"),
    ];
    let record = move || prop::sample::select(kinds.clone());
    let line =
        (owner, record(), 0_u8..9, 0_u8..3).prop_map(
            |(owner, (kind, text), verb, ttl)| match verb {
                0..5 => format!("+ {owner} {ttl} {kind} {text}"),
                5 => format!("- {owner}"),
                6 => format!("- {owner} {kind}"),
                7 => format!("- {owner} {kind} {text}"),
                _ => format!("yx {owner} {kind}"),
            },
        );
    let declared = vec![
        ("www", "A", "192.0.2.1"),
        ("a", "TXT", "d"),
        ("b", "NS", "ns.elsewhere.test."),
        ("c.a.b", "A", "192.0.2.3"),
    ];
    let declared = prop::sample::subsequence(declared, 0..4);
    prop_oneof![
        8 => vec(line, 1..4).prop_map(|lines| Command::UpdateZone(update("k.test", &lines.join(";")))),
        2 => declared.prop_map(|records| {
            let all = [Kind::A, Kind::CNAME, Kind::TXT, Kind::NS, Kind::DNAME, Kind::DS];
            let zone = zone(&records, &[("k.test", &[], &all)]);
            Command::ApplyZone { zone: registering(zone), if_revision: None }
        }),
        1 => Just(Command::ApplyService { service: service("shop"), if_revision: None }),
        1 => Just(Command::DeleteService { id: service("shop").id, if_revision: None }),
        1 => Just(Command::DeleteZone { name: name("@") }),
    ]
}

/// Whether a declaration would change anything, as a dry run is told; `None` for other commands.
fn judged(state: &State, command: &Command) -> Option<Result<bool, Rejection>> {
    let judged = match command {
        Command::ApplyZone { zone, if_revision } => state.check_zone(zone, *if_revision),
        Command::ApplyService { service, if_revision } => {
            state.check_service(service, *if_revision)
        }
        _ => return None,
    };
    Some(judged.map(|declared| declared.changed))
}

fn came_to(result: Result<Reply, Rejection>) -> Result<bool, Rejection> {
    result.map(|reply| matches!(reply, Reply::Stored { changed: true, .. }))
}

proptest! {
    #[test]
    fn a_zone_is_possible_and_served_whole_whatever_is_asked(steps in vec(step(), 1..40)) {
        let rule: (&str, &[&str], &[Kind]) =
            ("k.test", &[], &[Kind::A, Kind::CNAME, Kind::TXT, Kind::NS, Kind::DNAME, Kind::DS]);
        let mut group = Group::new(registering(zone(&[], &[rule])));
        let mut serial = 0;
        for command in steps {
            let before = group.state.snapshot().clone();
            let judged = judged(&group.state, &command);
            let applied = group.apply(command);
            if let Some(judged) = judged {
                prop_assert_eq!(judged, came_to(applied.outcome.result.clone()), "as a dry run was told");
            }
            if applied.outcome.result.is_err() {
                prop_assert_eq!(&group.state.snapshot().zones, &before.zones);
                prop_assert_eq!(&group.state.snapshot().services, &before.services);
            }
            let view = group.state.view();
            let mut restored = State::restore(group.state.snapshot().clone());
            prop_assert_eq!(&restored.view().answers, &view.answers, "published bit by bit and at once");
            let Some(state) = group.state.snapshot().zones.get(&name("@")) else { continue };
            let mut whole = (*state.zone).clone();
            whole.records.extend(state.dynamic.values().flatten().cloned());
            prop_assert_eq!(whole.validate(), Ok(()));
            let services = group.state.snapshot().services.values();
            prop_assert!(services.into_iter().all(|service| service.spec.validate().is_ok()));
            let next = view.answers.zones.get(&name("@")).expect("it is there").serial;
            prop_assert!(next >= serial);
            serial = next;
        }
    }
}
