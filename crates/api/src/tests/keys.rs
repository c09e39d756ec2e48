//! TSIG keys: one is never replaced by mistake, a repetition is told as the first time, and what names a key that does
//! not exist is told of.

use holdfast_wire::pb::v1 as pb;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::fixture::{Node, apply_zone, id, registry};
use super::refusals::check;

fn key(replace: bool) -> pb::ApplyTsigKeyRequest {
    pb::ApplyTsigKeyRequest {
        request_id: id(),
        name: "xfr.test".to_owned(),
        algorithm: "hmac-sha256".to_owned(),
        secret: vec![7; 32],
        replace,
    }
}

/// A zone that gives itself to whoever signs with `xfr.test`.
fn zone_of_key() -> pb::ApplyZoneRequest {
    let mut request = apply_zone();
    let transfer = pb::Transfer { keys: vec!["xfr.test".to_owned()], ..Default::default() };
    request.zone.as_mut().expect("it has one").transfer = Some(transfer);
    request
}

#[tokio::test]
async fn a_key_is_replaced_only_on_purpose_and_a_repetition_is_told_the_same() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let first = key(false);
    let added = client.apply_tsig_key(first.clone()).await.expect("there is none").into_inner();
    let status = client.apply_tsig_key(key(false)).await.expect_err("there is one");
    check(&status, Code::AlreadyExists, "NAME_IN_USE", "holdfast tsig add xfr.test --replace");
    let again = client.apply_tsig_key(first).await.expect("it was added").into_inner();
    assert_eq!(again.index, added.index, "a repetition is not another key");
    let replaced = client.apply_tsig_key(key(true)).await.expect("asked for").into_inner();
    assert!(replaced.index > added.index);
}

#[tokio::test]
async fn a_key_in_use_is_not_removed_and_the_refusal_says_where_it_is_named() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let remove = || pb::RemoveTsigKeyRequest { request_id: id(), name: "xfr.test".to_owned() };
    let status = client.remove_tsig_key(remove()).await.expect_err("there is none");
    check(&status, Code::NotFound, "NOT_FOUND", "`holdfast tsig list`");
    client.apply_tsig_key(key(false)).await.expect("there is none");
    client.apply_zone(zone_of_key()).await.expect("it is possible");
    let status = client.remove_tsig_key(remove()).await.expect_err("a zone names it");
    check(&status, Code::FailedPrecondition, "IN_USE", "`transfer.keys` of zone example.test");
    client.apply_zone(apply_zone()).await.expect("it is possible");
    client.remove_tsig_key(remove()).await.expect("nothing names it");
}

#[tokio::test]
async fn a_zone_that_names_a_key_that_does_not_exist_is_taken_and_told_of() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let missing =
        vec![pb::MissingKey { field: "transfer.keys".to_owned(), key: "xfr.test".to_owned() }];
    let dry = pb::ApplyZoneRequest { validate_only: true, ..zone_of_key() };
    let judged = client.apply_zone(dry).await.expect("it is possible").into_inner();
    assert_eq!(judged.missing_keys, missing);
    let applied = client.apply_zone(zone_of_key()).await.expect("it is possible").into_inner();
    assert_eq!(applied.missing_keys, missing);
    let list = pb::ListZonesRequest::default;
    let listed = client.list_zones(list()).await.expect("there is one").into_inner();
    assert_eq!(listed.zones[0].missing_keys, missing);
    client.apply_tsig_key(key(false)).await.expect("there is none");
    let listed = client.list_zones(list()).await.expect("there is one").into_inner();
    assert_eq!(listed.zones[0].missing_keys, []);
}

#[tokio::test]
async fn what_is_not_found_is_looked_for_where_such_things_are_listed() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let zone = pb::GetZoneRequest { zone: "absent.test".to_owned(), consistency: 0 };
    let zone = client.get_zone(zone).await.expect_err("there is none");
    let signing = pb::GetZoneSigningRequest { zone: "absent.test".to_owned(), consistency: 0 };
    let signing = client.get_zone_signing(signing).await.expect_err("there is none");
    let mut dns = pb::dns_service_client::DnsServiceClient::new(node.channel().await);
    let name = |name: &str| pb::CheckPropagationRequest {
        name: name.to_owned(),
        ..pb::CheckPropagationRequest::default()
    };
    let outside = dns.check_propagation(name("www.absent.test")).await.expect_err("no zone");
    let absent = dns.check_propagation(name("www.example.test")).await.expect_err("no name");
    for (status, command) in [
        (zone, "holdfast zone list"),
        (signing, "holdfast zone list"),
        (outside, "holdfast zone list"),
        (absent, "holdfast dns dump"),
    ] {
        let told = status.get_details_error_info().expect("every refusal has one");
        assert!(told.metadata["next_step"].contains(command), "{told:?}");
    }
}
