//! JSON Lines: nothing is lost, and a file proves itself.

use std::io::Cursor;
use std::net::IpAddr;

use holdfast_core::decision::{Basis, BlockReason, Cause, Selection, Served};
use holdfast_core::observation::ObserverState;
use holdfast_core::overrides::{Order as Ordered, Override, Pause, Scope};
use holdfast_core::quorum::{Evidence, Verdict};
use holdfast_core::sample::{Failure, FailureKind, Phase};
use holdfast_core::spec::{Address, AllDown, Settings};
use holdfast_core::{
    BootId, CheckName, DnsName, EndpointName, Epoch, OverrideId, PoolName, RegionName,
};
use proptest::prelude::*;

use super::*;
use crate::{
    Contiguity, Filter, TamperingKind, Verification, record_from_json, record_to_json,
    verify_export,
};

fn selection() -> Selection {
    let served = |name: &str, address| Served {
        pool: PoolName::new("eu").expect("valid"),
        endpoint: EndpointName::new(name).expect("valid"),
        address,
        port: 443,
        weight: u32::MAX,
    };
    let ip = |text: &str| Address::Ip(text.parse::<IpAddr>().expect("valid"));
    let name = Address::Name(DnsName::new("host.example").expect("valid"));
    Selection {
        active: Some(PoolName::new("eu").expect("valid")),
        served: vec![
            served("a", ip("203.0.113.7")),
            served("b", ip("2001:db8::1")),
            served("c", name),
        ],
        refused: false,
        basis: Basis::Healthy,
    }
}

/// Events with every kind of field that there is.
fn rich_events() -> Vec<Event> {
    let endpoint = EndpointName::new("a").expect("valid");
    let evidence = Evidence {
        agent: AgentId(3),
        region: RegionName::new("eu").expect("valid"),
        boot: BootId(u64::MAX),
        sequence: 9,
        state: ObserverState::Down,
        failure: Some(Failure::new(
            Phase::Connect,
            FailureKind::Refused,
            "\u{1} \u{2028} \"quoted\" ü",
        )),
        since: Timestamp(u64::MAX),
        recorded_at: Timestamp(0),
    };
    let order = Override {
        id: OverrideId(7),
        service: ServiceId::new("eu/shop").expect("valid"),
        order: Ordered::Drain(Scope::Endpoint(endpoint.clone())),
        actor: "alice".into(),
        reason: "maintenance".into(),
        set_at: Timestamp(1),
        expires_at: Timestamp(2),
    };
    let pause = Pause {
        actor: "a".into(),
        reason: "b".into(),
        set_at: Timestamp(1),
        expires_at: Timestamp(2),
    };
    vec![
        Event::VerdictChanged {
            endpoint: endpoint.clone(),
            check: CheckName::new("https").expect("valid"),
            from: Verdict::Up,
            to: Verdict::Down,
            evidence: vec![evidence],
        },
        Event::SelectionChanged {
            epoch: Epoch(4),
            from: Selection::default(),
            to: selection(),
            cause: Cause::Failed,
            trouble_since: Some(Timestamp(5)),
            all_down: Some(AllDown::FailOpen),
        },
        Event::MoveBlocked { reason: BlockReason::HoldDown, wanted: selection() },
        Event::OverrideSet(order.clone()),
        Event::OverrideEnded { order, by: "holdfast".into(), reason: String::new() },
        Event::AutomationPaused(pause),
        Event::ZoneApplied {
            zone: DnsName::new("example.test").expect("valid"),
            digest: "00".into(),
        },
        Event::EndpointDeregistered { endpoint },
        Event::SettingsChanged { from: Settings::default(), to: Settings::default() },
        Event::LogicVersionRaised { version: u32::MAX },
    ]
}

async fn exported(count: u64) -> Vec<String> {
    let (_, log) = filled(count).await;
    let mut file = Vec::new();
    log.export(&mut file, &Filter::default()).expect("exports");
    let text = String::from_utf8(file).expect("JSON is UTF-8");
    text.lines().map(str::to_owned).collect()
}

fn check(lines: &[String], contiguity: Contiguity, head: Option<Head>) -> Verification {
    let mut file = Cursor::new(lines.join("\n"));
    verify_export(&mut file, contiguity, head.as_ref()).expect("reads")
}

