//! A zone's key is replaced, or nearly so, while a validating resolver is asked for everything in the zone without a break:
//! it sees nothing of either.
//!
//! ```text
//! start ─▶ DS of both keys ─▶ DS of the one that stays ─▶ finish or abandon: refused, then done ─▶ the other key is gone
//! ```
//!
//! After each step the resolver is awaited to hold what the step left, and then everything is answered once more.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use holdfast_tests::lab::Host;
use holdfast_tests::manifest::{BRISK, Service, WEB};
use holdfast_tests::process::{Output, run};
use holdfast_tests::site::HTTP;
use holdfast_tests::{Scene, poll, scenario};

use super::parent::{PARENT, Parent, RESOLVER};
use super::{LIMIT, Said, all_of, ask, awaits, awaits_all_of, ds_of, shop_at, sign};

const ZONE: &str = "hg.test";
/// A service in it.
const MALL: &str = "mall.hg.test";

/// How a rollover ends.
struct Ending {
    /// The command.
    step: &'static str,
    /// Whether the new key stays.
    keeps_new: bool,
    /// Why it is refused while the parent names both keys.
    refusal: &'static str,
}

const FINISH: Ending =
    Ending { step: "finish", keeps_new: true, refusal: "still name the old key" };
const ABANDON: Ending =
    Ending { step: "abandon", keeps_new: false, refusal: "records name the new key" };

#[test]
fn a_validating_resolver_sees_nothing_of_a_rollover() -> Result<()> {
    sees_nothing_of(&FINISH, "algorithm: ecdsa-p256", "NOERROR")
}

#[test]
fn a_validating_resolver_sees_nothing_of_a_rollover_that_is_abandoned() -> Result<()> {
    sees_nothing_of(&ABANDON, "algorithm: ed25519, denial: nsec3", "NXDOMAIN")
}

/// Tells the whole story; `missing` is the code for names that do not exist.
fn sees_nothing_of(ending: &Ending, how: &str, missing: &str) -> Result<()> {
    scenario(|scene| {
        let delays = "zone_propagation_delay: 1s, parent_propagation_delay: 5s";
        let declared = format!("dnssec: {{ {how}, {delays} }}");
        let (mut parent, resolver, ds) = sign(scene, &declared)?;
        let endpoints = [("eu", scene.eu.host.address, HTTP)];
        let mall = Service { name: "mall", endpoints: &endpoints, check: WEB, failover: BRISK };
        scene.cluster.apply(&mall.to_yaml().replace("hf.test", ZONE))?;
        let mut all = all_of(ZONE, missing);
        all.push((MALL.to_owned(), "A", shop_at(scene.eu.host.address)));
        for (name, kind, expected) in &all {
            awaits(scene, (name, kind), expected)?;
        }
        let told = watched(&scene.cluster.client, &all, |rounds| {
            Exchange { scene, rounds, parent: &mut parent, ds: &ds }.run(ending)
        });
        told.with_context(|| format!("the resolver said:\n{}", resolver.said()))?;
        awaits_all_of(scene, ZONE, missing)?;
        awaits_all_of(scene, "hf.test", "NOERROR")
    })
}

/// Rounds of questions to the resolver, all of which were answered as expected.
#[derive(Default)]
struct Rounds {
    done: AtomicU64,
    over: AtomicBool,
}

impl Rounds {
    fn watch(&self, client: &Host, all: &[(String, &str, Said)]) -> Result<()> {
        while !self.over.load(Ordering::Acquire) {
            for (name, kind, expected) in all {
                let said = ask(client, name, kind)?;
                ensure!(said == *expected, "{name} {kind}: {said:?} instead of {expected:?}");
            }
            self.done.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Waits for the end of a round that begins after this call.
    fn await_another(&self) -> Result<()> {
        let enough = self.done.load(Ordering::Acquire) + 2;
        poll::until("another round of validated answers", LIMIT, || {
            ensure!(self.done.load(Ordering::Acquire) >= enough, "it has not ended");
            Ok(())
        })
    }
}

/// Tells a story while the resolver is asked for all of this. Errors: an answer that was another one, before the story's.
fn watched(
    client: &Host,
    all: &[(String, &str, Said)],
    story: impl FnOnce(&Rounds) -> Result<()>,
) -> Result<()> {
    let rounds = Rounds::default();
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| rounds.watch(client, all));
        let told = story(&rounds);
        rounds.over.store(true, Ordering::Release);
        watch.join().map_err(|_| anyhow!("the watch panicked"))?.and(told)
    })
}

