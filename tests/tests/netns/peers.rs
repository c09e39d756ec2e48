//! Beside other authoritative servers: NSD and Knot answer the same zone file as the agents do.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use holdfast_tests::cluster::LIMIT;
use holdfast_tests::lab::{Host, Lab};
use holdfast_tests::poll;
use holdfast_tests::process::{Process, must, run};
use holdfast_tests::scenario::bare_scenario;

const ZONE: &str = "lab.test";
const NSD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 41);
const KNOT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 42);

const FILE: &str = r#"$TTL 300
@            SOA   ns1 hostmaster 1 3600 600 86400 60
             NS    ns1
             NS    ns2.elsewhere.test.
             MX    10 mail
             CAA   0 issue "ca.example"
ns1          A     192.0.2.53
mail         A     192.0.2.25
             AAAA  2001:db8::25
             TXT   "v=spf1 a -all" "\200 and \"quotes\""
shop         A     192.0.2.1
             A     192.0.2.2
             HTTPS 1 . alpn=h2,h3 port=8443
www          CNAME shop
out          CNAME www.elsewhere.test.
dangling     CNAME nothing
chain        CNAME www
_sip._tcp    SRV   0 1 5060 mail
_443._tcp.shop TLSA 3 1 1 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20
host         SSHFP 4 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20
odd          TYPE65280 \# 3 010203
*.wild       A     192.0.2.42
known.wild   TXT   known
a.b.wild     TXT   deep
*.alias      CNAME shop
old          DNAME new
host.new     A     192.0.2.77
sub          NS    ns.sub
             NS    ns.elsewhere.test.
             DS    1 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20
ns.sub       A     192.0.2.54
to-sub       CNAME host.sub
plain        NS    ns1
"#;

/// Names below the zone, and the types they are asked for. ANY is not among them: RFC 8482 leaves the choice of the
/// record set to the server, and so are not the loops of CNAMEs, which nothing says how often to follow.
const QUESTIONS: &[(&str, &[&str])] = &[
    ("@", &["SOA", "NS", "MX", "CAA", "A", "DS", "TYPE65280"]),
    ("mail", &["A", "AAAA", "TXT", "MX"]),
    ("shop", &["A", "HTTPS", "TXT", "RRSIG"]),
    ("MaIl", &["A"]),
    ("www", &["A", "CNAME", "TXT"]),
    ("out", &["A", "CNAME"]),
    ("dangling", &["A"]),
    ("chain", &["A", "AAAA"]),
    ("_sip._tcp", &["SRV"]),
    ("_tcp", &["SRV"]),
    ("_443._tcp.shop", &["TLSA"]),
    ("host", &["SSHFP", "A"]),
    ("odd", &["TYPE65280"]),
    ("nothing", &["A", "DS"]),
    ("below.shop", &["A"]),
    ("x.wild", &["A", "TXT"]),
    ("x.y.wild", &["A"]),
    ("*.wild", &["A"]),
    ("wild", &["A"]),
    ("known.wild", &["A", "TXT"]),
    ("x.known.wild", &["A"]),
    ("b.wild", &["A"]),
    ("x.b.wild", &["A"]),
    ("x.alias", &["A", "CNAME", "TXT"]),
    ("old", &["A", "DNAME"]),
    ("host.old", &["A", "CNAME", "TXT"]),
    ("no.old", &["A"]),
    ("sub", &["A", "NS", "DS", "SOA"]),
    ("host.sub", &["A", "DS"]),
    ("ns.sub", &["A", "AAAA"]),
    ("to-sub", &["A"]),
    ("plain", &["A", "DS"]),
];

fn questions() -> impl Iterator<Item = (String, &'static str)> {
    QUESTIONS.iter().flat_map(|(name, kinds)| {
        let name = if *name == "@" { ZONE.to_owned() } else { format!("{name}.{ZONE}") };
        kinds.iter().map(move |kind| (name.clone(), *kind))
    })
}

fn start_nsd(lab: &mut Lab, dir: &Path, file: &Path) -> Result<(Host, Process)> {
    let host = lab.host("nsd", NSD)?;
    let config = dir.join("nsd.conf");
    std::fs::write(
        &config,
        format!(
            "server:\n  ip-address: {NSD}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{0}\"\n  \
             zonelistfile: \"{0}/nsd.list\"\n  xfrdfile: \"{0}/nsd.xfrd\"\n  xfrdir: \"{0}\"\n  database: \"\"\n  \
             pidfile: \"{0}/nsd.pid\"\nremote-control:\n  control-enable: no\n\
             zone:\n  name: \"{ZONE}\"\n  zonefile: \"{1}\"\n",
            dir.display(),
            file.display()
        ),
    )?;
    let mut command = host.command("nsd");
    command.arg("-d").arg("-c").arg(&config);
    let process = Process::start("nsd", &mut command, &dir.join("nsd.log"))
        .context("nsd is missing; .ci/install installs it")?;
    Ok((host, process))
}

