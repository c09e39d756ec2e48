//! The frame of every scenario: a cluster of three with two sites behind one service, a story, and the epilogue.
//!
//! Whatever the story did, at its end the network is healed, every agent that is not lost runs again, and the
//! cluster is held to the shared invariants. When something failed, the agents' logs are part of the failure.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Result, anyhow};
use holdfast_wire::pb::v1 as pb;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::dns::Answer;
use crate::epilogue;
use crate::lab::Lab;
use crate::manifest::{self, BRISK, Service, WEB};
use crate::process::tail;
use crate::site::{HTTP, Site};

/// The service that every scene has.
pub const SHOP: &str = "shop";
/// Its name.
pub const NAME: &str = "shop.hf.test";
/// The regions of a cluster in one place.
pub const ONE_REGION: [&str; 3] = ["lab"; 3];
const EU: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 21);
const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 22);

/// A cluster of three, two sites and a service over them: `eu` first, `us` when it fails.
#[derive(Debug)]
pub struct Scene {
    /// The agents; dropped before the network they are in.
    pub cluster: Cluster,
    /// The preferred site.
    pub eu: Site,
    /// The other one.
    pub us: Site,
    /// The network.
    pub lab: Lab,
    dir: TempDir,
}

impl Scene {
    /// Three agents in these regions, the zone, and two sites; no service yet.
    pub fn bare(regions: &[&'static str; 3]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("holdfast-e2e-").tempdir()?;
        let mut lab = Lab::new()?;
        let cluster = match Cluster::start(&mut lab, dir.path(), regions) {
            Ok(cluster) => cluster,
            Err(error) => return Err(anyhow!("{error:#}{}", logs(dir.path()))),
        };
        let eu = Site::start(&mut lab, ("eu", EU), dir.path(), None)?;
        let us = Site::start(&mut lab, ("us", US), dir.path(), None)?;
        cluster.apply(&manifest::zone(&cluster.addresses()))?;
        Ok(Self { cluster, eu, us, lab, dir })
    }

    /// A directory for what a test needs besides.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Declares the service, and waits until both endpoints are up and every agent answers `eu`.
    pub fn declare_shop(&self) -> Result<()> {
        let endpoints = [("eu", EU, HTTP), ("us", US, HTTP)];
        let shop = Service { name: SHOP, endpoints: &endpoints, check: WEB, failover: BRISK };
        self.cluster.apply(&shop.to_yaml())?;
        for endpoint in ["eu", "us"] {
            self.cluster.await_verdict(0, (SHOP, endpoint), pb::Verdict::Up)?;
        }
        self.await_everywhere(&self.answer_eu())
    }

    /// What is answered while `eu` serves.
    pub fn answer_eu(&self) -> Answer {
        Answer::of(&[EU])
    }

    /// What is answered while `us` serves.
    pub fn answer_us(&self) -> Answer {
        Answer::of(&[US])
    }

    /// Waits until every running agent answers so.
    pub fn await_everywhere(&self, expected: &Answer) -> Result<()> {
        self.cluster.await_answer(&self.cluster.running(), NAME, expected)
    }

    /// Heals everything and holds the cluster to the invariants.
    fn finish(&mut self) -> Result<()> {
        self.lab.heal()?;
        self.cluster.revive()?;
        epilogue::hold(&self.cluster)
    }
}

/// Tells a story on a scene with the service declared, and then the epilogue. Errors: what failed, with the logs.
pub fn scenario(story: impl FnOnce(&mut Scene) -> Result<()>) -> Result<()> {
    bare_scenario(|scene| {
        scene.declare_shop()?;
        story(scene)
    })
}

/// The same, without a service. What the story returns, such as sites of its own, lives until the epilogue has ended.
pub fn bare_scenario<T>(story: impl FnOnce(&mut Scene) -> Result<T>) -> Result<()> {
    bare_scenario_in(&ONE_REGION, story)
}

/// The same, with an agent in each of these regions.
pub fn bare_scenario_in<T>(
    regions: &[&'static str; 3],
    story: impl FnOnce(&mut Scene) -> Result<T>,
) -> Result<()> {
    let mut scene = Scene::bare(regions)?;
    let told = story(&mut scene).and_then(|_kept| scene.finish());
    told.map_err(|error| anyhow!("{error:#}{}", logs(scene.dir())))
}

/// The ends of all agents' logs.
fn logs(dir: &Path) -> String {
    let mut text = String::new();
    for name in ["a1", "a2", "a3"] {
        // Writing to a string does not fail.
        let _ =
            write!(text, "\n--- the log of {name} ends ---\n{}", tail(&dir.join(name).join("log")));
    }
    text
}
