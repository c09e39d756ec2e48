//! A little HTTP service that can be broken and mended: what the demo's pools are made of.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

/// A service on loopback that answers `GET /healthz`.
#[derive(Debug)]
pub(crate) struct Site {
    address: SocketAddr,
    running: Option<JoinSet<()>>,
}

impl Site {
    /// Starts a service on a free port of a loopback address.
    pub(crate) async fn start(host: Ipv4Addr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((host, 0)).await?;
        let address = listener.local_addr()?;
        let mut site = Self { address, running: None };
        site.serve(listener);
        Ok(site)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks it: the port refuses connections from now on.
    pub(crate) async fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.shutdown().await;
        }
    }

    /// Mends it, on the same port.
    pub(crate) fn mend(&mut self) -> std::io::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        self.serve(socket.listen(64)?);
        Ok(())
    }

    fn serve(&mut self, listener: TcpListener) {
        let mut running = JoinSet::new();
        running.spawn(accept(listener));
        self.running = Some(running);
    }
}

/// Answers every connection; whoever ends this ends them all.
async fn accept(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let served = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        connections.spawn(served);
    }
}

async fn answer(_: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"ok\n"))))
}
