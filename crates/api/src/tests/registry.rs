//! Declaring, reading, paging, replaying; what DNS and explain make of it.

use holdfast_wire::pb::v1 as pb;

use super::fixture::{Node, apply, id, registry, service};
use crate::INDEX_METADATA;

#[tokio::test]
async fn what_is_applied_is_read_back() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let applied = client.apply_service(apply(service("shop"))).await.expect("it is possible");
    let applied = applied.into_inner();
    assert!(applied.changed);

    let request = pb::GetServiceRequest { service: "shop".to_owned(), consistency: 0 };
    let read = client.get_service(request).await.expect("it was applied");
    let index = read.metadata().get(INDEX_METADATA).expect("every answer has one").clone();
    let entry = read.into_inner().service.expect("it is there");
    assert_eq!(entry.spec, Some(service("shop")));
    assert_eq!(entry.revision, applied.revision);
    assert_eq!(index.to_str().expect("digits"), applied.index.to_string());

    let mut dns = pb::dns_service_client::DnsServiceClient::new(node.channel().await);
    let question = pb::PreviewAnswerRequest {
        name: "shop.example.test".to_owned(),
        r#type: "A".to_owned(),
        ..pb::PreviewAnswerRequest::default()
    };
    let answer = dns.preview_answer(question).await.expect("a good question").into_inner();
    assert_eq!(answer.rcode, "NOERROR");
    assert_eq!(answer.answers[0].data, "192.0.2.1");
    assert_eq!(answer.service, "shop");
    assert_eq!(
        (answer.scope, answer.steps.last().map(String::as_str)),
        (0, Some("scope 0: for everybody"))
    );
    let foreign = pb::PreviewAnswerRequest {
        name: "shop.example.test".to_owned(),
        client: "192.0.2.0/33".to_owned(),
        ..pb::PreviewAnswerRequest::default()
    };
    let refused = dns.preview_answer(foreign).await.expect_err("no such prefix");
    assert!(refused.message().contains("is no prefix"), "{refused:?}");

    let mut explain = pb::explain_service_client::ExplainServiceClient::new(node.channel().await);
    let why = pb::ExplainServiceRequest { service: "shop".to_owned(), ..Default::default() };
    let why = explain.explain_service(why).await.expect("it is there").into_inner();
    let reason = why.reason.expect("there is a decision");
    assert!(reason.text.contains("shop"), "{}", reason.text);
    let recovery = reason.children.iter().find(|child| child.rule == "recovery");
    let recovery = recovery.expect("it says how long clients would be without it");
    assert_eq!(recovery.children.len(), 4, "{recovery:?}");
}

#[tokio::test]
async fn what_the_world_says_is_held_against_the_decision() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    client.apply_service(apply(service("shop"))).await.expect("it is possible");
    let mut dns = pb::dns_service_client::DnsServiceClient::new(node.channel().await);
    let request = pb::CheckPropagationRequest {
        name: "shop.example.test".to_owned(),
        r#type: String::new(),
        resolvers: vec!["192.0.2.53".to_owned()],
    };
    let answer = dns.check_propagation(request.clone()).await.expect("it is ours").into_inner();
    assert_eq!(answer.expected, ["192.0.2.1"]);
    assert!(!answer.sightings[0].agrees);
    assert_eq!(answer.silent_agents, ["eu-2"]);
    let faults: Vec<&str> = answer.findings.iter().map(|f| f.fault.as_str()).collect();
    for fault in ["long_ttl", "not_at_parent", "ds_names_no_key"] {
        assert!(faults.contains(&fault), "{fault}: {faults:?}");
    }
    let missing: Vec<_> = answer.findings.iter().filter(|f| f.fault == "not_at_parent").collect();
    assert!(missing.iter().all(|f| f.agents == ["eu-1", "us-1"]), "told once: {missing:?}");
    assert_eq!((answer.parents, answer.parent_sightings.len()), (1, 3));
    let unasked = "the parent could not be asked from us-2 of 3 agents: no resolver";
    assert!(answer.notes.iter().any(|note| note == unasked), "{:?}", answer.notes);

    for (name, kind, resolver) in [
        ("shop.elsewhere.test", "A", "192.0.2.53"),
        ("nothing.example.test", "A", "192.0.2.53"),
        ("shop.example.test", "MX", "192.0.2.53"),
        ("shop.example.test", "A", "resolver.example"),
    ] {
        let request = pb::CheckPropagationRequest {
            name: name.to_owned(),
            r#type: kind.to_owned(),
            resolvers: vec![resolver.to_owned()],
        };
        dns.check_propagation(request).await.expect_err("it is not possible");
    }
}

#[tokio::test]
async fn a_replay_is_answered_as_before_and_does_nothing() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let request = apply(service("shop"));
    let first = client.apply_service(request.clone()).await.expect("it is possible").into_inner();
    client.apply_service(apply(service("other"))).await.expect("it is possible");
    for _ in 0..3 {
        let again = client.apply_service(request.clone()).await.expect("a replay").into_inner();
        assert_eq!(again, first);
    }
}

