//! What explain says of steering is what DNS answers, step by step.

use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::dns_service_client::DnsServiceClient;
use holdfast_wire::pb::v1::explain_service_client::ExplainServiceClient;

use super::fixture::{Node, apply, registry, service};

/// Networks of documentation go to green, others to blue.
fn steered() -> pb::Service {
    let rule = |matches: &[&str], pool: &str| pb::GeoRule {
        matches: matches.iter().map(ToString::to_string).collect(),
        pools: vec![pool.to_owned()],
    };
    let failover = pb::policy::Policy::Failover(pb::FailoverPolicy {});
    let geo = pb::GeoPolicy {
        rules: vec![rule(&["cidr:198.51.100.0/24"], "green"), rule(&[], "blue")],
        then: Some(Box::new(pb::Policy { policy: Some(failover) })),
    };
    let policy = Some(pb::Policy { policy: Some(pb::policy::Policy::Geo(Box::new(geo))) });
    pb::Service { policy, ..service("shop") }
}

/// The explanation's part about steering.
async fn explained(node: &Node, client: &str) -> pb::Reason {
    let mut explain = ExplainServiceClient::new(node.channel().await);
    let request = pb::ExplainServiceRequest {
        service: "shop".to_owned(),
        client: client.to_owned(),
        ..Default::default()
    };
    let why = explain.explain_service(request).await.expect("it is there").into_inner();
    let children = why.reason.expect("there is a decision").children;
    children.into_iter().find(|child| child.rule == "steering").expect("it says how it steers")
}

fn texts(reasons: &[pb::Reason]) -> Vec<&str> {
    reasons.iter().map(|reason| reason.text.as_str()).collect()
}

#[tokio::test]
async fn explain_tells_the_policy_its_candidates_and_what_a_client_gets() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    client.apply_service(apply(steered())).await.expect("it is possible");

    let of_all = explained(&node, "").await;
    assert_eq!(of_all.outcome, "geo");
    assert!(of_all.text.contains("--client"), "{}", of_all.text);
    assert_eq!(texts(&of_all.children), ["A candidates: 192.0.2.1, 192.0.2.2"]);
    assert!(of_all.children[0].children.is_empty(), "nobody is meant: {of_all:?}");

    let mut dns = DnsServiceClient::new(node.channel().await);
    for (network, gets) in [("198.51.100.7", "192.0.2.2"), ("203.0.113.0/24", "192.0.2.1")] {
        let of_one = explained(&node, network).await;
        let question = pb::PreviewAnswerRequest {
            name: "shop.example.test".to_owned(),
            client: network.to_owned(),
            ..Default::default()
        };
        let told = dns.preview_answer(question).await.expect("a good question").into_inner();
        let mut expected = told.steps;
        assert_eq!(told.answers[0].data, gets);
        expected.push(format!("this client gets {gets}"));
        assert_eq!(texts(&of_one.children[0].children), expected);
    }
    let mut explain = ExplainServiceClient::new(node.channel().await);
    let wrong = pb::ExplainServiceRequest {
        service: "shop".to_owned(),
        client: "192.0.2.0/33".to_owned(),
        ..Default::default()
    };
    let refused = explain.explain_service(wrong).await.expect_err("no such prefix");
    assert!(refused.message().contains("is no prefix"), "{refused:?}");
}