/// The exchange of a zone's key, with the DS records of all zones before it.
struct Exchange<'a> {
    scene: &'a Scene,
    rounds: &'a Rounds,
    parent: &'a mut Parent,
    ds: &'a str,
}

impl Exchange<'_> {
    fn run(mut self, ending: &Ending) -> Result<()> {
        let old = tags_in(&only(self.ds, |line| line.contains(ZONE)));
        poll::until("a rollover", LIMIT, || self.step(&["start", ZONE])?.ok())?;
        let agent = self.scene.cluster.addresses()[0];
        let ds = poll::until("both keys", LIMIT, || {
            let ds = ds_of(&self.scene.cluster.client, agent, ZONE)?;
            ensure!(ds.lines().count() == 2, "{ds}");
            Ok(ds)
        })?;
        let both = tags_in(&ds);
        let new = &both - &old;
        self.settle("DNSKEY", &both)?;

        self.serve(&ds)?;
        self.settle("DS", &both)?;
        let refusal = ending.refusal;
        poll::until(refusal, LIMIT, || self.is_refused(ending, refusal))?;

        let stays = if ending.keeps_new { new } else { old };
        self.serve(&only(&ds, |line| tags_in(line) == stays))?;
        self.is_refused(ending, "resolvers may keep the parent's former DS records")?;
        self.settle("DS", &stays)?;
        ensure!(self.keys_at(agent)? == both, "a key left too early");
        poll::until("the end of the rollover", LIMIT, || self.end(ending)?.ok())?;
        for agent in self.scene.cluster.addresses() {
            poll::until_equal("the key that stays", LIMIT, &stays, || self.keys_at(agent))?;
        }
        self.settle("DNSKEY", &stays)
    }

    fn step(&self, words: &[&str]) -> Result<Output> {
        self.scene.cluster.cli(&[&["zone", "dnssec", "rollover"], words].concat())
    }

    fn end(&self, ending: &Ending) -> Result<Output> {
        self.step(&[ending.step, ZONE, "--resolver", &PARENT.to_string()])
    }

    fn is_refused(&self, ending: &Ending, why: &str) -> Result<()> {
        let said = self.end(ending)?;
        if said.code == 0 {
            bail!("{} was accepted: {}", ending.step, said.stdout);
        }
        ensure!(said.stderr.contains(why), "another refusal: {}", said.stderr);
        Ok(())
    }

    /// Has the parent name these keys of the zone beside those of other zones.
    fn serve(&mut self, ds: &str) -> Result<()> {
        let others = only(self.ds, |line| !line.contains(ZONE));
        self.parent.serve(&format!("{others}{ds}"))
    }

    /// Waits until the resolver holds these keys, or DS records of these, and has validated everything beside them.
    fn settle(&self, kind: &str, expected: &BTreeSet<u16>) -> Result<()> {
        let what = format!("the resolver's {kind}");
        poll::until_equal(&what, LIMIT, expected, || match kind {
            "DS" => self.ds_at_resolver(),
            _ => self.keys_at(RESOLVER),
        })?;
        self.rounds.await_another()
    }

    fn keys_at(&self, server: Ipv4Addr) -> Result<BTreeSet<u16>> {
        Ok(tags_in(&ds_of(&self.scene.cluster.client, server, ZONE)?))
    }

    fn ds_at_resolver(&self) -> Result<BTreeSet<u16>> {
        let mut command = self.scene.cluster.client.command("dig");
        command.arg(format!("@{RESOLVER}")).args([ZONE, "DS", "+noall", "+answer", "+time=3"]);
        Ok(tags_in(&run(&mut command)?.ok()?))
    }
}

/// The lines that are wanted.
fn only(text: &str, wanted: impl Fn(&str) -> bool) -> String {
    text.lines().filter(|line| wanted(line)).map(|line| format!("{line}\n")).collect()
}

/// The key tags of DS records.
fn tags_in(records: &str) -> BTreeSet<u16> {
    let tag =
        |line: &str| line.split_whitespace().skip_while(|word| *word != "DS").nth(1)?.parse().ok();
    records.lines().filter_map(tag).collect()
}
