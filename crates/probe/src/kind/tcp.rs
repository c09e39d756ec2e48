//! A TCP connection, optionally with a short exchange.

use holdfast_core::sample::{FailureKind, Phase};
use holdfast_core::spec::{Endpoint, TcpCheck};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::connect::{self, broken};
use crate::expect::{contains, excerpt};
use crate::prober::Course;
use crate::trace::{Step, failed};

/// How much is read in search of what is expected.
const READ_LIMIT: usize = 4096;

pub(crate) async fn probe(course: &mut Course<'_>, endpoint: &Endpoint, check: &TcpCheck) -> Step {
    let Course { net, trace } = course;
    let port = check.port.unwrap_or(endpoint.port);
    let addresses = connect::resolve(trace, &net.policy, &endpoint.address, port).await?;
    let mut stream = connect::tcp(trace, &addresses).await?;
    if !check.send.is_empty() {
        trace.enter(Phase::Send);
        stream.write_all(&check.send).await.map_err(|error| broken(Phase::Send, &error))?;
    }
    if check.expect.is_empty() {
        return Ok(());
    }
    let mut phase = Phase::FirstByte;
    trace.enter(phase);
    let mut received = Vec::with_capacity(READ_LIMIT);
    let mut limited = stream.take(READ_LIMIT as u64);
    loop {
        let count = limited.read_buf(&mut received).await.map_err(|error| broken(phase, &error))?;
        if contains(&received, &check.expect) {
            trace.note(|| format!("received {}", excerpt(&received)));
            return Ok(());
        }
        let wanted =
            || format!("{} came instead of {}", excerpt(&received), excerpt(&check.expect));
        if count == 0 && received.is_empty() {
            return Err(failed(phase, FailureKind::Reset, "the peer closed without a byte"));
        }
        if count == 0 {
            return Err(failed(Phase::Assert, FailureKind::Content, wanted()));
        }
        if phase == Phase::FirstByte {
            phase = Phase::Body;
            trace.enter(phase);
        }
        trace.wait_for(wanted());
    }
}
