//! What is wrong is said: one row per kind of bad input, with its code, its stable reason, and what to do.

use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::fixture::{Node, apply, apply_zone, id, registry, service};
use crate::agreement::{AgreementError, AgreementErrorKind};
use crate::{DOMAIN, MAX_REQUEST_BYTES};

/// Asserts a status's code, reason, and a part of its message; every one has a domain and a next step.
pub(super) fn check(status: &Status, code: Code, reason: &str, text: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.message().contains(text), "{:?} lacks {text:?}", status.message());
    let info = status.get_details_error_info().expect("every refusal has one");
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, DOMAIN));
    let next_step = info.metadata.get("next_step").expect("every refusal has one");
    assert!(status.message().contains(next_step.as_str()));
}

async fn refused(
    client: &mut RegistryServiceClient<Channel>,
    request: pb::ApplyServiceRequest,
) -> Status {
    client.apply_service(request).await.expect_err("it must be refused")
}

type Spoil = fn(&mut pb::ApplyServiceRequest);

fn spec(request: &mut pb::ApplyServiceRequest) -> &mut pb::Service {
    request.service.as_mut().expect("it has one")
}

/// What is done to a good request, and how it is then refused.
fn bad_services() -> [(Spoil, Code, &'static str, &'static str); 13] {
    [
        (
            |r| r.request_id.clear(),
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
            "a UUID that you choose",
        ),
        (|r| r.request_id = "7".into(), Code::InvalidArgument, "INVALID_ARGUMENT", "not a UUID"),
        (|r| r.service = None, Code::InvalidArgument, "INVALID_ARGUMENT", "service: it is missing"),
        (|r| spec(r).id = "Shop!".into(), Code::InvalidArgument, "INVALID_ARGUMENT", "service.id"),
        (
            |r| spec(r).quorum = None,
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
            "service.quorum: missing",
        ),
        (
            |r| spec(r).checks[0].kind = None,
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
            "service.checks[0].kind",
        ),
        (
            |r| spec(r).pools[0].endpoints[0].port = 70_000,
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
            "service.pools[0].endpoints[0].port: 70000",
        ),
        (|r| spec(r).checks[0].timeout_ms = 2000, Code::InvalidArgument, "INVALID_SPEC", "timeout"),
        (
            |r| spec(r).pools[1].name = "blue".into(),
            Code::InvalidArgument,
            "INVALID_SPEC",
            "used twice",
        ),
        (
            |r| spec(r).dns.as_mut().expect("it has one").name = "shop.elsewhere.test".into(),
            Code::FailedPrecondition,
            "OUTSIDE_ZONES",
            "example.test",
        ),
        (
            |r| spec(r).dns.as_mut().expect("it has one").name = "taken.example.test".into(),
            Code::AlreadyExists,
            "NAME_IN_USE",
            "taken",
        ),
        (|r| r.if_revision = Some(99), Code::Aborted, "STALE_REVISION", "99"),
        (
            |r| {
                r.if_revision = Some(0);
                *spec(r) = service("taken");
            },
            Code::AlreadyExists,
            "STALE_REVISION",
            "leave out if_revision",
        ),
    ]
}

#[tokio::test]
async fn bad_services_are_refused_with_the_field() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    client.apply_service(apply(service("taken"))).await.expect("it is possible");
    for (spoil, code, reason, text) in bad_services() {
        let mut request = apply(service("shop"));
        spoil(&mut request);
        let sent = request.request_id.clone();
        let status = refused(&mut client, request).await;
        check(&status, code, reason, text);
        let info = status.get_details_error_info().expect("every refusal has one");
        let told = info.metadata.get("request_id").cloned().unwrap_or_default();
        assert_eq!(told, sent, "the refusal carries the request's id");
    }
}

#[tokio::test]
async fn bad_names_and_orders_are_refused() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let get = |service: &str| pb::GetServiceRequest { service: service.to_owned(), consistency: 0 };
    let status = client.get_service(get("absent")).await.expect_err("it is not there");
    check(&status, Code::NotFound, "NOT_FOUND", "service absent does not exist");
    let status = client.get_service(get("")).await.expect_err("it has no name");
    check(&status, Code::InvalidArgument, "INVALID_ARGUMENT", "service: it is missing");
    let odd = pb::GetServiceRequest { consistency: 9, ..get("absent") };
    let status = client.get_service(odd).await.expect_err("there is no such consistency");
    check(&status, Code::InvalidArgument, "INVALID_ARGUMENT", "consistency 9");

    client.apply_service(apply(service("shop"))).await.expect("it is possible");
    let delete = pb::DeleteZoneRequest { request_id: id(), zone: "example.test".to_owned() };
    let status = client.delete_zone(delete).await.expect_err("a service is in it");
    check(&status, Code::FailedPrecondition, "IN_USE", "shop");
    let mut zone = apply_zone();
    zone.zone.as_mut().expect("it has one").name_servers.clear();
    let status = client.apply_zone(zone).await.expect_err("it has no name server");
    check(&status, Code::InvalidArgument, "INVALID_SPEC", "name_servers");
    let mut copy = apply_zone();
    let zone = copy.zone.as_mut().expect("it has one");
    (zone.name_servers, zone.records) = (Vec::new(), Vec::new());
    zone.primaries = Some(pb::Primaries { addresses: Vec::new(), key: None });
    let status = client.apply_zone(copy).await.expect_err("from nowhere");
    check(&status, Code::InvalidArgument, "INVALID_SPEC", "primaries.addresses");

    let mut overrides =
        pb::override_service_client::OverrideServiceClient::new(node.channel().await);
    let order = |reason: &str, lasting_ms| pb::SetOverrideRequest {
        request_id: id(),
        service: "shop".to_owned(),
        order: Some(pb::Order { order: Some(pb::order::Order::Pin("blue".to_owned())) }),
        reason: reason.to_owned(),
        lasting_ms,
    };
    for (request, text) in [
        (order(" ", 60_000), "reason"),
        (order("why", 0), "lasting_ms"),
        (pb::SetOverrideRequest { order: None, ..order("why", 60_000) }, "order"),
    ] {
        let status = overrides.set_override(request).await.expect_err("it is not possible");
        check(&status, Code::InvalidArgument, "INVALID_ARGUMENT", text);
    }
    let long = overrides.set_override(order("why", u64::MAX)).await.expect_err("it never ends");
    check(&long, Code::InvalidArgument, "INVALID_ORDER", "");
}

