//! The trust boundary: who is heard, as whom, how often, and where in clear text.

use std::sync::Arc;

use holdfast_wire::ca::{Authority, MAX_VALIDITY_DAYS, Role, Subject};
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;
use holdfast_wire::tls::TlsMaterial;
use tokio::net::TcpListener;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use super::fixture::{NOW, Node, apply, apply_zone, deps, registry, service};
use super::refusals::check;
use crate::{ACTOR_METADATA, ApiConfig, ServeError, serve};

pub(super) fn material(authority: &Authority, role: Role, name: &str) -> TlsMaterial {
    let subject = Subject {
        role,
        name: name.to_owned(),
        dns_names: Vec::new(),
        addresses: vec!["127.0.0.1".parse().expect("an address")],
    };
    let issued = authority.issue(&subject, NOW, MAX_VALIDITY_DAYS).expect("it is possible");
    TlsMaterial::from_pem(&issued.cert_pem, &issued.key_pem, authority.cert_pem(), NOW)
        .expect("it was just issued")
}

pub(super) fn authority(cluster: &str) -> Authority {
    Authority::create(cluster, NOW, MAX_VALIDITY_DAYS).expect("the name is possible")
}

async fn secured(authority: &Authority) -> Node {
    let tls = Some(material(authority, Role::Agent, "eu-1").server());
    Node::start_with(ApiConfig { tls, ..ApiConfig::default() }).await
}

/// Who the audit log says did the last thing.
async fn last_actor(
    node: &Node,
    client: &mut pb::audit_service_client::AuditServiceClient<tonic::transport::Channel>,
) -> pb::Actor {
    let request = pb::ListRecordsRequest { newest_first: true, page_size: 1, ..Default::default() };
    let page = client.list_records(request).await.expect("a page").into_inner();
    assert_eq!(page.head.expect("it has one").length, super::fixture::head(node).length);
    page.records[0].actor.clone().expect("somebody")
}

#[tokio::test]
async fn the_certificate_says_who_asks() {
    let authority = authority("demo");
    let node = secured(&authority).await;
    for (role, kind) in [
        (Role::User, pb::ActorKind::Person),
        (Role::Workload, pb::ActorKind::Workload),
        (Role::Agent, pb::ActorKind::Agent),
    ] {
        let tls = material(&authority, role, "ann").client(None);
        let channel = node.tls_channel(tls).await.expect("it is one of ours");
        let mut client = RegistryServiceClient::new(channel.clone());
        let mut zone = apply_zone();
        zone.zone.as_mut().expect("it has one").ttl_ms += kind as u64;
        let mut request = Request::new(zone);
        request.metadata_mut().insert(ACTOR_METADATA, "mallory".parse().expect("ASCII"));
        client.apply_zone(request).await.expect("it is possible");
        let mut audit = pb::audit_service_client::AuditServiceClient::new(channel);
        let actor = last_actor(&node, &mut audit).await;
        assert_eq!((actor.kind, actor.name.as_str()), (kind as i32, "ann"));
    }
}

#[tokio::test]
async fn strangers_are_not_heard() {
    let ours = authority("demo");
    let node = secured(&ours).await;
    let ask = async |channel: Result<tonic::transport::Channel, tonic::transport::Error>| {
        let mut client = RegistryServiceClient::new(channel.ok()?);
        client.list_zones(pb::ListZonesRequest::default()).await.ok()
    };
    let foreign = material(&authority("demo"), Role::User, "ann").client(None);
    assert!(ask(node.tls_channel(foreign).await).await.is_none(), "another authority");
    let plain = tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{}", node.port));
    let plain = plain.expect("a good address").connect().await;
    assert!(ask(plain).await.is_none(), "clear text");
    let welcome = material(&ours, Role::User, "ann").client(None);
    assert!(ask(node.tls_channel(welcome).await).await.is_some(), "one of ours");
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_no_identity_here() {
    let other = authority("other");
    let node = secured(&other).await;
    let tls = material(&other, Role::User, "ann").client(None);
    let channel = node.tls_channel(tls).await.expect("the chain verifies");
    let mut client = RegistryServiceClient::new(channel);
    let status =
        client.list_zones(pb::ListZonesRequest::default()).await.expect_err("other cluster");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("of cluster other, this is demo"), "{}", status.message());
}

