//! What people see with kdig: every option of EDNS, every odd question, at a real agent's sockets.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use holdfast_tests::lab::Host;
use holdfast_tests::process::run;
use holdfast_tests::scenario::NAME;
use holdfast_tests::{Scene, scenario};

/// Somebody whom no agent exempts from the rate limit.
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 60);
const NSID: &str = "ns1.lab";
const VERSION: &str = "an agent of the lab";
/// Replies per second for one name, so that a few questions are too many.
const RATE: u32 = 5;
/// Questions that are asked at once, four times as many as the limit lets through at most.
const MANY: usize = 40;

/// The zone with its answers tailored, and one that takes no notice of subnets. Of the long names, one fits in a
/// datagram of 1,232 bytes and the other does not.
fn zones(agent: Ipv4Addr) -> String {
    let texts = |name: &str, count: usize| -> String {
        let text = |number: usize| {
            format!("    - {{ name: {name}, type: TXT, data: '\"{number:0>100}\"' }}\n")
        };
        (0..count).map(text).collect()
    };
    let zone = |name: &str, more: &str| {
        format!(
            "apiVersion: holdfast/v1\nkind: Zone\nmetadata: {{ name: {name} }}\nspec:\n{more}  \
             name_servers: [ {{ name: ns1.{name}, addresses: [\"{agent}\"] }} ]\n  records:\n"
        )
    };
    format!(
        "{}{}{}---\n{}    - {{ name: www.plain.test, type: A, data: 192.0.2.80 }}\n",
        zone("hf.test", "  client_subnet: true\n"),
        texts("long.hf.test", 8),
        texts("longer.hf.test", 30),
        zone("plain.test", "")
    )
}

/// A service that is steered by networks.
fn near(eu: Ipv4Addr, us: Ipv4Addr) -> String {
    format!(
        "apiVersion: holdfast/v1\nkind: Service\nmetadata: {{ name: near }}\nspec:\n  dns: {{ name: near.hf.test, ttl: 5s }}\n  \
         policy:\n    geo:\n      rules:\n        - {{ match: {{ cidr: [192.0.2.0/25] }}, pools: [us] }}\n        - {{ pools: [eu] }}\n  \
         pools:\n    - {{ name: eu, endpoints: [ {{ name: eu, address: \"{eu}:80\" }} ] }}\n    \
         - {{ name: us, endpoints: [ {{ name: us, address: \"{us}:80\" }} ] }}\n  \
         checks: [ {{ name: web, type: http, path: /, interval: 1s, timeout: 700ms }} ]\n"
    )
}

/// The first agent with something to tell, and a limit.
fn restart(scene: &mut Scene) -> Result<()> {
    scene.cluster.terminate(0)?;
    let node = &scene.cluster.nodes()[0];
    let text = scene.cluster.config_text(node);
    let more = format!(
        "[dns]\nnsid = \"{NSID}\"\nversion = \"{VERSION}\"\nrate_limit_per_prefix = {RATE}\nthreads = 1\n"
    );
    std::fs::write(node.config(), text.replacen("[dns]\n", &more, 1))?;
    scene.cluster.start_node(0)?;
    scene.cluster.await_ready()
}

/// A host that asks the first agent.
struct Asker {
    host: Host,
    server: String,
}

impl Asker {
    fn kdig(&self, words: &[&str]) -> Result<String> {
        self.run("kdig", words)
    }

    fn run(&self, program: &str, words: &[&str]) -> Result<String> {
        let mut command: Command = self.host.command(program);
        command.arg(&self.server).args(words);
        run(&mut command)?.ok()
    }

    /// Asks with these words, and wants all of these in what kdig says.
    fn sees(&self, words: &[&str], wanted: &[&str]) -> Result<String> {
        let said = self.kdig(words)?;
        for one in wanted {
            ensure!(said.contains(one), "kdig {words:?} does not say {one:?}:\n{said}");
        }
        Ok(said)
    }

