use super::*;
use holdfast_wire::pb::v1 as pb;
use pb::status_service_server::{StatusService, StatusServiceServer};
use tokio::net::TcpListener;

/// A member that always says the same.
#[derive(Debug)]
struct Fixed(Result<&'static str, (Code, &'static str)>);

#[tonic::async_trait]
impl StatusService for Fixed {
    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        assert!(request.metadata().contains_key(REQUEST_HEADER));
        match self.0 {
            Ok(node) => {
                Ok(Response::new(pb::GetStatusResponse { node: node.into(), ..Default::default() }))
            }
            Err((code, message)) => Err(Status::new(code, message)),
        }
    }
}

async fn serve(member: Fixed) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(StatusServiceServer::new(member));
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

async fn ask(members: Vec<String>) -> Result<Answer<pb::GetStatusResponse>, Failure> {
    ask_within(members, Duration::from_secs(5)).await
}

async fn ask_within(
    members: Vec<String>,
    timeout: Duration,
) -> Result<Answer<pb::GetStatusResponse>, Failure> {
    let connection = Connection { members, security: Security::Plaintext };
    let client = Client::new(connection, RequestId(7), timeout).expect("usable");
    let message = pb::GetStatusRequest::default();
    client
        .call("show the status", async |channel| {
            status(channel).get_status(client.request(message.clone())).await
        })
        .await
}

#[tokio::test]
async fn a_member_that_is_gone_is_passed_over() {
    let (gone, good) = (nobody().await, serve(Fixed(Ok("a2"))).await);
    let answer = ask(vec![gone, good]).await.expect("one answers");
    assert_eq!(answer.value.node, "a2");
    assert!(answer.date.is_some(), "servers say their date");
}

#[tokio::test]
async fn a_member_without_quorum_is_passed_over() {
    let (cut, good) =
        (serve(Fixed(Err((Code::Unavailable, "no quorum")))).await, serve(Fixed(Ok("a3"))).await);
    assert_eq!(ask(vec![cut, good]).await.expect("one answers").value.node, "a3");
}

#[tokio::test]
async fn a_refusal_is_final() {
    let (denies, good) = (
        serve(Fixed(Err((Code::PermissionDenied, "viewers only look")))).await,
        serve(Fixed(Ok("a2"))).await,
    );
    let failure = ask(vec![denies, good]).await.expect_err("denied");
    assert_eq!(failure.exit(), Exit::Denied);
    assert!(failure.message().contains("cannot show the status: viewers only look"), "{failure}");
}

#[tokio::test]
async fn when_none_answers_each_is_named() {
    let (cut, gone) =
        (serve(Fixed(Err((Code::Unavailable, "no quorum: 1 of 3")))).await, nobody().await);
    let text = ask(vec![cut.clone(), gone.clone()]).await.expect_err("none answers").to_string();
    assert!(text.starts_with("error: cannot show the status: no quorum: 1 of 3"), "{text}");
    assert!(text.contains(&format!("tried:   {cut} (no quorum")), "{text}");
    assert!(text.contains(&format!("tried:   {gone} (")) && text.contains("refused"), "{text}");
    assert!(text.contains("request: 00000000-0000-0000-0000-000000000007"), "{text}");
    let failure = ask(vec![gone]).await.expect_err("none answers");
    assert_eq!(failure.exit(), Exit::Unavailable);
    assert!(failure.message().ends_with("no member answered"), "{failure}");
}

#[tokio::test]
async fn a_member_that_hangs_is_passed_over_in_time_for_the_next() {
    let hanging = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let hangs = hanging.local_addr().expect("bound").to_string();
    let good = serve(Fixed(Ok("a2"))).await;
    let answer = ask_within(vec![hangs.clone(), good], Duration::from_secs(2)).await;
    assert_eq!(answer.expect("one answers").value.node, "a2");
    let text = ask_within(vec![hangs.clone()], Duration::from_millis(600))
        .await
        .expect_err("hangs")
        .to_string();
    assert!(text.contains(&format!("tried:   {hangs} (no answer within ")), "{text}");
    assert!(text.contains("next:    repeat the command with --request-id 00000000-"), "{text}");
}

#[test]
fn dates_of_http_are_read() {
    assert_eq!(parse_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp(784_111_777_000)));
    assert_eq!(parse_date("soon"), None);
}

#[test]
fn parts_of_a_request_have_numbers_of_their_own() {
    let connection = Connection { members: vec![], security: Security::Plaintext };
    let client =
        Client::new(connection, RequestId(u128::MAX), Duration::from_secs(1)).expect("usable");
    assert_eq!(client.request_id_of_part(0), client.request_id());
    assert_eq!(client.request_id_of_part(2), "00000000-0000-0000-0000-000000000001");
}
