//! What a preview says beside the records: why there are none, and to whom the answer is given.

use holdfast_wire::pb::v1 as pb;

use super::fixture::{Node, apply, apply_zone, registry, service};
use super::signing::{change, declare};

fn record(name: &str, data: pb::record_data::Data) -> pb::Record {
    pb::Record {
        name: name.to_owned(),
        ttl_ms: 60_000,
        data: Some(pb::RecordData { data: Some(data) }),
    }
}

async fn preview(node: &Node, name: &str, kind: &str) -> pb::PreviewAnswerResponse {
    let mut dns = pb::dns_service_client::DnsServiceClient::new(node.channel().await);
    let question = pb::PreviewAnswerRequest {
        name: name.to_owned(),
        r#type: kind.to_owned(),
        ..pb::PreviewAnswerRequest::default()
    };
    dns.preview_answer(question).await.expect("a good question").into_inner()
}

#[tokio::test]
async fn an_alias_that_leads_to_nothing_says_where_it_leads() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let mut request = apply_zone();
    let alias = |name, target: &str| record(name, pb::record_data::Data::Alias(target.to_owned()));
    request.zone.as_mut().expect("it has one").records = vec![
        alias("dead.example.test", "nowhere.example.test"),
        alias("live.example.test", "ns1.example.test"),
    ];
    client.apply_zone(request).await.expect("both lead into the zone");
    let dead = preview(&node, "dead.example.test", "A").await;
    assert_eq!(dead.rcode, "SERVFAIL");
    assert!(dead.steps.concat().contains("leads to nowhere.example.test"), "{:?}", dead.steps);
    let live = preview(&node, "live.example.test", "A").await;
    assert_eq!((live.rcode.as_str(), live.steps.len()), ("NOERROR", 0), "{live:?}");
}

#[tokio::test]
async fn a_signed_zone_is_told_as_one_and_shows_its_keys() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    assert!(!preview(&node, "example.test", "SOA").await.signed);
    declare(&mut client).await;
    client.change_zone_signing(change(pb::SigningStep::Enable)).await.expect("declared");
    let asked = pb::GetZoneRequest { zone: "example.test".to_owned(), ..Default::default() };
    assert!(client.get_zone(asked).await.expect("declared").into_inner().signed);
    let keys = preview(&node, "example.test", "DNSKEY").await;
    assert!(keys.signed && keys.authority.is_empty(), "{keys:?}");
    assert_eq!((keys.answers.len(), keys.answers[0].r#type.as_str()), (1, "DNSKEY"));
    assert!(keys.answers[0].data.starts_with("\\# 36 0101030F"), "{keys:?}");
    let below = preview(&node, "ns1.example.test", "DNSKEY").await;
    assert_eq!((below.rcode.as_str(), below.answers.len()), ("NOERROR", 0));
    let early = preview(&node, "example.test", "CDS").await;
    assert!(early.answers.is_empty(), "caches may not know the key yet: {early:?}");
}

#[tokio::test]
async fn the_first_answer_of_a_service_is_told_as_a_beginning() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    client.apply_service(apply(service("shop"))).await.expect("it is possible");
    let mut explain = pb::explain_service_client::ExplainServiceClient::new(node.channel().await);
    let why = pb::ExplainServiceRequest { service: "shop".to_owned(), ..Default::default() };
    let why = explain.explain_service(why).await.expect("it is there").into_inner();
    let reason = why.reason.expect("there is a decision");
    let text = &reason.children[0].text;
    let expected = "it began to answer pool blue (blue-1), on trust: no verdict yet, because the";
    assert!(text.starts_with(expected), "{text}");
}
