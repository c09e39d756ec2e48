//! Starts the encrypted transports: DNS over TLS (RFC 7858), HTTPS (RFC 8484) and QUIC (RFC 9250).
//!
//! They have a thread of their own, so that a flood of handshakes slows neither datagrams nor TCP, and each transport
//! has its own places. Without an address nothing of this exists.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::bind::{bind_datagrams, bind_listener};
use crate::certificate::Certificate;
use crate::config::{DnsError, EncryptedConfig, TcpConfig};
use crate::https;
use crate::inherit::Inherited;
use crate::parts::Parts;
use crate::quic::{self, QuicLoop};
use crate::respond::Transport;
use crate::shared::SharedResponder;
use crate::tcp::{Session, TcpLoop};

/// The name of DNS over TLS in TLS.
const DOT: &[u8] = b"dot";

/// Sockets and the certificate, before they are served.
pub(crate) struct Encrypted {
    certificate: Arc<Certificate>,
    config: EncryptedConfig,
    listeners: Vec<(Transport, TcpListener)>,
    datagrams: Vec<UdpSocket>,
}

/// What is needed to serve.
pub(crate) struct Serving<'a> {
    pub(crate) limits: &'a TcpConfig,
    pub(crate) responder: SharedResponder,
    pub(crate) tasks: &'a TaskTracker,
    pub(crate) parts: &'a Parts,
    pub(crate) shutdown: &'a CancellationToken,
}

impl Encrypted {
    /// Reads the certificate and opens the sockets. Errors: why not.
    pub(crate) fn bind(
        config: &EncryptedConfig,
        inherited: &mut Inherited,
    ) -> Result<Self, DnsError> {
        let certificate = Certificate::load(&config.cert, &config.key)?;
        let mut listeners = Vec::new();
        for (transport, addresses) in
            [(Transport::Tls, &config.tls), (Transport::Https, &config.https)]
        {
            for address in addresses {
                listeners.push((transport, bind_listener(*address, transport, inherited)?));
            }
        }
        let bind = |address: &SocketAddr| bind_datagrams(*address, Transport::Quic, inherited);
        let datagrams = config.quic.iter().map(bind).collect::<Result<_, _>>()?;
        Ok(Self { certificate, config: config.clone(), listeners, datagrams })
    }

    /// Where each transport is answered.
    pub(crate) fn addresses(&self) -> io::Result<Vec<(Transport, SocketAddr)>> {
        let mut addresses = Vec::new();
        for (transport, listener) in &self.listeners {
            addresses.push((*transport, listener.local_addr()?));
        }
        for socket in &self.datagrams {
            addresses.push((Transport::Quic, socket.local_addr()?));
        }
        Ok(addresses)
    }

    /// More descriptors of the sockets.
    pub(crate) fn duplicates(&self) -> io::Result<Vec<OwnedFd>> {
        let listeners = self.listeners.iter().map(|(_, listener)| listener.as_fd());
        let sockets = listeners.chain(self.datagrams.iter().map(UdpSocket::as_fd));
        sockets.map(|socket| socket.try_clone_to_owned()).collect()
    }

    /// Serves on the runtime that is entered. Errors: a socket cannot be used there.
    pub(crate) fn serve(self, serving: &Serving<'_>) -> io::Result<()> {
        let Serving { limits, responder, tasks, parts, shutdown } = serving;
        let places = |transport| Admission::new((*limits).clone(), transport);
        let (tls, https) = (places(Transport::Tls), places(Transport::Https));
        for (transport, listener) in self.listeners {
            let dot = transport == Transport::Tls;
            let name = format!("{} at {}", transport.name(), listener.local_addr()?);
            let alpn = if dot { DOT } else { https::ALPN };
            let acceptor = TlsAcceptor::from(Arc::new(self.certificate.server_config(alpn, false)));
            let accepting = TcpLoop {
                listener: tokio::net::TcpListener::from_std(listener)?,
                admission: if dot { tls.clone() } else { https.clone() },
                session: if dot { Session::Tls(acceptor) } else { Session::Https(acceptor) },
                responder: responder.clone(),
                connections: (*tasks).clone(),
            };
            tasks.spawn(parts.task(name, accepting.run((*shutdown).clone())));
        }
        let admission = places(Transport::Quic);
        for socket in self.datagrams {
            let name = format!("quic at {}", socket.local_addr()?);
            let accepting = QuicLoop {
                endpoint: quic::endpoint(socket, &self.certificate, limits)?,
                admission: admission.clone(),
                responder: responder.clone(),
                connections: (*tasks).clone(),
            };
            tasks.spawn(parts.task(name, accepting.run((*shutdown).clone())));
        }
        let following = self.certificate.follow(self.config.look_every, (*shutdown).clone());
        tasks.spawn(parts.task("certificate", following));
        Ok(())
    }
}
