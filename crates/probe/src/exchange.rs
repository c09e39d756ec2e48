//! One HTTP exchange over an open connection, in either version: what http and gRPC checks have in common.
//!
//! The tasks that drive a connection live in a set that the exchange owns: they end with it, so that a probe that
//! is cut off at its deadline leaves nothing behind.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use holdfast_core::sample::{FailureKind, Phase};
use holdfast_core::spec::HttpVersion;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use crate::connect::broken;
use crate::trace::{Step, Stop, Trace, failed};

/// How much of a body is read and judged.
pub(crate) const BODY_LIMIT: usize = 64 * 1024;
/// The largest head that is taken.
const HEAD_LIMIT: usize = 64 * 1024;

/// An answer, with as much of its body as is judged.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether the body is longer than what was read.
    pub(crate) cut: bool,
    pub(crate) trailers: HeaderMap,
}

/// A connection that can be spoken HTTP over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Sends a request and reads the answer.
pub(crate) async fn exchange(
    trace: &mut Trace,
    stream: Box<dyn Stream>,
    version: HttpVersion,
    request: Request<Full<Bytes>>,
) -> Step<Answer> {
    trace.enter(Phase::Send);
    let tasks = Tasks::default();
    let response = match version {
        HttpVersion::Http11 => {
            let (mut sender, connection) = http1::Builder::new()
                .max_buf_size(HEAD_LIMIT)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|error| spoken(Phase::Send, &error))?;
            tasks.spawn(async { drop(connection.await) });
            trace.enter(Phase::FirstByte);
            sender.send_request(request).await
        }
        HttpVersion::Http2 => {
            let (mut sender, connection) = http2::Builder::new(tasks.executor())
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|error| spoken(Phase::Send, &error))?;
            tasks.spawn(async { drop(connection.await) });
            trace.enter(Phase::FirstByte);
            sender.send_request(request).await
        }
    };
    let response = response.map_err(|error| spoken(Phase::FirstByte, &error))?;
    trace.enter(Phase::Body);
    read(trace, response).await
}

async fn read(trace: &mut Trace, response: Response<Incoming>) -> Step<Answer> {
    let (head, mut incoming) = response.into_parts();
    trace.wait_for(format!("the body of an answer with status {}", head.status.as_u16()));
    let mut answer = Answer {
        status: head.status,
        headers: head.headers,
        body: Vec::new(),
        cut: false,
        trailers: HeaderMap::new(),
    };
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| spoken(Phase::Body, &error))?;
        match frame.into_data() {
            Ok(data) => {
                let room = BODY_LIMIT - answer.body.len();
                answer.body.extend_from_slice(&data[..room.min(data.len())]);
                if data.len() > room {
                    answer.cut = true;
                    break;
                }
            }
            Err(frame) => answer.trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok(answer)
}

/// What an error of the HTTP layer means.
fn spoken(phase: Phase, error: &hyper::Error) -> Stop {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return broken(phase, io);
        }
        cause = inner.source();
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return failed(
            phase,
            FailureKind::Reset,
            "the connection was closed before the answer was complete",
        );
    }
    let detail = match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    failed(phase, FailureKind::Protocol, detail)
}

/// The tasks of one exchange; dropping it ends them.
#[derive(Debug, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }

    fn executor(&self) -> Executor {
        Executor(Arc::downgrade(&self.0))
    }
}

/// Lets hyper start tasks in the set. Weak, because those tasks hold it themselves.
#[derive(Debug, Clone)]
struct Executor(Weak<Mutex<JoinSet<()>>>);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        if let Some(tasks) = self.0.upgrade() {
            Tasks(tasks).spawn(async move { drop(future.await) });
        }
    }
}
