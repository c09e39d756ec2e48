//! Watching and beating: streams tell everything once, can be resumed, and end when the node does.

use std::sync::Arc;

use holdfast_core::{Actor, Command, GroupId, RequestId, State};
use holdfast_wire::Convert as _;
use holdfast_wire::command::Proposal;
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::WatchKind;
use tonic::{Code, Streaming};

use super::fixture::{Node, apply, id, registry, service, zone};
use crate::feed::{Feed, MAX_CHANGES, Since};

/// What is told until the next BOOKMARK, and where that is.
async fn batch(
    stream: &mut Streaming<pb::WatchServicesResponse>,
) -> (Vec<(WatchKind, String)>, u64) {
    let mut told = Vec::new();
    loop {
        let response =
            stream.message().await.expect("the stream goes on").expect("and does not end");
        let kind = WatchKind::try_from(response.kind).expect("a known kind");
        if kind == WatchKind::Bookmark {
            return (told, response.resume_index);
        }
        told.push((kind, response.service_id));
    }
}

#[tokio::test]
async fn a_watcher_hears_everything_and_can_come_back() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    client.apply_service(apply(service("a"))).await.expect("it is possible");
    let request = pb::WatchServicesRequest::default();
    let mut stream = client.watch_services(request).await.expect("there is room").into_inner();
    let (told, place) = batch(&mut stream).await;
    assert_eq!(told, [(WatchKind::Added, "a".to_owned())]);

    client.apply_service(apply(service("b"))).await.expect("it is possible");
    let (told, _) = batch(&mut stream).await;
    assert_eq!(told, [(WatchKind::Added, "b".to_owned())]);
    let mut other = service("b");
    other.dns.as_mut().expect("it has one").ttl_ms = 9000;
    client.apply_service(apply(other)).await.expect("it is possible");
    let (told, _) = batch(&mut stream).await;
    assert_eq!(told, [(WatchKind::Modified, "b".to_owned())]);
    drop(stream);

    let delete =
        pb::DeleteServiceRequest { request_id: id(), service: "a".to_owned(), if_revision: None };
    client.delete_service(delete).await.expect("it is there");
    let request = pb::WatchServicesRequest { resume_index: place, ..Default::default() };
    let mut stream = client.watch_services(request).await.expect("there is room").into_inner();
    let (told, _) = batch(&mut stream).await;
    assert_eq!(
        told,
        [
            (WatchKind::Added, "b".to_owned()),
            (WatchKind::Modified, "b".to_owned()),
            (WatchKind::Deleted, "a".to_owned()),
        ]
    );
}

#[tokio::test]
async fn a_watcher_of_a_forgotten_place_begins_anew() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    client.apply_service(apply(service("a"))).await.expect("it is possible");
    // The feed begins with the view at the start of the server; a later server knows nothing before it.
    let later = Node::over(Arc::clone(&node.replica)).await;
    let mut client = pb::registry_service_client::RegistryServiceClient::new(later.channel().await);
    let request = pb::WatchServicesRequest { resume_index: 1, ..Default::default() };
    let mut stream = client.watch_services(request).await.expect("there is room").into_inner();
    let (told, _) = batch(&mut stream).await;
    assert_eq!(told, [(WatchKind::Reset, String::new()), (WatchKind::Added, "a".to_owned())]);
}

#[test]
fn the_feed_is_bounded_and_says_when_it_has_forgotten() {
    let mut state = State::new(GroupId(1));
    let propose = |state: &mut State, command| {
        let index = state.index() + 1;
        let entry = holdfast_core::Entry {
            at: super::fixture::NOW,
            request_id: Some(RequestId(u128::from(index))),
            actor: Actor::system(),
            command,
        };
        state.apply(index, &entry).outcome.result.expect("it is possible");
    };
    let zone = holdfast_core::spec::Zone::from_proto(zone()).expect("it is possible");
    propose(&mut state, Command::ApplyZone { zone, if_revision: None });
    let feed = Feed::new(state.view());
    let start = state.index();
    for i in 0..=MAX_CHANGES {
        let mut spec = service("shop");
        spec.dns.as_mut().expect("it has one").ttl_ms =
            1000 + u64::try_from(i % 1000).expect("small");
        let service = holdfast_core::spec::Service::from_proto(spec).expect("it is possible");
        propose(&mut state, Command::ApplyService { service, if_revision: None });
        feed.record(state.view());
    }
    assert!(matches!(feed.since(start), Since::Everything(_)), "the first change is forgotten");
    match feed.since(start + 1) {
        Since::Changes(changes, index) => {
            assert_eq!(changes.len(), MAX_CHANGES);
            assert_eq!(index, state.index());
        }
        Since::Everything(_) => panic!("everything after the first change is remembered"),
    }
    match feed.since(state.index()) {
        Since::Changes(changes, _) => assert_eq!(changes, []),
        Since::Everything(_) => panic!("nothing is missing"),
    }
}

#[tokio::test]
async fn beats_are_answered_one_by_one() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    client.apply_service(apply(service("shop"))).await.expect("it is possible");
    let beat = |service: &str, endpoint: &str, check: &str| pb::HeartbeatRequest {
        service: service.to_owned(),
        endpoint: endpoint.to_owned(),
        check: check.to_owned(),
    };
    let beats = vec![
        beat("shop", "blue-1", "beat"),
        beat("shop", "blue-9", "beat"),
        beat("shop", "blue-1", "tcp"),
        beat("absent", "blue-1", "beat"),
        beat("Shop!", "blue-1", "beat"),
        beat("shop", "green-1", "beat"),
    ];
    let sent = tokio_stream::iter(beats);
    let mut answers = client.heartbeat(sent).await.expect("there is room").into_inner();
    let mut heard = Vec::new();
    while let Some(answer) = answers.message().await.expect("the stream goes on") {
        assert_eq!(answer.accepted, answer.problem.is_empty());
        assert_eq!(answer.accepted, answer.ttl_ms == 5000);
        heard.push(answer.accepted);
    }
    assert_eq!(heard, [true, false, false, false, false, true]);
    assert_eq!(node.replica.beats.lock().expect("not poisoned").len(), 2);
}

#[tokio::test]
async fn streams_end_with_the_node() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let request = pb::WatchServicesRequest::default();
    let mut stream = client.watch_services(request).await.expect("there is room").into_inner();
    let (told, _) = batch(&mut stream).await;
    assert_eq!(told, []);
    let mut audit = pb::audit_service_client::AuditServiceClient::new(node.channel().await);
    let tail = pb::TailRecordsRequest::default();
    let mut tail = audit.tail_records(tail).await.expect("there is room").into_inner();
    let ((), watch_end, tail_end) = tokio::join!(node.stop(), stream.message(), tail.message());
    assert_eq!(watch_end.expect_err("the node stops").code(), Code::Unavailable);
    assert_eq!(tail_end.expect_err("the node stops").code(), Code::Unavailable);
}

#[tokio::test]
async fn what_is_proposed_below_is_heard_above() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let request = pb::WatchServicesRequest::default();
    let mut stream = client.watch_services(request).await.expect("there is room").into_inner();
    batch(&mut stream).await;
    let service = holdfast_core::spec::Service::from_proto(service("shop")).expect("possible");
    let command = Command::ApplyService { service, if_revision: None };
    node.replica.apply(Proposal { request_id: None, actor: Actor::system(), command });
    let (told, _) = batch(&mut stream).await;
    assert_eq!(told, [(WatchKind::Added, "shop".to_owned())]);
}
