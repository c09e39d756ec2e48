//! What a preview says beside the records: why there are none, and to whom the answer is given.

use holdfast_wire::pb::v1 as pb;

use super::fixture::{Node, apply, apply_zone, registry, service};
use super::signing::{change, declare, dnssec};

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
async fn an_alias_that_leads_to_nothing_is_taken_and_told_of_before_and_after() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let mut request = apply_zone();
    let alias = |name, target: &str| record(name, pb::record_data::Data::Alias(target.to_owned()));
    let address = |name| record(name, pb::record_data::Data::A("192.0.2.7".to_owned()));
    request.zone.as_mut().expect("it has one").records = vec![
        alias("nobody.example.test", "nowhere.example.test"),
        alias("service.example.test", "shop.example.test"),
        alias("wild.example.test", "any.apps.example.test"),
        alias("here.example.test", "host.example.test"),
        address("*.apps.example.test"),
        address("host.example.test"),
    ];
    let dead = |answer: pb::ApplyZoneResponse| -> Vec<(String, String)> {
        answer.dead_aliases.into_iter().map(|dead| (dead.name, dead.target)).collect()
    };
    let expected = |pairs: &[[&str; 2]]| -> Vec<(String, String)> {
        pairs.iter().map(|[name, target]| (name.to_string(), target.to_string())).collect()
    };
    let both = expected(&[
        ["nobody.example.test", "nowhere.example.test"],
        ["service.example.test", "shop.example.test"],
    ]);
    let dry = pb::ApplyZoneRequest { validate_only: true, ..request.clone() };
    assert_eq!(dead(client.apply_zone(dry.clone()).await.expect("taken").into_inner()), both);
    assert_eq!(dead(client.apply_zone(request).await.expect("taken").into_inner()), both);
    client.apply_service(apply(service("shop"))).await.expect("it is possible");
    let told = dead(client.apply_zone(dry).await.expect("taken").into_inner());
    assert_eq!(told, both[..1], "the service has an address");
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
async fn a_type_by_number_is_the_type_of_that_name_and_what_agents_sign_is_refused() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    declare(&mut client).await;
    client.change_zone_signing(change(pb::SigningStep::Enable)).await.expect("declared");
    let by_number = preview(&node, "example.test", "TYPE48").await;
    assert_eq!(by_number, preview(&node, "example.test", "DNSKEY").await);
    assert_eq!(preview(&node, "example.test", "TYPE51").await.answers, [], "denied compactly");
    let mut request = apply_zone();
    let dnssec = pb::Dnssec { denial: pb::Denial::Nsec3.into(), ..dnssec() };
    request.zone.as_mut().expect("it has one").dnssec = Some(dnssec);
    client.apply_zone(request).await.expect("possible");
    let parameters = preview(&node, "example.test", "TYPE51").await;
    let told: Vec<_> = parameters.answers.iter().map(|r| (&r.r#type[..], &r.data[..])).collect();
    assert_eq!(told, [("NSEC3PARAM", "\\# 5 0100000000")]);

    let mut dns = pb::dns_service_client::DnsServiceClient::new(node.channel().await);
    for (kind, expected) in [
        ("TYPE46", "dig @AGENT example.test RRSIG +dnssec"),
        ("NSEC", "dig @AGENT example.test NSEC +dnssec"),
        ("TYPE65536", "write its name, or TYPE and its number"),
        ("51", "write its name, or TYPE and its number"),
    ] {
        let question = pb::PreviewAnswerRequest {
            name: "example.test".to_owned(),
            r#type: kind.to_owned(),
            ..pb::PreviewAnswerRequest::default()
        };
        let refused = dns.preview_answer(question).await.expect_err(kind);
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{kind}");
        assert!(refused.message().contains(expected), "{kind}: {refused:?}");
    }
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
