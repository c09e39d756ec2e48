use std::collections::HashMap;

use holdfast_core::AgentId;
use holdfast_core::membership::MembershipChange;
use holdfast_wire::pb::v1 as pb;
use pb::cluster_service_client::ClusterServiceClient;
use pb::event::Event;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::fixture::{Node, id, joining};
use crate::ACTOR_METADATA;

async fn client(node: &Node) -> ClusterServiceClient<Channel> {
    ClusterServiceClient::new(node.channel().await)
}

fn add(number: u64) -> pb::AddMemberRequest {
    let member = joining(number);
    pb::AddMemberRequest {
        request_id: id(),
        id: number,
        name: member.name,
        region: member.region,
        peer_address: member.peer_address,
        api_address: member.api_address,
    }
}

fn remove(number: u64) -> pb::RemoveMemberRequest {
    pb::RemoveMemberRequest { request_id: id(), id: number }
}

/// The stable reason and the facts of a refusal.
fn told(status: &Status) -> (String, HashMap<String, String>) {
    let info = status.get_details_error_info().expect("every refusal has details");
    (info.reason, info.metadata)
}

fn index(response: &tonic::Response<impl Sized>) -> String {
    let index = response.metadata().get(crate::INDEX_METADATA).expect("every answer has one");
    index.to_str().expect("a number").to_owned()
}

#[tokio::test]
async fn changes_of_members_are_requests_in_the_name_of_who_asks() {
    let node = Node::start().await;
    let mut client = client(&node).await;
    let mut request = Request::new(add(2));
    request.metadata_mut().insert(ACTOR_METADATA, "ann".parse().expect("ASCII"));
    let added = client.add_member(request).await.expect("it is possible");
    let change = MembershipChange::Add { id: AgentId(2), member: joining(2) };
    assert_eq!(node.replica.requested(), Some(change));

    let mut audit = pb::audit_service_client::AuditServiceClient::new(node.channel().await);
    let filter = pb::AuditFilter { actor: "ann".to_owned(), ..Default::default() };
    let list = pb::ListRecordsRequest { filter: Some(filter), ..Default::default() };
    let page = audit.list_records(list).await.expect("a page").into_inner();
    assert_eq!(page.records.len(), 1);
    assert_eq!(page.records[0].kind, "membership.requested");
    assert_eq!(page.records[0].index.to_string(), index(&added));
    let event = page.records[0].event.clone().and_then(|event| event.event);
    assert!(matches!(event, Some(Event::MembershipRequested(_))), "{event:?}");

    node.replica.take_members(3, 2);
    let promote = pb::PromoteMemberRequest { request_id: id(), id: 3 };
    client.promote_member(promote).await.expect("it is possible");
    assert_eq!(node.replica.requested(), Some(MembershipChange::Promote(AgentId(3))));
    client.remove_member(remove(2)).await.expect("it is possible");
    assert_eq!(node.replica.requested(), Some(MembershipChange::Remove(AgentId(2))));
    let transfer = pb::TransferLeadershipRequest { request_id: id(), to: 2 };
    client.transfer_leadership(transfer).await.expect("it is possible");
    assert_eq!(node.replica.requested(), Some(MembershipChange::TransferLeadership(AgentId(2))));
}

#[tokio::test]
async fn what_is_not_carried_out_is_shown_and_half_of_it_bars_the_next() {
    let node = Node::start().await;
    let mut client = client(&node).await;
    node.replica.take_members(3, 3);
    client.remove_member(remove(3)).await.expect("it is possible");
    let look = pb::GetClusterRequest::default();
    let page = client.get_cluster(look).await.expect("an answer").into_inner();
    let removal = pb::MembershipChange { change: Some(pb::membership_change::Change::Remove(3)) };
    assert_eq!((page.requested_change.as_ref(), page.joint), (Some(&removal), false));

    node.replica.take_half(3, 2);
    let page = client.get_cluster(look).await.expect("an answer").into_inner();
    assert_eq!((page.requested_change, page.joint), (Some(removal), true));
    let status = client.remove_member(remove(2)).await.expect_err("half done");
    let (reason, facts) = told(&status);
    assert_eq!((status.code(), reason.as_str()), (Code::FailedPrecondition, "MEMBERSHIP"));
    assert!(status.message().contains("half done"), "{}", status.message());
    assert!(facts["next_step"].contains("holdfast cluster status"), "{facts:?}");

    node.replica.take_members(2, 2);
    let page = client.get_cluster(look).await.expect("an answer").into_inner();
    assert_eq!((page.requested_change, page.joint), (None, false));
}

#[tokio::test]
async fn a_replay_is_answered_as_before_and_asks_for_nothing() {
    let node = Node::start().await;
    let mut client = client(&node).await;
    node.replica.take_members(3, 3);
    let request = remove(3);
    let first = client.remove_member(request.clone()).await.expect("it is possible");
    node.replica.take_members(2, 2);
    let second = client.remove_member(request).await.expect("it was possible");
    assert_eq!(index(&first), index(&second));
    assert_eq!(node.replica.requested(), None);
    let status = client.remove_member(remove(3)).await.expect_err("it is gone");
    assert_eq!((status.code(), told(&status).0.as_str()), (Code::NotFound, "NOT_FOUND"));
}

#[tokio::test]
async fn what_is_not_possible_names_the_next_command() {
    let node = Node::start().await;
    let mut client = client(&node).await;
    node.replica.take_members(2, 1);
    let twin = pb::AddMemberRequest { name: "eu-1".to_owned(), ..add(4) };
    let elsewhere = pb::AddMemberRequest { peer_address: "127.0.0.1:7443".to_owned(), ..add(4) };
    let nameless = pb::RemoveMemberRequest { request_id: String::new(), id: 2 };
    let last = client.remove_member(remove(1)).await.expect_err("the last voter");
    let transfer = pb::TransferLeadershipRequest { request_id: id(), to: 2 };
    let cases = [
        (client.add_member(twin).await.err(), Code::AlreadyExists, "NAME_IN_USE", "another name"),
        (
            client.add_member(elsewhere).await.err(),
            Code::FailedPrecondition,
            "MEMBERSHIP",
            "the addresses",
        ),
        (
            client.remove_member(nameless).await.err(),
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
            "correct",
        ),
        (
            client.remove_member(remove(9)).await.err(),
            Code::NotFound,
            "NOT_FOUND",
            "holdfast cluster members",
        ),
        (Some(last), Code::FailedPrecondition, "MEMBERSHIP", "holdfast cluster promote"),
        (
            client.transfer_leadership(transfer).await.err(),
            Code::FailedPrecondition,
            "MEMBERSHIP",
            "holdfast cluster promote 2",
        ),
    ];
    for (status, code, reason, next) in cases {
        let status = status.expect("it is refused");
        let (told, facts) = told(&status);
        assert_eq!((status.code(), told.as_str()), (code, reason), "{}", status.message());
        assert!(facts["next_step"].contains(next), "{facts:?}");
    }
    let transfer = pb::TransferLeadershipRequest { request_id: id(), to: 0 };
    let status = client.transfer_leadership(transfer).await.expect_err("nobody else votes");
    assert!(status.message().contains("no other voter"), "{}", status.message());
    assert_eq!(node.replica.requested(), None);
}