#[tokio::test]
async fn without_a_quorum_changes_are_refused_and_stale_reads_are_not() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    client.apply_service(apply(service("shop"))).await.expect("it is possible");
    for (kind, code, reason) in [
        (AgreementErrorKind::NoLeader, Code::Unavailable, "NO_LEADER"),
        (AgreementErrorKind::NoQuorum, Code::Unavailable, "NO_QUORUM"),
        (AgreementErrorKind::Overloaded, Code::ResourceExhausted, "OVERLOADED"),
        (AgreementErrorKind::AuditUnavailable, Code::Unavailable, "AUDIT_UNAVAILABLE"),
        (AgreementErrorKind::Unknown, Code::Unavailable, "OUTCOME_UNKNOWN"),
        (AgreementErrorKind::Stopped, Code::Unavailable, "STOPPED"),
    ] {
        let message = "members 2 and 3 were tried".to_owned();
        *node.replica.broken.lock().expect("not poisoned") = Some(AgreementError { kind, message });
        let status = refused(&mut client, apply(service("other"))).await;
        check(&status, code, reason, "members 2 and 3 were tried");
        let info = status.get_details_error_info().expect("every refusal has one");
        assert_eq!(info.metadata.get("leader").map(String::as_str), Some("127.0.0.1:7444"));
    }
    let get = |consistency: pb::Consistency| pb::GetServiceRequest {
        service: "shop".to_owned(),
        consistency: consistency as i32,
    };
    let status = client.get_service(get(pb::Consistency::Linearizable)).await;
    assert_eq!(status.expect_err("there is no quorum").code(), Code::Unavailable);
    client.get_service(get(pb::Consistency::Stale)).await.expect("it is known here");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let mut body = apply(service("shop"));
    body.service.as_mut().expect("it has one").id = "x".repeat(MAX_REQUEST_BYTES);
    let mut request = Request::new(body);
    request.metadata_mut().insert("x-request-id", "number-7".parse().expect("ASCII"));
    let status = client.apply_service(request).await.expect_err("it is too large");
    check(&status, Code::OutOfRange, "REQUEST_TOO_LARGE", "1048576 bytes");
    let info = status.get_details_error_info().expect("every refusal has one");
    assert_eq!(info.metadata.get("request_id").map(String::as_str), Some("number-7"));
    client.apply_service(apply(service("shop"))).await.expect("the connection goes on");
}

/// Sends a number to a method, whatever the method takes.
async fn send_number(node: &Node, path: &str) -> Status {
    let mut client = tonic::client::Grpc::new(node.channel().await);
    client.ready().await.expect("the node serves");
    let path = path.parse().expect("a path");
    let codec = tonic_prost::ProstCodec::<pb::AuditHead, pb::AuditHead>::default();
    let number = pb::AuditHead { length: 7, ..Default::default() };
    client.unary(Request::new(number), path, codec).await.expect_err("it must be refused")
}

#[tokio::test]
async fn what_the_library_refuses_is_explained() {
    let node = Node::start().await;
    for path in ["/holdfast.v1.RegistryService/Paint", "/holdfast.v9.RegistryService/ListZones"] {
        let status = send_number(&node, path).await;
        check(&status, Code::Unimplemented, "UNKNOWN_METHOD", path);
    }
    let status = send_number(&node, "/holdfast.v1.RegistryService/GetService").await;
    check(&status, Code::InvalidArgument, "MALFORMED", "cannot be read");
}

#[tokio::test]
async fn members_are_reached_by_ip() {
    let node = Node::start().await;
    let mut client = pb::cluster_service_client::ClusterServiceClient::new(node.channel().await);
    let member = pb::AddMemberRequest {
        request_id: id(),
        id: 4,
        name: "eu-4".to_owned(),
        region: "eu".to_owned(),
        peer_address: "127.0.0.1:9443".to_owned(),
        api_address: "127.0.0.1:9444".to_owned(),
    };
    let named = pb::AddMemberRequest { peer_address: "eu-4:9443".to_owned(), ..member.clone() };
    let status = client.add_member(named).await.expect_err("it is a name");
    check(&status, Code::InvalidArgument, "INVALID_ARGUMENT", "not IP:PORT");
    let status = client.add_member(pb::AddMemberRequest { id: 0, ..member.clone() }).await;
    check(&status.expect_err("it has no number"), Code::InvalidArgument, "INVALID_ARGUMENT", "id");
    let request = pb::GetClusterRequest { with_state_hash: true };
    let page = client.get_cluster(request).await.expect("a page").into_inner();
    let node = page.node.expect("it is there");
    assert!(!node.ready, "one part is not");
    assert_eq!(page.state_hash.len(), 64);
    assert_eq!(page.members[0].name, "eu-1");
}
