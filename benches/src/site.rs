//! The HTTP servers that are killed: a process of its own, so that killing it is what a crash is.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::process::{Launch, Process};

/// How long a client may take to send its request.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest request head that is read.
const MAX_HEAD: usize = 8192;
/// What every request is answered with.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";

/// Arguments of `site`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where it listens.
    #[arg(long, required = true, value_delimiter = ',')]
    listen: Vec<SocketAddr>,
}

/// Serves until killed.
pub(crate) async fn serve(args: &Args) -> Result<()> {
    let mut listeners = JoinSet::new();
    for address in &args.listen {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        listeners.spawn(accept(listener));
    }
    writeln!(std::io::stdout(), "ready")?;
    while listeners.join_next().await.is_some() {}
    Ok(())
}

async fn accept(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            // A prober that hangs up early is its own affair.
            let _ = tokio::time::timeout(PATIENCE, answer(stream)).await;
        });
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(ANSWER).await?;
    stream.shutdown().await
}

/// Starts a site on these addresses and waits until it listens.
pub(crate) async fn start(name: &str, listen: &[SocketAddr], dir: &Path) -> Result<Process> {
    let log = dir.join(format!("{name}.log"));
    // The log of an earlier start would say "ready" for this one.
    std::fs::write(&log, b"")?;
    let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
    let own = std::env::current_exe()?;
    let mut site =
        Launch::new(name, own, &log).args(&["site", "--listen", &listen.join(",")]).start()?;
    let ready = async || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("ready"));
    site.ready(Duration::from_secs(5), ready).await?;
    Ok(site)
}
