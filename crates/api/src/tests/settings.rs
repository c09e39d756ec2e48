//! Settings of the group: who may change them, and what stands in the chain of it.

use std::time::Duration;

use holdfast_core::time::millis;
use holdfast_core::ttl::FLOOR;
use holdfast_wire::pb::v1 as pb;
use pb::cluster_service_client::ClusterServiceClient;
use pb::event::Event;
use tonic::{Code, Request};

use super::fixture::{Node, apply, apply_zone, id, registry, service};
use crate::ACTOR_METADATA;

fn floor(seconds: u64) -> pb::ChangeSettingsRequest {
    let change = pb::SettingsChange { ttl_floor_ms: Some(seconds * 1000), ..Default::default() };
    pb::ChangeSettingsRequest { request_id: id(), change: Some(change) }
}

#[tokio::test]
async fn a_setting_is_changed_alone_and_recorded_with_who_changed_it() {
    let node = Node::start().await;
    let mut client = ClusterServiceClient::new(node.channel().await);
    let mut request = Request::new(floor(20));
    request.metadata_mut().insert(ACTOR_METADATA, "ann".parse().expect("ASCII"));
    client.change_settings(request).await.expect("it is possible");
    let cluster = client.get_cluster(pb::GetClusterRequest::default()).await.expect("told");
    let told = cluster.into_inner().settings.expect("it has settings");
    assert_eq!((told.ttl_floor_ms, told.window_ms), (20_000, 60_000));

    let mut audit = pb::audit_service_client::AuditServiceClient::new(node.channel().await);
    let filter = pb::AuditFilter { actor: "ann".to_owned(), ..Default::default() };
    let list = pb::ListRecordsRequest { filter: Some(filter), ..Default::default() };
    let page = audit.list_records(list).await.expect("a page").into_inner();
    let recorded =
        page.records.iter().find_map(|record| match record.event.as_ref()?.event.as_ref()? {
            Event::SettingsChanged(changed) => Some(*changed),
            _ => None,
        });
    let recorded = recorded.expect("it is in the chain");
    assert_eq!(recorded.before.expect("known").ttl_floor_ms, millis(FLOOR));
    assert_eq!(recorded.after.expect("known").ttl_floor_ms, millis(Duration::from_secs(20)));
}

#[tokio::test]
async fn whoever_declares_a_service_is_told_the_least_ttl_of_the_group() {
    let node = Node::start().await;
    let mut settings = ClusterServiceClient::new(node.channel().await);
    settings.change_settings(floor(20)).await.expect("it is possible");
    let mut client = registry(&node).await;
    client.apply_zone(apply_zone()).await.expect("it is possible");
    let request = apply(service("shop"));
    let dry = pb::ApplyServiceRequest { validate_only: true, ..request.clone() };
    for request in [dry, request] {
        let answer = client.apply_service(request).await.expect("it is possible").into_inner();
        assert_eq!(answer.ttl_floor_ms, 20_000);
    }
}

#[tokio::test]
async fn what_is_impossible_is_refused() {
    let node = Node::start().await;
    let mut client = ClusterServiceClient::new(node.channel().await);
    let refused = client.change_settings(floor(301)).await.expect_err("too high");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("ttl_floor"), "{refused:?}");
    let nothing = pb::ChangeSettingsRequest { request_id: id(), change: None };
    let refused = client.change_settings(nothing).await.expect_err("nothing is named");
    assert_eq!(refused.code(), Code::InvalidArgument);
}
