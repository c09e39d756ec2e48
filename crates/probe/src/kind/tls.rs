//! A TLS handshake and the certificate it shows.

use holdfast_core::spec::{Endpoint, TlsCheck};

use crate::connect;
use crate::prober::Course;
use crate::tls::{Alpn, Peer};
use crate::trace::Step;

pub(crate) async fn probe(course: &mut Course<'_>, endpoint: &Endpoint, check: &TlsCheck) -> Step {
    let Course { net, trace } = course;
    let port = check.port.unwrap_or(endpoint.port);
    let addresses = connect::resolve(trace, &net.policy, &endpoint.address, port).await?;
    let stream = connect::tcp(trace, &addresses).await?;
    let peer = Peer { host: &endpoint.address, options: &check.options };
    net.tls.handshake(trace, stream, peer, Alpn::Nothing).await?;
    Ok(())
}
