//! From an endpoint to a connection: resolution, the address policy, and what the operating system's errors mean.
//!
//! An error that is this node's own (descriptors, local ports, a local firewall) is an abstention, never a failure.
//! The policy is asked about each address that is about to be connected to, so that a name cannot be rebound
//! between the question and the connection.

use std::io;
use std::net::SocketAddr;

use holdfast_core::sample::{Abstention, FailureKind, Phase};
use holdfast_core::spec::Address;
use tokio::net::TcpStream;

use crate::policy::AddressPolicy;
use crate::trace::{Step, Stop, Trace, failed};

/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 4;

/// The addresses of a host that may be probed, at least one.
pub(crate) async fn resolve(
    trace: &mut Trace,
    policy: &AddressPolicy,
    host: &Address,
    port: u16,
) -> Step<Vec<SocketAddr>> {
    trace.enter(Phase::Resolve);
    let found: Vec<SocketAddr> = match host {
        Address::Ip(ip) => vec![SocketAddr::new(*ip, port)],
        Address::Name(name) => lookup(name.as_str(), port).await?,
    };
    if found.is_empty() {
        return Err(failed(
            Phase::Resolve,
            FailureKind::NoAddress,
            format!("{host} has no address"),
        ));
    }
    let mut permitted = Vec::new();
    for address in found.into_iter().take(MAX_ADDRESSES) {
        match policy.check(address.ip()) {
            Ok(()) => permitted.push(address),
            Err(denial) => trace.note(|| format!("{} is not probed: {denial}", address.ip())),
        }
    }
    if permitted.is_empty() { Err(Stop::Abstain(Abstention::Denied)) } else { Ok(permitted) }
}

async fn lookup(name: &str, port: u16) -> Step<Vec<SocketAddr>> {
    // The final dot keeps the search list of resolv.conf out of it, as for the clients that get the name as a CNAME.
    // A single label, such as localhost, is this node's own business.
    let asked = if name.contains('.') { format!("{name}.") } else { name.to_owned() };
    match tokio::net::lookup_host((asked, port)).await {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(local(&error).unwrap_or_else(|| {
            failed(Phase::Resolve, FailureKind::NoAddress, format!("{name}: {error}"))
        })),
    }
}

/// Connects to the first address that takes the connection.
pub(crate) async fn tcp(trace: &mut Trace, addresses: &[SocketAddr]) -> Step<TcpStream> {
    trace.enter(Phase::Connect);
    let mut last = None;
    for address in addresses {
        trace.address = Some(*address);
        trace.wait_for(format!("connecting to {address}"));
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it an exchange of small messages can wait for a delayed acknowledgement.
                if let Err(error) = stream.set_nodelay(true) {
                    return Err(broken(Phase::Connect, &error));
                }
                return Ok(stream);
            }
            Err(error) => {
                trace.note(|| format!("{address}: {error}"));
                last = Some(error_at(Phase::Connect, &error, &address.to_string()));
            }
        }
    }
    Err(last.unwrap_or(Stop::Abstain(Abstention::Denied)))
}

/// What an I/O error on a connection means.
pub(crate) fn broken(phase: Phase, error: &io::Error) -> Stop {
    local(error).unwrap_or_else(|| failed(phase, kind_of(error), error.to_string()))
}

fn error_at(phase: Phase, error: &io::Error, whose: &str) -> Stop {
    local(error).unwrap_or_else(|| failed(phase, kind_of(error), format!("{whose}: {error}")))
}

fn kind_of(error: &io::Error) -> FailureKind {
    use io::ErrorKind as K;
    match error.kind() {
        K::ConnectionRefused => FailureKind::Refused,
        K::ConnectionReset
        | K::ConnectionAborted
        | K::BrokenPipe
        | K::UnexpectedEof
        | K::NotConnected => FailureKind::Reset,
        K::TimedOut => FailureKind::Timeout,
        K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown => FailureKind::Unreachable,
        _ => FailureKind::Protocol,
    }
}

/// The abstention for an error that is this node's own: EMFILE, ENFILE, ENOBUFS, ENOMEM, no local port, a local
/// firewall.
fn local(error: &io::Error) -> Option<Stop> {
    use io::ErrorKind as K;
    const OURS: [i32; 3] = [24, 23, 105];
    let ours = matches!(
        error.kind(),
        K::AddrNotAvailable | K::AddrInUse | K::OutOfMemory | K::PermissionDenied
    ) || error.raw_os_error().is_some_and(|code| OURS.contains(&code));
    ours.then_some(Stop::Abstain(Abstention::Resources))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_this_node_are_abstentions() {
        for code in [24, 23, 105, 12, 99, 1, 13] {
            let stop = broken(Phase::Connect, &io::Error::from_raw_os_error(code));
            assert_eq!(stop, Stop::Abstain(Abstention::Resources), "errno {code}");
        }
        for (code, want) in [
            (111, FailureKind::Refused),
            (104, FailureKind::Reset),
            (113, FailureKind::Unreachable),
            (101, FailureKind::Unreachable),
            (110, FailureKind::Timeout),
        ] {
            match broken(Phase::Connect, &io::Error::from_raw_os_error(code)) {
                Stop::Fail(failure) => assert_eq!(failure.kind, want, "errno {code}"),
                Stop::Abstain(_) => panic!("errno {code} is the endpoint's"),
            }
        }
    }
}
