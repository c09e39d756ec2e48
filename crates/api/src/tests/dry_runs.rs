//! A dry run is judged by the rules of the change itself: what it approves is done, what it refuses is refused.

use holdfast_wire::pb::v1 as pb;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::fixture::{Node, apply, apply_zone, registry, service};

fn reason(status: &Status) -> (tonic::Code, String) {
    let told = status.get_details_error_info().expect("every refusal has one");
    (status.code(), told.reason)
}

type Spoil = fn(&mut pb::ApplyServiceRequest);

fn named(request: &mut pb::ApplyServiceRequest, name: &str) {
    let dns = request.service.as_mut().expect("it has one").dns.as_mut();
    dns.expect("it has one").name = name.to_owned();
}

#[tokio::test]
async fn a_dry_run_of_a_service_refuses_what_the_change_refuses() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    client.apply_service(apply(service("taken"))).await.expect("it is possible");
    let bad: [Spoil; 4] = [
        |request| named(request, "shop.elsewhere.test"),
        |request| named(request, "taken.example.test"),
        |request| named(request, "_holdfast.example.test"),
        |request| request.if_revision = Some(99),
    ];
    for spoil in bad {
        let mut request = apply(service("shop"));
        spoil(&mut request);
        let dry = pb::ApplyServiceRequest { validate_only: true, ..request.clone() };
        let judged = client.apply_service(dry).await.expect_err("it is not possible");
        let refused = client.apply_service(request).await.expect_err("it is not possible");
        assert_eq!(reason(&judged), reason(&refused));
    }
}

#[tokio::test]
async fn a_dry_run_of_a_zone_refuses_what_the_change_refuses() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    client.apply_service(apply(service("shop"))).await.expect("it is possible");
    let mut zone = apply_zone();
    zone.zone.as_mut().expect("it has one").records = vec![pb::Record {
        name: "shop.example.test".to_owned(),
        ttl_ms: 60_000,
        data: Some(pb::RecordData { data: Some(pb::record_data::Data::A("192.0.2.9".to_owned())) }),
    }];
    let dry = pb::ApplyZoneRequest { validate_only: true, ..zone.clone() };
    let judged = client.apply_zone(dry).await.expect_err("a service has the name");
    let refused = client.apply_zone(zone).await.expect_err("a service has the name");
    assert_eq!(reason(&judged), reason(&refused));
    assert_eq!(reason(&judged).1, "NAME_IN_USE");
}

#[tokio::test]
async fn a_dry_run_says_whether_anything_would_change_and_changes_nothing() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let dry = |name: &str| pb::ApplyServiceRequest { validate_only: true, ..apply(service(name)) };
    let new = client.apply_service(dry("shop")).await.expect("possible").into_inner();
    assert_eq!((new.revision, new.changed), (0, true));
    let stored = client.apply_service(apply(service("shop"))).await.expect("possible");
    let stored = stored.into_inner();
    let same = client.apply_service(dry("shop")).await.expect("possible").into_inner();
    assert_eq!((same.revision, same.changed), (stored.revision, false));
    assert_eq!(same.index, stored.index, "no entry came of it");
    let zone = pb::ApplyZoneRequest { validate_only: true, ..apply_zone() };
    let zone = client.apply_zone(zone).await.expect("possible").into_inner();
    assert!(!zone.changed && zone.revision > 0, "{zone:?}");
}