    /// Asks with these words, and wants none of these in what kdig says.
    fn lacks(&self, words: &[&str], unwanted: &[&str]) -> Result<()> {
        let said = self.kdig(words)?;
        for one in unwanted {
            ensure!(!said.contains(one), "kdig {words:?} says {one:?}:\n{said}");
        }
        Ok(())
    }
}

#[test]
fn kdig_sees_every_option_and_odd_question_answered_as_the_rfcs_say() -> Result<()> {
    scenario(|scene| {
        let (eu, us) = (scene.eu.address(), scene.us.address());
        restart(scene)?;
        let agent = scene.cluster.addresses()[0];
        scene.cluster.apply(&zones(agent))?;
        scene.cluster.apply(&near(eu, us))?;
        let running = scene.cluster.running();
        scene.cluster.await_answer(&running, "near.hf.test", &scene.answer_eu())?;
        let server = format!("@{agent}");
        let client = Asker { host: scene.cluster.client.clone(), server: server.clone() };
        let stranger = Asker { host: scene.lab.host("stranger", STRANGER)?, server };
        edns(&client)?;
        subnets(&client, &eu.to_string(), &us.to_string())?;
        sizes(&client)?;
        odd_questions(&client)?;
        changes_without_a_key(&client)?;
        cookies(&stranger)
    })
}

fn edns(client: &Asker) -> Result<()> {
    client.lacks(&["-t", "A", NAME, "+noedns"], &["EDNS"])?;
    client.lacks(&["-t", "A", NAME, "+edns"], &["NSID", "COOKIE", "CLIENT-SUBNET"])?;
    client.sees(&["-t", "A", NAME, "+nsid"], &["status: NOERROR", &format!("\"{NSID}\"")])?;
    client.sees(&["-t", "A", NAME, "+edns=1"], &["Version: 0", "BADVERS", "ANSWER: 0"])?;
    client.sees(&["-t", "A", NAME, "+tcp", "+edns"], &["status: NOERROR", "(TCP)", "ANSWER: 1"])?;
    Ok(())
}

fn subnets(client: &Asker, eu: &str, us: &str) -> Result<()> {
    let near = |subnet: &str, wanted: &[&str]| {
        client.sees(&["-t", "A", "near.hf.test", &format!("+subnet={subnet}")], wanted)
    };
    near("192.0.2.0/24", &["CLIENT-SUBNET: 192.0.2.0/24/24", us])?;
    near("192.0.2.128/32", &["CLIENT-SUBNET: 192.0.2.128/32/25", eu])?;
    near("198.51.100.0/24", &["CLIENT-SUBNET: 198.51.100.0/24/6", eu])?;
    // An answer that is for everybody, in a zone that tailors answers and in one that does not.
    for name in [NAME, "www.plain.test"] {
        let words = ["-t", "A", name, "+subnet=192.0.2.0/24"];
        client.sees(&words, &["CLIENT-SUBNET: 192.0.2.0/24/0", "ANSWER: 1"])?;
    }
    Ok(())
}

fn sizes(client: &Asker) -> Result<()> {
    let asked = |name, size| ["-t", "TXT", name, size, "+ignore"];
    let cut = ["Flags: qr aa tc", "ANSWER: 0"];
    client.sees(&asked("long.hf.test", "+bufsize=512"), &cut)?;
    client.sees(&asked("long.hf.test", "+bufsize=1232"), &["Flags: qr aa rd;", "ANSWER: 8"])?;
    client.sees(&asked("longer.hf.test", "+bufsize=4096"), &cut)?;
    client.sees(&["-t", "TXT", "longer.hf.test", "+bufsize=4096"], &["ANSWER: 30", "(TCP)"])?;
    Ok(())
}

