//! The chain over the API: searched, followed, verified, taken away.

use std::time::Duration;

use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::audit_service_client::AuditServiceClient;

use super::fixture::{Node, apply, head, registry, service};

#[tokio::test]
async fn records_are_found_by_what_they_say() {
    let node = Node::start().await;
    let mut registry = registry(&node).await;
    for name in ["a", "b", "c"] {
        registry.apply_service(apply(service(name))).await.expect("it is possible");
    }
    let mut client = AuditServiceClient::new(node.channel().await);
    let list = |filter: pb::AuditFilter| pb::ListRecordsRequest {
        filter: Some(filter),
        page_size: 2,
        ..Default::default()
    };
    let applied = pb::AuditFilter { kind: "service.applied".to_owned(), ..Default::default() };
    let page = client.list_records(list(applied.clone())).await.expect("a page").into_inner();
    assert_eq!(page.records.len(), 2);
    assert_eq!(page.head, Some(head(&node).to_proto()));
    let more = pb::ListRecordsRequest { page_token: page.next_page_token, ..list(applied) };
    let page = client.list_records(more).await.expect("a page").into_inner();
    assert_eq!(page.records.iter().map(|r| r.service.as_str()).collect::<Vec<_>>(), ["c"]);

    let of_b = pb::AuditFilter { service: "b".to_owned(), ..Default::default() };
    let page = client.list_records(list(of_b)).await.expect("a page").into_inner();
    assert!(page.records.iter().all(|record| record.service == "b"));
    assert_eq!(page.records[0].actor.as_ref().expect("somebody").name, "anonymous");
    let nobody = pb::AuditFilter { actor: "nobody".to_owned(), ..Default::default() };
    let page = client.list_records(list(nobody)).await.expect("a page").into_inner();
    assert_eq!(page.records, []);
}

#[tokio::test]
async fn a_tail_begins_with_the_newest_and_goes_on() {
    let node = Node::start().await;
    let mut registry = registry(&node).await;
    for name in ["a", "b"] {
        registry.apply_service(apply(service(name))).await.expect("it is possible");
    }
    let mut client = AuditServiceClient::new(node.channel().await);
    let filter = pb::AuditFilter { kind: "service.*".to_owned(), ..Default::default() };
    let request = pb::TailRecordsRequest { filter: Some(filter), after_sequence: None, last: 1 };
    let mut tail = client.tail_records(request).await.expect("there is room").into_inner();
    registry.apply_service(apply(service("c"))).await.expect("it is possible");
    for expected in ["b", "c"] {
        let record = tail.message().await.expect("the stream goes on").and_then(|r| r.record);
        assert_eq!(record.expect("a record").service, expected);
    }
    let everything = pb::TailRecordsRequest { filter: None, after_sequence: Some(0), last: 0 };
    let mut tail = client.tail_records(everything).await.expect("there is room").into_inner();
    for sequence in 1..=head(&node).length {
        let record = tail.message().await.expect("the stream goes on").and_then(|r| r.record);
        assert_eq!(record.expect("a record").sequence, sequence);
    }
}

#[tokio::test]
async fn the_chain_verifies_against_what_is_replicated() {
    let node = Node::start().await;
    let mut registry = registry(&node).await;
    registry.apply_service(apply(service("shop"))).await.expect("it is possible");
    let mut client = AuditServiceClient::new(node.channel().await);
    let verified = client.verify_log(pb::VerifyLogRequest::default()).await.expect("a verdict");
    let verified = verified.into_inner();
    assert!(verified.intact, "{verified:?}");
    assert_eq!(verified.checked, head(&node).length);
    assert_eq!(verified.head, verified.replicated_head);
    assert_eq!(verified.head, Some(head(&node).to_proto()));
}

#[tokio::test]
async fn records_on_their_way_to_the_store_are_waited_for() {
    let node = Node::start().await;
    let mut registry = registry(&node).await;
    registry.apply_service(apply(service("a"))).await.expect("it is possible");
    node.replica.hold_records_up();
    registry.apply_service(apply(service("b"))).await.expect("it is possible");
    let mut client = AuditServiceClient::new(node.channel().await);
    let mut asked = std::pin::pin!(client.verify_log(pb::VerifyLogRequest::default()));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut asked).await;
    assert!(early.is_err(), "it did not wait for the records");
    node.replica.let_records_arrive();
    let verified = asked.await.expect("a verdict").into_inner();
    assert!(verified.intact, "{verified:?}");
    assert_eq!(verified.head, Some(head(&node).to_proto()));
}

#[tokio::test]
async fn an_export_verifies_by_itself() {
    let node = Node::start().await;
    let mut registry = registry(&node).await;
    for i in 0..40 {
        registry.apply_service(apply(service(&format!("shop-{i}")))).await.expect("it is possible");
    }
    let mut client = AuditServiceClient::new(node.channel().await);
    let request = pb::ExportLogRequest { filter: None };
    let mut export = client.export_log(request).await.expect("there is room").into_inner();
    let mut text = String::new();
    while let Some(piece) = export.message().await.expect("the stream goes on") {
        assert!(piece.lines.ends_with('\n'), "pieces are whole lines");
        text.push_str(&piece.lines);
    }
    let head = head(&node);
    let lines = u64::try_from(text.lines().count()).expect("a small number");
    assert_eq!(lines, head.length);
    let verified = holdfast_audit::verify_export(
        &mut text.as_bytes(),
        holdfast_audit::Contiguity::Chain,
        Some(&head),
    );
    assert!(verified.expect("it can be read").is_ok());
}
