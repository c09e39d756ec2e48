//! The peers that Holdfast is measured against, each as a child process with a generated configuration.
//!
//! For DNS all of them serve the same zones from the same files, with one worker, socket buffers of the same size where
//! they can be set, no rate limits, no logs, and answers without what was not asked for.

pub(crate) mod etcd;
pub(crate) mod gdnsd;
pub(crate) mod knot;
pub(crate) mod nsd;
pub(crate) mod pdns;
pub(crate) mod zones;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use hickory_proto::rr::Name;

use crate::ask;
use crate::process::{Launch, Process};
use zones::ZoneData;

/// How long a server may take to answer.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The DNS servers that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DnsPeer {
    Nsd,
    Knot,
    Gdnsd,
    Pdns,
}

/// What a peer is started with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served<'a> {
    /// Where its files go.
    pub dir: &'a Path,
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it serves.
    pub zones: &'a [ZoneData],
    /// The processor that it is pinned to.
    pub cpu: Option<usize>,
}

impl DnsPeer {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nsd => "nsd",
            Self::Knot => "knot",
            Self::Gdnsd => "gdnsd",
            Self::Pdns => "pdns",
        }
    }

    /// Whether it serves signed zones from files.
    pub(crate) fn serves_signed(self) -> bool {
        matches!(self, Self::Nsd | Self::Knot)
    }

    /// Starts it and waits until it answers the first name of the last zone.
    pub(crate) async fn start(self, served: &Served<'_>) -> Result<Process> {
        let launch = match self {
            Self::Nsd => nsd::launch(served)?,
            Self::Knot => knot::launch(served)?,
            Self::Gdnsd => gdnsd::launch(served, None)?,
            Self::Pdns => pdns::launch(served)?,
        };
        let Some(host) = served.zones.last().and_then(|zone| zone.hosts.first()) else {
            bail!("no name to serve");
        };
        ready(launch, served, &host.name).await
    }
}

/// Starts a server and waits until it answers a name.
async fn ready(launch: Launch, served: &Served<'_>, known: &str) -> Result<Process> {
    let mut process = launch.pinned(served.cpu).start()?;
    let name = Name::from_ascii(format!("{known}."))?;
    process.ready(START_LIMIT, async || ask::answers(served.listen, &name).await).await?;
    Ok(process)
}
