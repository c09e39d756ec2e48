//! AuditService: the chain of the node that answers. Reading it blocks, so it is read on blocking threads.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use holdfast_audit::{
    AuditLog, Filter, Follow, Order, Query, StoreError, Tampering, TamperingKind, Verification,
};
use holdfast_core::Timestamp;
use holdfast_core::audit::{Head, Record};
use holdfast_wire::Convert as _;
use holdfast_wire::convert::request_id;
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::audit_service_server::AuditService;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

use super::heartbeat::Counted;
use super::{page_size, service_id};
use crate::caller::Call;
use crate::context::{Context, at, closing};
use crate::refusal::Refusal;

/// Lines of an export are sent in pieces of about this size.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that wait for a client.
const PIECES: usize = 4;
/// How long records that the view tells of may be on their way to the store.
const ON_THE_WAY: Duration = Duration::from_secs(5);
/// The most records that a tail begins with.
const MAX_LAST: u32 = 1000;

/// AuditService.
#[derive(Debug)]
pub(crate) struct Audit(pub(crate) Context);

impl Audit {
    /// Runs something that reads the chain, off the runtime's workers.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AuditLog) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let audit = self.0.deps.audit.clone();
        let done = tokio::task::spawn_blocking(move || work(&audit)).await;
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(unreadable(&error.to_string())),
            Err(_) => Err(unreadable("the reader was cut off")),
        }
    }
}

fn unreadable(why: &str) -> Refusal {
    Refusal::new(
        Code::Internal,
        "AUDIT_UNREADABLE",
        format!("the audit log of this node cannot be read: {why}"),
        "run `holdfast audit verify`, and ask another node meanwhile",
    )
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_records(
        &self,
        request: Request<pb::ListRecordsRequest>,
    ) -> Result<Response<pb::ListRecordsResponse>, Status> {
        let call = Call::of(request)?;
        let after = match call.body.page_token.as_str() {
            "" => None,
            token => {
                Some(token.parse().map_err(|_| Refusal::field("page_token", "it is not ours"))?)
            }
        };
        let order = if call.body.newest_first { Order::Descending } else { Order::Ascending };
        let query = Query {
            filter: filter(call.body.filter.as_ref())?,
            order,
            limit: page_size(call.body.page_size),
            after,
        };
        let page = self.read(move |audit| audit.query(&query)).await?;
        let head = self.0.deps.audit.head();
        let response = pb::ListRecordsResponse {
            records: page.records.iter().map(holdfast_wire::Convert::to_proto).collect(),
            next_page_token: page.next.map(|next| next.to_string()).unwrap_or_default(),
            head: Some(head.to_proto()),
        };
        Ok(Response::new(response))
    }

    type TailRecordsStream = BoxStream<'static, Result<pb::TailRecordsResponse, Status>>;

    async fn tail_records(
        &self,
        request: Request<pb::TailRecordsRequest>,
    ) -> Result<Response<Self::TailRecordsStream>, Status> {
        let call = Call::of(request)?;
        let filter = filter(call.body.filter.as_ref())?;
        let durable = self.0.deps.audit.durable().borrow().sequence;
        let (ready, from) = match call.body.after_sequence {
            Some(after) => (VecDeque::new(), after.saturating_add(1)),
            None => {
                let last = call.body.last.min(MAX_LAST);
                (self.newest(filter.clone(), last, durable).await?, durable + 1)
            }
        };
        let tail = Tail {
            _room: self.0.stream()?,
            _counted: Counted::new("tail"),
            context: self.0.clone(),
            follow: self.0.deps.audit.follow(from),
            filter,
            ready,
            ended: false,
        };
        Ok(Response::new(futures_util::stream::unfold(tail, next).boxed()))
    }

    async fn verify_log(
        &self,
        request: Request<pb::VerifyLogRequest>,
    ) -> Result<Response<pb::VerifyLogResponse>, Status> {
        let call = Call::of(request)?;
        let applied = self.0.deps.agreement.standing().applied_index;
        let (replicated, verification) = self.verify(&call.body).await?;
        Ok(at(applied, verified(&verification, replicated)))
    }

    type ExportLogStream = BoxStream<'static, Result<pb::ExportLogResponse, Status>>;

    async fn export_log(
        &self,
        request: Request<pb::ExportLogRequest>,
    ) -> Result<Response<Self::ExportLogStream>, Status> {
        let call = Call::of(request)?;
        let filter = filter(call.body.filter.as_ref())?;
        let room = self.0.stream()?;
        let (sender, receiver) = mpsc::channel(PIECES);
        let audit = self.0.deps.audit.clone();
        tokio::task::spawn_blocking(move || {
            let _room = room;
            let mut out = Pieces { sender: sender.clone(), buffer: Vec::new() };
            let written = audit.export(&mut out, &filter).map_err(|e| e.to_string());
            let flushed = written.and_then(|_| out.flush().map_err(|e| e.to_string()));
            if let Err(why) = flushed {
                // The client may be the one who is gone; then nobody hears it.
                let _ = sender.blocking_send(Err(unreadable(&why).into()));
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver).boxed()))
    }
}