fn start_knot(lab: &mut Lab, dir: &Path, file: &Path) -> Result<(Host, Process)> {
    let host = lab.host("knot", KNOT)?;
    let storage = dir.join("knot");
    std::fs::create_dir_all(&storage)?;
    let config = dir.join("knot.conf");
    std::fs::write(
        &config,
        format!(
            "server:\n  listen: {KNOT}@53\n  rundir: \"{0}\"\ndatabase:\n  storage: \"{0}\"\n\
             zone:\n  - domain: {ZONE}\n    file: \"{1}\"\n    zonefile-sync: -1\n",
            storage.display(),
            file.display()
        ),
    )?;
    let mut command = host.command("knotd");
    command.arg("-c").arg(&config);
    let process = Process::start("knot", &mut command, &dir.join("knot.log"))
        .context("knotd is missing; .ci/install installs it")?;
    Ok((host, process))
}

/// What matters of an answer: code, AA, the answer section, and of the authority section the SOA of a negative answer
/// and the name servers of a referral. Name servers beside a positive answer, and additional records, are a courtesy.
fn asked(client: &Host, server: Ipv4Addr, name: &str, kind: &str) -> Result<String> {
    let mut command = client.command("dig");
    command.args([&format!("@{server}"), "-q", name, "-t", kind]);
    command.args(["+norec", "+tries=1", "+time=2", "+bufsize=1232", "+nocookie"]);
    let text = run(&mut command)?.ok()?;
    let code = text.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
    let code = code.with_context(|| format!("no reply in {text}"))?;
    let authoritative = text.contains(";; flags: qr aa");
    let section = |title: &str| -> Vec<Vec<&str>> {
        let lines =
            text.lines().skip_while(|line| !line.starts_with(&format!(";; {title} SECTION")));
        let lines = lines.skip(1).take_while(|line| !line.is_empty());
        lines.map(|line| line.split_ascii_whitespace().collect()).collect()
    };
    let mut told: Vec<String> = section("ANSWER").iter().map(|words| words.join(" ")).collect();
    let apex = format!("{ZONE}.");
    for words in section("AUTHORITY") {
        match words[..] {
            // Serial and TTL are each server's own.
            [owner, _, _, "SOA", ..] => told.push(format!("{owner} SOA")),
            [owner, ..] if owner != apex => told.push(words.join(" ")),
            _ => {}
        }
    }
    told.sort();
    let mut text = format!("{code} aa={authoritative}");
    told.iter().for_each(|line| write!(text, "\n  {}", line.to_lowercase()).unwrap_or_default());
    Ok(text)
}

#[test]
fn a_zone_file_is_answered_as_nsd_and_knot_answer_it() -> Result<()> {
    bare_scenario(|scene| {
        let dir = scene.dir().to_path_buf();
        let given = dir.join("given.zone");
        std::fs::write(&given, FILE)?;
        let import = ["zone", "import", &given.to_string_lossy(), "--zone", ZONE, "--yes"];
        scene.cluster.cli(&import)?.ok()?;
        let exported = scene.cluster.cli(&["zone", "export", ZONE])?.ok()?;
        let file = dir.join("exported.zone");
        std::fs::write(&file, &exported)?;
        must("ldns-read-zone", [&file])?;
        must("named-checkzone", [Path::new(ZONE), &file])?;

        let _nsd = start_nsd(&mut scene.lab, &dir, &file)?;
        let _knot = start_knot(&mut scene.lab, &dir, &file)?;
        let client = scene.cluster.client.clone();
        let agent = scene.cluster.addresses()[0];
        for server in [agent, NSD, KNOT] {
            poll::until("the zone's SOA", LIMIT, || {
                let told = asked(&client, server, ZONE, "SOA")?;
                ensure!(told.starts_with("NOERROR aa=true"), "{server}: {told}");
                Ok(())
            })?;
        }
        let mut differences = String::new();
        for (name, kind) in questions() {
            let ours = asked(&client, agent, &name, kind)?;
            for (server, address) in [("NSD", NSD), ("Knot", KNOT)] {
                let theirs = asked(&client, address, &name, kind)?;
                if ours != theirs {
                    writeln!(differences, "{name} {kind}\n ours: {ours}\n {server}: {theirs}")?;
                }
            }
        }
        ensure!(differences.is_empty(), "{differences}");
        Ok(())
    })
}