#[tokio::test]
async fn validation_stores_nothing() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let request = pb::ApplyServiceRequest { validate_only: true, ..apply(service("shop")) };
    client.apply_service(request).await.expect("it is possible");
    let list = client.list_services(pb::ListServicesRequest::default()).await.expect("a list");
    assert_eq!(list.into_inner().services, []);
}

#[tokio::test]
async fn pages_hold_every_service_once() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let names: Vec<String> = (0..5).map(|i| format!("shop-{i}")).collect();
    for name in &names {
        client.apply_service(apply(service(name))).await.expect("it is possible");
    }
    let mut found = Vec::new();
    let mut request = pb::ListServicesRequest { page_size: 2, ..Default::default() };
    loop {
        let page = client.list_services(request.clone()).await.expect("a page").into_inner();
        assert!(page.services.len() <= 2);
        found.extend(page.services.into_iter().filter_map(|entry| Some(entry.spec?.id)));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(found, names);
    let elsewhere = pb::ListServicesRequest { namespace: "other".to_owned(), ..Default::default() };
    let elsewhere = client.list_services(elsewhere).await.expect("a page").into_inner();
    assert_eq!(elsewhere.services, []);
}

#[tokio::test]
async fn endpoints_come_and_go() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    client.apply_service(apply(service("shop"))).await.expect("it is possible");
    let endpoint = pb::Endpoint {
        name: "blue-2".to_owned(),
        address: Some(pb::endpoint::Address::Ip("192.0.2.9".to_owned())),
        port: 8080,
        weight: 1,
    };
    let registration = pb::RegisterEndpointRequest {
        request_id: id(),
        service: "shop".to_owned(),
        pool: "blue".to_owned(),
        endpoint: Some(endpoint),
    };
    client.register_endpoint(registration).await.expect("it is possible");
    let endpoints = async |client: &mut pb::registry_service_client::RegistryServiceClient<_>| {
        let request = pb::GetServiceRequest { service: "shop".to_owned(), consistency: 0 };
        let read = client.get_service(request).await.expect("it is there").into_inner();
        let spec = read.service.and_then(|entry| entry.spec).expect("it is there");
        spec.pools[0].endpoints.len()
    };
    assert_eq!(endpoints(&mut client).await, 2);
    let dry = pb::ApplyServiceRequest { validate_only: true, ..apply(service("shop")) };
    let dry = client.apply_service(dry).await.expect("it is possible").into_inner();
    assert_eq!((dry.changed, dry.endpoints_gone), (true, vec!["blue-2".to_owned()]));
    let deregistration = pb::DeregisterEndpointRequest {
        request_id: id(),
        service: "shop".to_owned(),
        endpoint: "blue-2".to_owned(),
    };
    client.deregister_endpoint(deregistration).await.expect("it is possible");
    assert_eq!(endpoints(&mut client).await, 1);
}

#[tokio::test]
async fn orders_are_listed_until_they_are_cleared() {
    let node = Node::start().await;
    let mut registry = registry(&node).await;
    registry.apply_service(apply(service("shop"))).await.expect("it is possible");
    let mut client = pb::override_service_client::OverrideServiceClient::new(node.channel().await);
    let order = pb::SetOverrideRequest {
        request_id: id(),
        service: "shop".to_owned(),
        order: Some(pb::Order { order: Some(pb::order::Order::Pin("green".to_owned())) }),
        reason: "maintenance".to_owned(),
        lasting_ms: 60_000,
    };
    let set = client.set_override(order).await.expect("it is possible").into_inner();
    assert!(set.expires_at_ms > super::fixture::NOW.0);
    let pause = pb::PauseAutomationRequest {
        request_id: id(),
        reason: "maintenance".to_owned(),
        lasting_ms: 60_000,
    };
    let paused = client.pause_automation(pause).await.expect("it is possible").into_inner();
    assert!(paused.expires_at_ms > super::fixture::NOW.0);

    let list = client.list_overrides(pb::ListOverridesRequest::default()).await.expect("a list");
    let list = list.into_inner();
    assert_eq!(list.overrides.iter().map(|o| o.id).collect::<Vec<_>>(), [set.id]);
    assert_eq!(list.pause.expect("it is paused").reason, "maintenance");

    let mut status = pb::status_service_client::StatusServiceClient::new(node.channel().await);
    let page = status.get_status(pb::GetStatusRequest::default()).await.expect("a page");
    let page = page.into_inner();
    assert_eq!(page.leader, "eu-1");
    assert_eq!(page.services[0].active.as_deref(), Some("green"));
    assert_eq!(page.services[0].overrides, 1);

    let clear = pb::ClearOverrideRequest { request_id: id(), id: set.id, reason: String::new() };
    client.clear_override(clear).await.expect("it is in force");
    let resume = pb::ResumeAutomationRequest { request_id: id(), reason: String::new() };
    client.resume_automation(resume).await.expect("it is paused");
    let list = client.list_overrides(pb::ListOverridesRequest::default()).await.expect("a list");
    let list = list.into_inner();
    assert_eq!((list.overrides, list.pause), (Vec::new(), None));
}