impl Audit {
    /// The newest records that a filter lets through, oldest first.
    async fn newest(
        &self,
        filter: Filter,
        last: u32,
        durable: u64,
    ) -> Result<VecDeque<Record>, Refusal> {
        if last == 0 || durable == 0 {
            return Ok(VecDeque::new());
        }
        let first = filter.sequences.as_ref().map_or(1, |range| *range.start());
        let end = filter.sequences.as_ref().map_or(durable, |range| durable.min(*range.end()));
        let filter = Filter { sequences: Some(first..=end), ..filter };
        let limit = usize::try_from(last).unwrap_or(usize::MAX);
        let query = Query { filter, order: Order::Descending, limit, after: None };
        let page = self.read(move |audit| audit.query(&query)).await?;
        Ok(page.records.into_iter().rev().collect())
    }

    async fn verify(
        &self,
        request: &pb::VerifyLogRequest,
    ) -> Result<(Option<Head>, Verification), Refusal> {
        let audit = &self.0.deps.audit;
        // What the view says at this moment must be in the store once it has arrived and settled. What has not arrived
        // in time is found missing.
        let head = self.0.latest().audit.unwrap_or(Head::EMPTY);
        if audit.halted().is_none() {
            let mut durable = audit.durable();
            let arrived = durable.wait_for(|durable| durable.sequence >= head.length);
            let _ = tokio::time::timeout(ON_THE_WAY, arrived).await;
        }
        let halted = audit.settle().await.err();
        if let Some(halted) = halted {
            tracing::warn!(reason = %halted.reason, "verifying an audit log that is halted");
        }
        let first = request.first_sequence.unwrap_or_else(|| audit.first_sequence());
        let replicated = request.last_sequence.is_none().then_some(head);
        let last = request.last_sequence.unwrap_or(head.length);
        let verification = self.read(move |audit| audit.verify(first..=last, replicated)).await?;
        Ok((replicated, verification))
    }
}

fn verified(verification: &Verification, replicated: Option<Head>) -> pb::VerifyLogResponse {
    pb::VerifyLogResponse {
        intact: verification.is_ok(),
        checked: verification.checked,
        first_sequence: verification.first,
        head: Some(verification.head.to_proto()),
        replicated_head: replicated.map(|head| head.to_proto()),
        finding: verification.finding.as_ref().map(finding),
        missing_first: verification.missing.as_ref().map(|range| *range.start()),
        missing_last: verification.missing.as_ref().map(|range| *range.end()),
    }
}

fn finding(tampering: &Tampering) -> pb::Tampering {
    let kind = match tampering.kind {
        TamperingKind::Flip => pb::TamperingKind::Flip,
        TamperingKind::Delete => pb::TamperingKind::Delete,
        TamperingKind::Reorder => pb::TamperingKind::Reorder,
        TamperingKind::TruncatedTail => pb::TamperingKind::TruncatedTail,
        TamperingKind::Divergence => pb::TamperingKind::Divergence,
    };
    pb::Tampering {
        sequence: tampering.sequence,
        kind: kind as i32,
        detail: tampering.detail.clone(),
    }
}

fn filter(proto: Option<&pb::AuditFilter>) -> Result<Filter, Refusal> {
    let Some(proto) = proto else { return Ok(Filter::default()) };
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let service = match proto.service.as_str() {
        "" => None,
        service => Some(service_id(service)?),
    };
    let request = match proto.request_id.as_str() {
        "" => None,
        id => Some(request_id(id)?),
    };
    let sequences = match (proto.first_sequence, proto.last_sequence) {
        (None, None) => None,
        (first, last) => Some(first.unwrap_or(1)..=last.unwrap_or(u64::MAX)),
    };
    Ok(Filter {
        from: proto.from_ms.map(Timestamp),
        until: proto.until_ms.map(Timestamp),
        service,
        actor: given(&proto.actor),
        kind: given(&proto.kind),
        request_id: request,
        sequences,
    })
}

/// A tail at work.
struct Tail {
    context: Context,
    follow: Follow,
    filter: Filter,
    ready: VecDeque<Record>,
    ended: bool,
    _room: OwnedSemaphorePermit,
    _counted: Counted,
}

async fn next(mut tail: Tail) -> Option<(Result<pb::TailRecordsResponse, Status>, Tail)> {
    loop {
        if tail.ended {
            return None;
        }
        let closed = tail.context.closing.clone();
        let record = match tail.ready.pop_front() {
            Some(record) => Ok(record),
            None => tokio::select! {
                biased;
                () = closed.cancelled() => Err(closing()),
                record = tail.follow.next() => {
                    record.map_err(|error| unreadable(&error.to_string()).into())
                }
            },
        };
        match record {
            Ok(record) if !tail.filter.matches(&record) => {}
            Ok(record) => {
                let record = Some(record.to_proto());
                return Some((Ok(pb::TailRecordsResponse { record }), tail));
            }
            Err(status) => {
                tail.ended = true;
                return Some((Err(status), tail));
            }
        }
    }
}

/// Hands written lines to a client, in pieces that end with a line.
struct Pieces {
    sender: mpsc::Sender<Result<pb::ExportLogResponse, Status>>,
    buffer: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE_BYTES && self.buffer.ends_with(b"\n") {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let lines = String::from_utf8(std::mem::take(&mut self.buffer))
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        self.sender
            .blocking_send(Ok(pb::ExportLogResponse { lines }))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"))
    }
}
