//! `[dns.tls]` as it is written: where DNS is answered over TLS, HTTPS and QUIC, and with which certificate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::DnsTls;
use super::raw::{Problem, problem, socket};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDnsTls {
    cert: PathBuf,
    key: PathBuf,
    #[serde(default)]
    listen: Vec<String>,
    #[serde(default)]
    https: Vec<String>,
    #[serde(default)]
    quic: Vec<String>,
}

impl RawDnsTls {
    pub(super) fn check(self, base: &Path) -> Result<DnsTls, Problem> {
        let tls = DnsTls {
            cert: base.join(self.cert),
            key: base.join(self.key),
            listen: sockets("dns.tls.listen", &self.listen)?,
            https: sockets("dns.tls.https", &self.https)?,
            quic: sockets("dns.tls.quic", &self.quic)?,
        };
        if tls.listen.is_empty() && tls.https.is_empty() && tls.quic.is_empty() {
            return Err(problem(
                "dns.tls",
                "has no address; give listen (such as \"10.1.0.4:853\"), https or quic, or leave the section out",
            ));
        }
        Ok(tls)
    }
}

fn sockets(key: &str, texts: &[String]) -> Result<Vec<SocketAddr>, Problem> {
    let parse = |text: &String| {
        let address = socket(key, text)?;
        if address.ip().is_unspecified() {
            return Err(problem(key, format!("{address} is a wildcard; list each address")));
        }
        Ok(address)
    };
    texts.iter().map(parse).collect()
}
