//! `holdfast demo`: three real agents on loopback and a story of failures, told live or unattended.
//!
//! Everything is what a deployment has: sockets, mutual TLS, redb, sled, DNS over UDP. Each step of the story counts
//! only once its effect was seen from outside. `--once` ends after the story, with exit code 0 only if every step
//! was seen; without it the cluster stays up to be looked at.

mod cluster;
mod report;
mod site;
mod story;
mod witness;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use holdfast_agent::SystemClock;
use holdfast_core::seam::Clock as _;
use holdfast_wire::tls::{TlsFiles, TlsMaterial};

use cluster::Cluster;
use report::Report;
use story::Story;
use witness::Api;

/// How the demo is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct DemoArgs {
    /// End after the story.
    pub(crate) once: bool,
    /// Print JSON at the end instead of lines.
    pub(crate) json: bool,
}

/// Tells the story; returns whether every step was seen.
pub(crate) async fn run(args: DemoArgs) -> Result<bool> {
    let dir = tempfile::Builder::new().prefix("holdfast-demo-").tempdir()?;
    let cluster = Cluster::start(dir.path()).context("the demo's agents could not be started")?;
    let api = connect(&cluster)?;
    if !args.json {
        introduce(&cluster);
    }
    let mut report = Report::new(args.json);
    let mut story = Story::new(cluster, api).await?;
    let told = story.tell(&mut report).await;
    if let Err(error) = &told {
        report.failed(error);
    }
    report.finish();
    if !args.once && !args.json && told.is_ok() {
        println!("\nThe cluster stays up. Press Ctrl-C to end it.");
        tokio::signal::ctrl_c().await?;
    }
    story.cluster.stop();
    Ok(told.is_ok())
}

fn connect(cluster: &Cluster) -> Result<Api> {
    let file = |name: &str| -> PathBuf { cluster.dir().join(name) };
    let files = TlsFiles { cert: file("you.pem"), key: file("you.key"), ca: vec![file("ca.pem")] };
    let tls = TlsMaterial::load(&files, SystemClock.now())?.client(None);
    let addresses: Vec<_> = cluster.agents().iter().map(|agent| agent.addresses.api).collect();
    Api::new(&addresses, &tls)
}

fn introduce(cluster: &Cluster) {
    let name = story::NAME;
    println!("Three agents, certificates, logs and audit stores under {}", cluster.dir().display());
    println!();
    for agent in cluster.agents() {
        let dns = agent.addresses.dns;
        println!(
            "  {}  dig @{} -p {} {name} +short    API {}   http://{}/readyz",
            agent.name,
            dns.ip(),
            dns.port(),
            agent.addresses.api,
            agent.addresses.http
        );
    }
    println!();
    println!("  export HOLDFAST_CONTEXT={}", cluster.dir().join("context.toml").display());
    println!("  holdfast status; holdfast service explain shop; holdfast audit tail");
    println!();
}
