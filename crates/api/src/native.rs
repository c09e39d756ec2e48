//! Gives the refusals that the gRPC library makes by itself what all others have: a stable reason and a next step.
//!
//! It makes them before any service sees the request, when a message is too large, cannot be decoded, or is for a
//! method that does not exist. They are told apart by their code, and by having no details: ours always have some.

use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::{Code, Status};
use tower::Layer;

use crate::refusal::Refusal;
use crate::server::MAX_REQUEST_BYTES;

/// In the metadata, the number that a client gives to its request: all there is when the message cannot be read.
const REQUEST_ID_METADATA: &str = "x-request-id";
/// The longest number that is repeated.
const MAX_REQUEST_ID: usize = 64;

/// Explains the library's refusals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExplainLayer;

impl<S> Layer<S> for ExplainLayer {
    type Service = Explained<S>;

    fn layer(&self, inner: S) -> Explained<S> {
        Explained { inner }
    }
}

/// A service whose refusals are explained.
#[derive(Debug, Clone)]
pub(crate) struct Explained<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Explained<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Response<Body>, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let id = request_id(request.headers());
        let answering = self.inner.call(request);
        Box::pin(async move {
            let response = answering.await?;
            Ok(match native(response.headers(), &path) {
                Some(refusal) => Status::from(refusal.with("request_id", id)).into_http(),
                None => response,
            })
        })
    }
}

fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID_METADATA).and_then(|value| value.to_str().ok());
    given.filter(|id| id.len() <= MAX_REQUEST_ID).unwrap_or_default().to_owned()
}

/// What the library's refusal in these headers means; `None` when there is none.
fn native(headers: &HeaderMap, path: &str) -> Option<Refusal> {
    if !headers.contains_key(Status::GRPC_STATUS) {
        return None;
    }
    let status = Status::from_header_map(headers).filter(|status| status.details().is_empty())?;
    match status.code() {
        Code::OutOfRange => Some(Refusal::new(
            Code::OutOfRange,
            "REQUEST_TOO_LARGE",
            format!(
                "the request is larger than {MAX_REQUEST_BYTES} bytes, which is the most that is taken"
            ),
            "make it smaller: send what it declares in several requests",
        )),
        Code::Internal => Some(Refusal::new(
            Code::InvalidArgument,
            "MALFORMED",
            format!("the message cannot be read: {}", status.message()),
            "make the client from the .proto files of this version",
        )),
        Code::Unimplemented if !status.message().is_empty() => Some(Refusal::new(
            Code::Unimplemented,
            "UNSUPPORTED_ENCODING",
            status.message(),
            "send messages without compression",
        )),
        Code::Unimplemented => Some(Refusal::new(
            Code::Unimplemented,
            "UNKNOWN_METHOD",
            format!("there is no {path} here"),
            "list the methods by reflection, and compare the version with `holdfast --version`",
        )),
        _ => None,
    }
}
