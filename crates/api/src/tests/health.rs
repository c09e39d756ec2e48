//! gRPC health tells what can be served here, when asked and when it changes.

use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::fixture::Node;
use super::refusals::check;

async fn state(client: &mut HealthClient<Channel>, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    client.check(request).await.expect("it is known").into_inner().status()
}

#[tokio::test]
async fn what_needs_a_quorum_serves_while_there_is_one() {
    let node = Node::start().await;
    let mut client = HealthClient::new(node.channel().await);
    for quorum in [true, false, true] {
        node.replica.quorum.send_replace(quorum);
        for service in [""].into_iter().chain(crate::services::NAMES) {
            let from_memory = ["Status", "Explain", "Audit", "Dns"];
            let always = from_memory.iter().any(|name| service.contains(name));
            let expected =
                if quorum || always { ServingStatus::Serving } else { ServingStatus::NotServing };
            assert_eq!(state(&mut client, service).await, expected, "{service:?}, {quorum}");
        }
    }
    let request = HealthCheckRequest { service: "holdfast.v1.Other".to_owned() };
    let status = client.check(request).await.expect_err("there is no such service");
    check(&status, Code::NotFound, "UNKNOWN_SERVICE", "holdfast.v1.RegistryService");
}

#[tokio::test]
async fn watchers_hear_each_change_and_the_end() {
    let node = Node::start().await;
    let mut client = HealthClient::new(node.channel().await);
    let mut watch = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        client.watch(request).await.expect("there is room").into_inner()
    };
    let mut whole = watch("").await;
    let mut audit = watch("holdfast.v1.AuditService").await;
    let mut other = watch("holdfast.v1.Other").await;
    for quorum in [true, false, true] {
        node.replica.quorum.send_replace(quorum);
        let told = whole.message().await.expect("it goes on").expect("a state").status();
        let expected = if quorum { ServingStatus::Serving } else { ServingStatus::NotServing };
        assert_eq!(told, expected);
    }
    for (watched, first) in
        [(&mut audit, ServingStatus::Serving), (&mut other, ServingStatus::ServiceUnknown)]
    {
        let told = watched.message().await.expect("it goes on").expect("a state").status();
        assert_eq!(told, first);
    }
    node.stop().await;
    for watched in [&mut whole, &mut audit] {
        let told = watched.message().await.expect("it goes on").expect("a state").status();
        assert_eq!(told, ServingStatus::NotServing);
        let end = watched.message().await.expect_err("the node has stopped");
        let reason = end.get_details_error_info().expect("every refusal has one").reason;
        assert_eq!(reason, "SHUTTING_DOWN");
    }
}