fn odd_questions(client: &Asker) -> Result<()> {
    client.sees(&["-t", "ANY", NAME, "+notcp"], &["status: NOERROR", "ANSWER: 1"])?;
    let said =
        client.sees(&["-t", "ANY", "hf.test", "+notcp"], &["status: NOERROR", "ANSWER: 1"])?;
    ensure!(said.contains("\tSOA\t"), "{said}");
    let chaos = |name| ["-c", "CH", "-t", "TXT", name];
    client.sees(&chaos("version.bind"), &[&format!("\"{VERSION}\"")])?;
    client.sees(&chaos("hostname.bind"), &["status: REFUSED"])?;
    client.sees(&["-t", "A", "elsewhere.example"], &["status: REFUSED", "ANSWER: 0"])?;
    Ok(())
}

/// Neither a NOTIFY nor an UPDATE of somebody without a key is heeded.
fn changes_without_a_key(client: &Asker) -> Result<()> {
    let refusals = ["status: NOTIMP", "status: REFUSED", "status: NOTAUTH"];
    let serial = || client.kdig(&["-t", "SOA", "hf.test", "+short"]);
    let before = serial()?;
    let questions =
        [("kdig", ["-t", "NOTIFY", "hf.test"]), ("kdig", ["-t", "NOTIFY=7", "hf.test"])];
    let opcodes = ["+opcode=notify", "+opcode=update", "+opcode=status", "+opcode=6"];
    let opcodes = opcodes.map(|opcode| ("dig", [opcode, "hf.test", "SOA"]));
    let all = questions.iter().map(|(program, words)| (*program, words.as_slice()));
    for (program, words) in all.chain(opcodes.iter().map(|(dig, words)| (*dig, words.as_slice()))) {
        let said = client.run(program, words)?;
        ensure!(refusals.iter().any(|code| said.contains(code)), "{program} {words:?}: {said}");
    }
    ensure!(before == serial()?, "the zone has changed");
    Ok(())
}

/// The cookie in what kdig says, client's part and server's part together.
fn cookie_in(said: &str) -> Result<String> {
    let line = said.lines().find_map(|line| line.strip_prefix(";; COOKIE: "));
    let cookie = line.with_context(|| format!("no cookie in {said}"))?.trim().to_owned();
    ensure!(cookie.len() == 48, "8 bytes of the client and 16 of the server: {cookie}");
    Ok(cookie)
}

/// A flood of questions: whoever shows a good cookie is answered each time, others are sent to it or to TCP.
fn cookies(stranger: &Asker) -> Result<()> {
    let client = "0102030405060708";
    let said = stranger.kdig(&["-t", "A", NAME, &format!("+cookie={client}")])?;
    let good = cookie_in(&said)?;
    ensure!(good.starts_with(client), "{said}");
    let batch = |cookie: &str| -> Vec<String> {
        let words = ["-t", "A", NAME, "+retry=0", "+time=1", "+ignore", "+nobadcookie", cookie];
        std::iter::repeat_n(words, MANY).flatten().map(str::to_owned).collect()
    };
    let flood = |cookie: &str| -> Result<String> {
        let mut command = stranger.host.command("kdig");
        command.arg(&stranger.server).args(batch(cookie));
        // Its code says that some questions got silence, as they may.
        Ok(run(&mut command)?.stdout)
    };
    let said = flood(&format!("+cookie={good}"))?;
    ensure!(said.matches("status: NOERROR").count() == MANY, "{said}");
    ensure!(said.matches(";; COOKIE: ").count() == MANY && !said.contains(" tc"), "{said}");
    let bad = format!("{client}{}", "5a".repeat(16));
    let said = flood(&format!("+cookie={bad}"))?;
    ensure!(said.contains("BADCOOKIE"), "beyond the limit: {said}");
    // A client does as it is told, and is answered.
    stranger.sees(&["-t", "A", NAME, "+badcookie", &format!("+cookie={bad}")], &["NOERROR"])?;
    stranger.sees(&["-t", "A", NAME, "+retry=4", "+time=1"], &["status: NOERROR", "ANSWER: 1"])?;
    Ok(())
}