#[tokio::test]
async fn workloads_change_neither_membership_nor_settings() {
    let authority = authority("demo");
    let node = secured(&authority).await;
    let tls = material(&authority, Role::Workload, "ci").client(None);
    let channel = node.tls_channel(tls).await.expect("it is one of ours");
    let mut client = pb::cluster_service_client::ClusterServiceClient::new(channel);
    let request = pb::RemoveMemberRequest { request_id: super::fixture::id(), id: 1 };
    let status = client.remove_member(request).await.expect_err("it is a program");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(node.replica.requested(), None);
    let request = pb::ChangeSettingsRequest { request_id: super::fixture::id(), change: None };
    let status = client.change_settings(request).await.expect_err("it is a program");
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn in_clear_text_clients_name_themselves() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let mut request = Request::new(apply(service("shop")));
    request.metadata_mut().insert(ACTOR_METADATA, "ann".parse().expect("ASCII"));
    client.apply_service(request).await.expect("it is possible");
    let mut audit = pb::audit_service_client::AuditServiceClient::new(node.channel().await);
    let filter = pb::AuditFilter { actor: "ann".to_owned(), ..Default::default() };
    let list = pb::ListRecordsRequest { filter: Some(filter), ..Default::default() };
    let page = audit.list_records(list).await.expect("a page").into_inner();
    assert!(!page.records.is_empty());
}

#[tokio::test]
async fn clear_text_is_for_loopback() {
    let replica = Node::start().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a free port");
    let deps = deps(&Arc::clone(&replica.replica));
    let served = serve(listener, ApiConfig::default(), deps, std::future::pending()).await;
    assert!(matches!(served, Err(ServeError::ClearText(_))), "{served:?}");
}

#[tokio::test]
async fn who_asks_too_often_waits() {
    let config = ApiConfig { requests_per_second: 1, burst: 3, ..ApiConfig::default() };
    let node = Node::start_with(config).await;
    let mut client = RegistryServiceClient::new(node.channel().await);
    let ask = |name: &'static str| {
        let mut request = Request::new(pb::ListZonesRequest::default());
        request.metadata_mut().insert(ACTOR_METADATA, name.parse().expect("ASCII"));
        request
    };
    for _ in 0..3 {
        client.list_zones(ask("ann")).await.expect("there are tokens");
    }
    let status = client.list_zones(ask("ann")).await.expect_err("there are none left");
    check(&status, Code::ResourceExhausted, "RATE_LIMITED", "ann asks");
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(wait.is_some_and(|wait| !wait.is_zero()), "{wait:?}");
    client.list_zones(ask("bob")).await.expect("bob has tokens of his own");
}

#[tokio::test]
async fn connections_of_one_certificate_share_its_rate() {
    let authority = authority("demo");
    let tls = Some(material(&authority, Role::Agent, "eu-1").server());
    let config = ApiConfig { tls, requests_per_second: 1, burst: 3, ..ApiConfig::default() };
    let node = Node::start_with(config).await;
    let ask = async |name: &str, claims: &'static str| {
        let tls = material(&authority, Role::User, name).client(None);
        let channel = node.tls_channel(tls).await.expect("it is one of ours");
        let mut request = Request::new(pb::ListZonesRequest::default());
        request.metadata_mut().insert(ACTOR_METADATA, claims.parse().expect("ASCII"));
        RegistryServiceClient::new(channel).list_zones(request).await.map(drop)
    };
    for claims in ["a", "b", "c"] {
        ask("ann", claims).await.expect("there are tokens");
    }
    let status = ask("ann", "d").await.expect_err("a new connection brings no tokens");
    check(&status, Code::ResourceExhausted, "RATE_LIMITED", "ann asks");
    ask("bob", "ann").await.expect("bob has tokens of his own");
}

#[tokio::test]
async fn reflection_answers() {
    let node = Node::start().await;
    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(
            node.channel().await,
        );
    let question = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            tonic_reflection::pb::v1::server_reflection_request::MessageRequest::ListServices(
                String::new(),
            ),
        ),
    };
    let answers = reflection.server_reflection_info(tokio_stream::iter([question])).await;
    let answer = answers.expect("it is served").into_inner().message().await.expect("an answer");
    let listed = format!("{answer:?}");
    for service in crate::services::NAMES {
        assert!(listed.contains(service), "{service} is not in {listed}");
    }
}