#[test]
fn every_event_reads_back_to_the_same_record() {
    for event in rich_events() {
        let record = Record::after(&Head::EMPTY, Content { event, ..content(10) });
        let line = record_to_json(&record);
        let back = record_from_json(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(back, record);
        assert!(back.is_intact(), "{line}");
    }
}

#[test]
fn a_line_is_plain_to_read() {
    let line = record_to_json(&chain(10)[9]);
    let hash = "[0-9a-f]{64}";
    assert!(line.starts_with(
        r#"{"sequence":10,"index":20,"at":"2026-09-21T14:13:30.000Z","actor":{"kind":"Person","name":"alice"},"request_id":"ffffffff-ffff-ffff-ffff-fffffffffff5","service":"pay","kind":"service.deleted","event":"ServiceDeleted","previous":""#
    ), "{line} ({hash})");
}

#[tokio::test]
async fn an_export_verifies_offline() {
    let lines = exported(50).await;
    let head = head_of(&chain(50));
    let verification = check(&lines, Contiguity::Chain, Some(head));
    assert!(verification.is_ok(), "{verification:?}");
    assert_eq!((verification.checked, verification.head), (50, head));
    let part = check(&lines[20..40], Contiguity::Chain, None);
    assert!(part.is_ok());
    assert_eq!((part.first, part.checked, part.head.length), (21, 20, 40));
}

#[tokio::test]
async fn a_filtered_export_verifies_record_by_record() {
    let (_, log) = filled(50).await;
    let filter = Filter { actor: Some("alice".into()), ..Filter::default() };
    let mut file = Vec::new();
    let exported = log.export(&mut file, &filter).expect("exports");
    assert_eq!((exported.records, exported.head), (25, Some(head_of(&chain(50)))));
    let walk = |file: &[u8], contiguity| {
        verify_export(&mut Cursor::new(file), contiguity, None).expect("reads")
    };
    let verification = walk(&file, Contiguity::Selection);
    assert!(verification.is_ok() && verification.checked == 25, "{verification:?}");
    assert!(!walk(&file, Contiguity::Chain).is_ok(), "it does not pass for the whole chain");
    let text = String::from_utf8(file).expect("UTF-8").replacen("alice", "alixe", 30);
    assert!(!walk(text.as_bytes(), Contiguity::Selection).is_ok());
}

#[tokio::test]
async fn a_file_that_was_tampered_with_is_found_out() {
    type Tamper = fn(&mut Vec<String>);
    let cases: [(&str, Tamper, u64, TamperingKind); 9] = [
        ("actor", |l| l[6] = l[6].replace("holdfast", "mallory"), 7, TamperingKind::Flip),
        ("time", |l| l[6] = l[6].replace("T14", "T15"), 7, TamperingKind::Flip),
        (
            "kind",
            |l| l[9] = l[9].replace("service.deleted", "service.applied"),
            10,
            TamperingKind::Flip,
        ),
        ("space", |l| l[9] = l[9].replace(",\"index\"", ", \"index\""), 10, TamperingKind::Flip),
        (
            "extra key",
            |l| l[9] = l[9].replace("{\"sequence\"", "{\"x\":1,\"sequence\""),
            10,
            TamperingKind::Flip,
        ),
        (
            "sequence",
            |l| l[6] = l[6].replace("\"sequence\":7", "\"sequence\":8"),
            7,
            TamperingKind::Flip,
        ),
        ("deleted", |l| drop(l.remove(6)), 7, TamperingKind::Delete),
        ("swapped", |l| l.swap(6, 12), 7, TamperingKind::Reorder),
        ("cut", |l| l.truncate(15), 16, TamperingKind::TruncatedTail),
    ];
    let genuine = exported(20).await;
    for (name, tamper, sequence, kind) in cases {
        let mut lines = genuine.clone();
        tamper(&mut lines);
        assert_ne!(lines, genuine, "{name} changes something");
        let verification = check(&lines, Contiguity::Chain, Some(head_of(&chain(20))));
        let finding = verification.finding.unwrap_or_else(|| panic!("{name} is found"));
        assert_eq!((finding.sequence, finding.kind), (sequence, kind), "{name}: {finding}");
    }
    let forged: Vec<String> = other_chain(20).iter().map(record_to_json).collect();
    let verification = check(&forged, Contiguity::Chain, Some(head_of(&chain(20))));
    assert_eq!(verification.finding.map(|f| f.kind), Some(TamperingKind::Divergence));
}

#[test]
fn what_is_no_export_is_a_finding_and_an_empty_file_is_short() {
    let garbage = check(&["not json".to_owned()], Contiguity::Chain, None);
    assert_eq!(garbage.finding.map(|f| f.kind), Some(TamperingKind::Flip));
    let empty = check(&[], Contiguity::Chain, Some(head_of(&chain(3))));
    assert_eq!(empty.finding.map(|f| f.kind), Some(TamperingKind::TruncatedTail));
}

proptest! {
    /// Any text and any number survives the way through JSON, so that its hash can be recomputed.
    #[test]
    fn json_loses_nothing(at in any::<u64>(), index in any::<u64>(), id in any::<Option<u128>>(),
                          text in any::<String>(), name in any::<String>()) {
        let content = Content {
            index,
            at: Timestamp(at),
            actor: Actor { kind: ActorKind::Workload, name },
            request_id: id.map(RequestId),
            service: None,
            event: Event::CommandRefused { command: text.clone(), reason: text.clone(), message: text },
        };
        let record = Record::after(&Head { length: index / 2, hash: chain(1)[0].hash }, content);
        let line = record_to_json(&record);
        prop_assert!(!line.contains('\n'));
        let back = record_from_json(&line);
        prop_assert_eq!(back, Ok(record));
    }
}
