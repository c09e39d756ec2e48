//! What a manifest means, what is refused and where, and that an export reads back.

use std::time::Duration;

use holdfast_core::spec::{
    Address, AllDown, BodyExpectation, CheckKind, Failback, HttpVersion, Kind, Mode, Policy,
    RecordData, RegionRule, StatusRange,
};

use super::*;
use holdfast_core::ttl::Tier;

mod documented;

const SMALL: &str = "\
apiVersion: holdfast/v1
kind: Service
metadata:
  name: shop
spec:
  dns:
    name: shop.example.test
  pools:
    - name: eu
      endpoints:
        - name: eu-1
          address: 203.0.113.7:443
    - name: us
  checks:
    - name: up
      type: tcp
";

const FULL: &str = r#"
apiVersion: holdfast/v1
kind: Service
metadata: { name: checkout, namespace: pay }
spec:
  tier: 3
  dns: { name: Checkout.Example.Test., ttl: 20s, ttl_min: 10s, txt: ["v=1", "two words"] }
  policy: { multivalue: { max: 3 } }
  pools:
    - name: eu
      region: eu-west
      priority: 5
      weight: 80
      min_up: 2
      endpoints:
        - { name: eu-1, address: "203.0.113.7:443", weight: 3 }
        - { name: eu-2, address: "[2001:db8::1]:8443" }
        - { name: eu-3, address: "host.example:443", weight: 0 }
    - { name: us }
  checks:
    - name: page
      type: https
      interval: 5s
      timeout: 1s500ms
      rise: 1
      fall: 4
      confirm: 200ms
      method: HEAD
      path: /healthz?full=1
      host: checkout.example
      headers: { X-Token: "abc", Accept: "text/html" }
      port: 8443
      http_version: "2"
      follow_redirects: 2
      max_latency: 800ms
      expect:
        status: ["200-299", 301]
        body_pointer: { pointer: /status/ready, equals: "true" }
      tls: { server_name: checkout.example, verify: false, min_days_left: 14 }
    - { name: text, type: http, expect: { body_contains: "ok" } }
    - { name: match, type: http, expect: { body_matches: "^ok$" } }
    - { name: line, type: tcp, port: 25, send: "EHLO x\r\n", expect: { received: "250" } }
    - { name: raw, type: tcp, send: { hex: "00ff" } }
    - { name: rpc, type: grpc, service: pay.v1.Checkout, tls: {} }
    - { name: clear, type: grpc }
    - { name: name, type: dns, query: www.example.test, record_type: AAAA, expect: { rcode: NOERROR, data: ["2001:db8::1"] } }
    - { name: cert, type: tls, tls: { min_days_left: 7 } }
    - { name: beat, type: heartbeat, ttl: 30s }
  quorum: { regions: { at_least: 2 }, veto_percent: 20 }
  failover:
    mode: observe
    failback: manual
    hold_down: 10m
    cooldown: 1m
    max_moves: 3
    window: 1d
    all_down: { fallback: us }
"#;

const ZONE: &str = r#"
apiVersion: holdfast/v1
kind: Zone
metadata: { name: example.test }
spec:
  name_servers:
    - { name: ns1.example.test, addresses: ["192.0.2.1", "2001:db8::53"] }
    - { name: ns.elsewhere.example }
  records:
    - { name: "@", type: TXT, data: "v=spf1 -all" }
    - { name: www.example.test, ttl: 60s, type: A, data: 192.0.2.80 }
    - { name: www.example.test, type: AAAA, data: "2001:db8::80" }
    - { name: alias.example.test., type: CNAME, data: www.example.test. }
    - { name: _x._tcp.example.test, type: SRV, data: 10 5 443 www.example.test }
    - { name: many.example.test, type: TXT, data: [one, two] }
"#;

fn yaml(text: &str) -> Result<Vec<Manifest>, ManifestError> {
    parse(text, Format::Yaml, Path::new(""))
}

fn service(text: &str) -> Service {
    match yaml(text).unwrap_or_else(|e| panic!("{e}")).remove(0) {
        Manifest::Service(service) => service,
        Manifest::Zone(_) => panic!("a zone"),
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn what_is_absent_gets_its_default() {
    let service = service(SMALL);
    assert_eq!(service.id.to_string(), "shop");
    assert_eq!((service.dns.ttl, service.policy), (seconds(30), Policy::Failover));
    let pools: Vec<_> = service.pools.iter().map(|p| (p.priority, p.weight, p.min_up)).collect();
    assert_eq!(pools, [(10, 1, 1), (20, 1, 1)]);
    assert_eq!(service.pools[0].endpoints[0].weight, 1);
    assert_eq!((service.quorum.regions, service.quorum.veto_percent), (RegionRule::Majority, 33));
    let rules = &service.failover;
    assert_eq!((rules.mode, rules.failback, rules.max_moves), (Mode::Enforce, Failback::Auto, 6));
    assert_eq!(
        (rules.hold_down, rules.cooldown, rules.window),
        (seconds(300), seconds(300), seconds(3600))
    );
    assert_eq!(rules.all_down, AllDown::FailOpen);
}

#[test]
fn timing_follows_the_interval() {
    for (interval, timeout_ms, confirm_ms) in
        [("10s", 4000, 1000), ("5s", 2500, 500), ("200ms", 100, 50), ("1m", 4000, 1000)]
    {
        let text = SMALL.replace("type: tcp", &format!("type: tcp\n      interval: {interval}"));
        let check = &service(&text).checks[0];
        assert_eq!(check.timeout, Duration::from_millis(timeout_ms), "{interval}");
        assert_eq!(check.confirm, Duration::from_millis(confirm_ms), "{interval}");
        assert_eq!((check.rise, check.fall), (2, 3));
    }
    assert_eq!(service(SMALL).checks[0].interval, seconds(10));
}

#[test]
fn a_tier_gives_the_ttl_unless_there_is_one() {
    for (tier, ttl) in [(0, 20), (1, 30), (2, 60), (3, 300), (4, 300)] {
        let text = SMALL.replace("spec:\n", &format!("spec:\n  tier: {tier}\n"));
        assert_eq!(service(&text).dns.ttl, seconds(ttl), "tier {tier}");
        let explicit = text.replace("test\n  pools", "test\n    ttl: 45s\n  pools");
        assert_eq!(service(&explicit).dns.ttl, seconds(45));
    }
    let wrong = yaml(&SMALL.replace("spec:\n", "spec:\n  tier: 5\n")).expect_err("no such tier");
    assert!(wrong.to_string().contains("tier: 5 is not 0"), "{wrong}");
}

#[test]
fn every_key_arrives() {
    let service = service(FULL);
    assert_eq!((service.id.namespace(), service.id.name()), ("pay", "checkout"));
    assert_eq!(service.dns.name.as_str(), "checkout.example.test");
    assert_eq!((service.dns.ttl, service.dns.txt.len()), (seconds(20), 2));
    assert_eq!(
        (service.dns.ttl_min, service.dns.tier.map(Tier::number)),
        (Some(seconds(10)), Some(3))
    );
    assert_eq!(service.policy, Policy::Multivalue { max: 3 });
    let eu = &service.pools[0];
    assert_eq!((eu.priority, eu.weight, eu.min_up, service.pools[1].priority), (5, 80, 2, 20));
    let places: Vec<_> =
        eu.endpoints.iter().map(|e| (e.address.to_string(), e.port, e.weight)).collect();
    let expected = [("203.0.113.7", 443, 3), ("2001:db8::1", 8443, 1), ("host.example", 443, 0)];
    assert_eq!(places, expected.map(|(address, port, weight)| (address.to_owned(), port, weight)));
    assert!(matches!(eu.endpoints[2].address, Address::Name(_)));
    assert_eq!((service.quorum.regions, service.quorum.veto_percent), (RegionRule::AtLeast(2), 20));
    let rules = &service.failover;
    assert_eq!((rules.mode, rules.failback, rules.max_moves), (Mode::Observe, Failback::Manual, 3));
    assert_eq!(
        (rules.hold_down, rules.cooldown, rules.window),
        (seconds(600), seconds(60), seconds(86_400))
    );
    assert!(matches!(&rules.all_down, AllDown::Fallback(pool) if pool.as_str() == "us"));
}

fn kind_of<'a>(service: &'a Service, name: &str) -> &'a CheckKind {
    let check = service.checks.iter().find(|check| check.name.as_str() == name);
    &check.unwrap_or_else(|| panic!("no {name}")).kind
}

#[test]
fn a_web_check_arrives_with_every_key() {
    let service = service(FULL);
    let kind = |name: &str| kind_of(&service, name);
    let CheckKind::Http(page) = kind("page") else { panic!("not http") };
    assert_eq!((page.method.as_str(), page.path.as_str()), ("HEAD", "/healthz?full=1"));
    assert_eq!(
        (page.version, page.port, page.follow_redirects),
        (HttpVersion::Http2, Some(8443), 2)
    );
    assert_eq!(
        page.expect_status,
        [StatusRange { from: 200, to: 299 }, StatusRange { from: 301, to: 301 }]
    );
    assert_eq!(page.headers.len(), 2);
    assert_eq!(page.max_latency, Some(Duration::from_millis(800)));
    assert!(
        matches!(&page.expect_body, Some(BodyExpectation::Pointer { equals, .. }) if equals == "true")
    );
    let tls = page.tls.as_ref().expect("https");
    assert_eq!((tls.verify, tls.min_days_left), (false, Some(14)));
}

#[test]
fn a_plain_http_check_arrives_with_its_defaults() {
    let service = service(FULL);
    let CheckKind::Http(text) = kind_of(&service, "text") else { panic!("not http") };
    assert_eq!((text.tls.is_some(), text.method.as_str(), text.path.as_str()), (false, "GET", "/"));
    assert!(matches!(&text.expect_body, Some(BodyExpectation::Contains(t)) if t == "ok"));
}

#[test]
fn every_other_kind_of_check_arrives() {
    let service = service(FULL);
    let kind = |name: &str| kind_of(&service, name);
    assert!(
        matches!(kind("line"), CheckKind::Tcp(t) if t.send == b"EHLO x\r\n" && t.expect == b"250")
    );
    assert!(matches!(kind("raw"), CheckKind::Tcp(t) if t.send == [0, 255]));
    assert!(
        matches!(kind("rpc"), CheckKind::Grpc(g) if g.tls.as_ref().is_some_and(|tls| tls.verify))
    );
    assert!(matches!(kind("clear"), CheckKind::Grpc(g) if g.tls.is_none() && g.service.is_empty()));
    assert!(
        matches!(kind("name"), CheckKind::Dns(d) if d.record_type == "AAAA" && d.expect_data.len() == 1)
    );
    assert!(matches!(kind("cert"), CheckKind::Tls(t) if t.options.verify));
    assert!(matches!(kind("beat"), CheckKind::Heartbeat(h) if h.ttl == seconds(30)));
}

#[test]
fn a_zone_arrives() {
    let Manifest::Zone(zone) = yaml(ZONE).unwrap_or_else(|e| panic!("{e}")).remove(0) else {
        panic!("a service")
    };
    assert_eq!(zone.soa.mailbox.as_str(), "hostmaster.example.test");
    assert_eq!((zone.ttl, zone.soa.negative_ttl), (seconds(300), seconds(30)));
    assert_eq!(zone.name_servers[0].addresses.len(), 2);
    let ttls: Vec<_> = zone.records.iter().map(|r| r.ttl.as_secs()).collect();
    assert_eq!(ttls, [300, 60, 300, 300, 300, 300]);
    assert_eq!(zone.records[0].name, zone.name, "@ is the apex");
    assert!(matches!(
        &zone.records[4].data,
        RecordData::Srv { priority: 10, weight: 5, port: 443, .. }
    ));
    assert_eq!(zone.records[5].data, RecordData::Txt(vec!["one".into(), "two".into()]));
}

#[test]
fn several_documents_come_in_order() {
    let manifests =
        yaml(&format!("{ZONE}\n---\n{SMALL}---\n{FULL}---\n")).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(
        manifests.as_slice(),
        [Manifest::Zone(_), Manifest::Service(_), Manifest::Service(_)]
    ));
}

#[test]
fn an_export_reads_back_and_repeats_itself() {
    let all = yaml(&format!("{ZONE}\n---\n{SMALL}---\n{FULL}")).unwrap_or_else(|e| panic!("{e}"));
    let text = export(&all, Format::Yaml).expect("exports");
    let back = yaml(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(back, all, "{text}");
    assert_eq!(export(&back, Format::Yaml).expect("exports"), text);
    for manifest in all {
        let one = std::slice::from_ref(&manifest);
        let text = export(one, Format::Toml).expect("exports");
        let back =
            parse(&text, Format::Toml, Path::new("")).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(back, one, "{text}");
        assert_eq!(export(&back, Format::Toml).expect("exports"), text);
    }
}

#[test]
fn toml_has_the_same_keys() {
    let text = r#"
apiVersion = "holdfast/v1"
kind = "Service"
metadata.name = "shop"

[spec.dns]
name = "shop.example.test"

[[spec.pools]]
name = "eu"
endpoints = [{ name = "eu-1", address = "203.0.113.7:443" }]

[[spec.pools]]
name = "us"

[[spec.checks]]
name = "up"
type = "tcp"
"#;
    let from_toml = parse(text, Format::Toml, Path::new("")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(from_toml, yaml(SMALL).expect("parses"));
}

/// Each line: what is replaced in the small manifest, by what, and what the error must say.
#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        ("type: tcp", "type: tcp\n      intervall: 5s", "line 17, column", "intervall"),
        ("kind: Service", "kind: Servise", "line 2, column", "Servise"),
        ("holdfast/v1", "holdfast/v9", "line 1, column", "holdfast/v9"),
        ("type: tcp", "type: tcp\n      interval: 10", "line 17, column", "unit is missing"),
        (
            "type: tcp",
            "type: tcp\n      path: /x",
            "line 1",
            "a check of type tcp has no such key (only http, https)",
        ),
        ("203.0.113.7:443", "203.0.113.7", "line 12, column", "the port is missing"),
        ("203.0.113.7:443", "203.0.113.700:443", "line 12, column", "no address"),
        ("203.0.113.7:443", "host.example:https", "line 12, column", "the port must be 1 to 65535"),
        ("shop.example.test", "shop example", "line 7, column", "domain name"),
        ("name: eu\n", "name: EU\n", "line 9, column", "only a-z, 0-9 and '-'"),
        ("  dns:", "  policy: best\n  dns:", "line 6, column", "best"),
        ("kind: Service\n", "", "line 5", "kind must stand before spec"),
        ("metadata:", "labels: {}\nmetadata:", "line 3, column", "labels"),
        ("metadata:\n  name: shop\n", "", "", "missing field `metadata`"),
        ("spec:\n", "spec: [\n", "line", ""),
    ];
    for (from, to, place, why) in cases {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL, "{from}");
        let error = yaml(&text).expect_err(to).to_string();
        assert!(error.contains(why), "{to:?}: {error}");
        assert!(error.contains(place), "{to:?}: {error}");
    }
}

#[test]
fn what_is_not_possible_is_said_with_its_field() {
    let cases = [
        (
            "type: tcp",
            "type: tcp\n      timeout: 10s",
            "checks[up].timeout: 10s must be at least 10ms and less",
        ),
        (
            "type: tcp",
            "type: tcp\n      interval: 50ms\n      confirm: 20ms",
            "checks[up].interval",
        ),
        ("type: tcp", "type: dns", "checks[up].query: the name to ask for is missing"),
        ("type: tcp", "type: heartbeat", "checks[up].ttl"),
        (
            "type: tcp",
            "type: https\n      tls: { ca_file: no-such.pem }",
            "checks[up].tls.ca_file: no-such.pem cannot be read",
        ),
        ("- name: us", "- name: eu", "pools[eu]: this name is used twice"),
        ("name: shop\n", "name: Shop\n", "metadata.name"),
        (
            "  dns:",
            "  failover: { all_down: { fallback: asia } }\n  dns:",
            "failover.all_down: there is no pool asia",
        ),
        ("  dns:", "  quorum: { regions: { percent: 0 } }\n  dns:", "quorum.regions"),
    ];
    for (from, to, why) in cases {
        let error = yaml(&SMALL.replacen(from, to, 1)).expect_err(to);
        assert!(matches!(&error, ManifestError::Impossible { number: 1, .. }), "{to:?}: {error}");
        assert!(error.to_string().contains(why), "{to:?}: {error}");
        assert!(error.to_string().contains("document 1 (Service "), "{error}");
    }
    let zone = ZONE.replace("www.example.test, ttl", "www.other.test, ttl");
    let error = yaml(&format!("{SMALL}---\n{zone}")).expect_err("outside").to_string();
    assert!(
        error.contains("document 2 (Zone example.test): records[www.other.test]: lies outside"),
        "{error}"
    );
}

#[test]
fn toml_errors_have_their_place() {
    let text = "apiVersion = \"holdfast/v1\"\nkind = \"Zone\"\nmetadata.name = \"example.test\"\n[spec]\nttl = \"5\"\n";
    let error = parse(text, Format::Toml, Path::new("")).expect_err("no unit").to_string();
    assert!(error.contains("line 5, column 7") && error.contains("unit is missing"), "{error}");
    let error = parse("a = [", Format::Toml, Path::new("")).expect_err("broken").to_string();
    assert!(error.starts_with("line 1, column"), "{error}");
}

#[test]
fn a_repeated_key_is_refused() {
    let error = yaml(&SMALL.replace("type: tcp", "type: tcp\n      type: http"))
        .expect_err("twice")
        .to_string();
    assert!(error.contains("line 17") && error.contains("type"), "{error}");
}

#[test]
fn a_file_says_its_language_and_files_beside_it_are_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path
    };
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    write("ca.pem", pem);
    let text = SMALL.replace("type: tcp", "type: https\n      tls: { ca_file: ca.pem }");
    let manifests = read(&write("shop.yaml", &text)).unwrap_or_else(|e| panic!("{e}"));
    let Manifest::Service(service) = &manifests[0] else { panic!("a zone") };
    let CheckKind::Http(http) = &service.checks[0].kind else { panic!("not http") };
    assert_eq!(http.tls.as_ref().and_then(|tls| tls.ca_pem.as_deref()), Some(pem));
    let exported = export(&manifests, Format::Yaml).expect("exports");
    assert_eq!(yaml(&exported).unwrap_or_else(|e| panic!("{e}\n{exported}")), manifests);

    write("ca.pem", "nothing");
    let error = read(&dir.path().join("shop.yaml")).expect_err("no certificate").to_string();
    assert!(
        error.contains("shop.yaml: document 1") && error.contains("holds no PEM certificate"),
        "{error}"
    );
    let error = read(&write("shop.json", "{}")).expect_err("unknown").to_string();
    assert!(error.contains("must end in .yaml, .yml or .toml"), "{error}");
    let error = read(&dir.path().join("none.yaml")).expect_err("missing").to_string();
    assert!(error.contains("cannot be read"), "{error}");
    let error = read(&write("empty.yaml", "# nothing\n")).expect_err("empty").to_string();
    assert!(error.contains("there is no document"), "{error}");
}

#[test]
fn headers_keep_their_order_where_it_shows() {
    let text = SMALL
        .replace("type: tcp", "type: http\n      headers: [\"X-B: 1\", \"X-A: 2\", \"X-B: 3: 4\"]");
    let CheckKind::Http(http) = &service(&text).checks[0].kind else { panic!("not http") };
    let headers: Vec<_> = http.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(headers, [("X-B", "1"), ("X-A", "2"), ("X-B", "3: 4")]);
}

#[test]
fn a_zone_says_who_copies_it_and_who_is_told() {
    let shared = "  transfer:
    allow: [192.0.2.0/24, \"2001:db8::1\"]
    keys: [xfr.example.test]
    notify: [ { address: 192.0.2.7, key: xfr.example.test }, { address: \"[2001:db8::7]:5353\" } ]
";
    let manifests = yaml(&format!("{ZONE}{shared}")).unwrap_or_else(|e| panic!("{e}"));
    let Manifest::Zone(zone) = &manifests[0] else { panic!("a service") };
    let told: Vec<_> = zone.transfer.notify.iter().map(|t| t.address.to_string()).collect();
    assert_eq!(told, ["192.0.2.7:53", "[2001:db8::7]:5353"]);
    let exported = export(&manifests, Format::Yaml).expect("exports");
    assert_eq!(yaml(&exported).unwrap_or_else(|e| panic!("{e}\n{exported}")), manifests);
    let bad = format!("{ZONE}  transfer: {{ allow: [192.0.2.0/33] }}\n");
    let error = yaml(&bad).expect_err("no prefix").to_string();
    assert!(error.contains("is no prefix"), "{error}");
}

#[test]
fn who_may_update_a_zone_goes_there_and_back() {
    let rules = "  updates:
  - { key: all.test }
  - { key: acme.test, names: ['_acme-challenge.example.test', '*.lab.example.test', '@'], types: [txt, TYPE52] }
  - { key: nodes.test, names: ['shop.example.test'], registers: { pool: eu, port: 443 } }
";
    let manifests = yaml(&format!("{ZONE}{rules}")).expect("possible");
    let Manifest::Zone(zone) = &manifests[0] else { panic!("a service") };
    assert_eq!((zone.updates[0].names.len(), zone.updates[0].types.len()), (0, 0));
    assert_eq!(zone.updates[1].types, [Kind::TXT, Kind(52)]);
    let names: Vec<&str> = zone.updates[1].names.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["_acme-challenge.example.test", "*.lab.example.test", "example.test"]);
    let registers = zone.updates[2].registers.as_ref().expect("it registers");
    assert_eq!((registers.pool.as_str(), registers.port), ("eu", 443));
    let exported = export(&manifests, Format::Yaml).expect("exports");
    assert_eq!(yaml(&exported).unwrap_or_else(|e| panic!("{e}\n{exported}")), manifests);
    for (rule, problem) in [
        ("{ key: k.test, names: [www.other.test] }", "lies outside example.test"),
        ("{ key: k.test, types: [SOA] }", "no client's to change"),
        ("{ key: k.test, types: [A6X] }", "is no record type"),
        ("{ names: [a.example.test] }", "key"),
        ("{ key: k.test, registers: { pool: eu } }", "port"),
        ("{ key: k.test, registers: { pool: eu, port: 0 } }", "1 to 65535"),
        ("{ key: k.test, types: [A], registers: { pool: eu, port: 80 } }", "leave `types` out"),
    ] {
        let error = yaml(&format!("{ZONE}  updates: [{rule}]\n")).expect_err(problem).to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn steering_goes_there_and_back() {
    let policy = "spec:
  policy:
    geo:
      rules:
      - match: { cidr: [192.0.2.0/24], country: [de], asn: [64500], subdivision: [US-CA] }
        pools: [eu]
      - match: { default: true }
        pools: [eu]
      then:
        nearest:
          regions: [{ region: eu-1, at: [50.11, -8.68] }]
          then: { multivalue: { max: 2 } }
";
    let text = SMALL.replace("spec:\n", policy);
    let Policy::Steered(steered) = service(&text).policy else { panic!("it is steered") };
    let matches: Vec<String> = steered.geo[0].matches.iter().map(ToString::to_string).collect();
    let expected = ["cidr:192.0.2.0/24", "country:DE", "subdivision:US-CA", "asn:64500"];
    assert_eq!(matches, expected);
    assert!(steered.geo[1].matches.is_empty());
    let regions = steered.nearest.expect("declared");
    assert_eq!(regions[0].at, Some((5011, -868)));
    for (from, to, problem) in [
        ("192.0.2.0/24", "192.0.2.1/24", "bits set behind"),
        ("pools: [eu]", "pools: [nowhere]", "there is no pool nowhere"),
        ("default: true", "default: true, asn: [1]", "default stands alone"),
        ("{ multivalue: { max: 2 } }", "{ geo: { rules: [] } }", "each stands once"),
        ("[50.11, -8.68]", "[91, 0]", "degrees to the north"),
        (
            "{ multivalue: { max: 2 } }",
            "{ weighted: {} }",
            "`policy: weighted` or `then: weighted`",
        ),
        ("asn: [64500]", "asn: [64500, 64500]", "matched twice"),
    ] {
        let error = yaml(&text.replace(from, to)).expect_err(problem).to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_zone_says_whence_it_comes_in_place_of_records() {
    let secondary = "apiVersion: holdfast/v1\nkind: Zone\nmetadata: { name: example.test }\nspec:\n  \
        primaries: { addresses: [192.0.2.9, \"[2001:db8::9]:5353\"], key: k.test }\n";
    let manifests = yaml(secondary).unwrap_or_else(|e| panic!("{e}"));
    let Manifest::Zone(zone) = &manifests[0] else { panic!("a service") };
    let primaries = zone.primaries.as_ref().expect("it comes from elsewhere");
    let from: Vec<String> = primaries.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(from, ["192.0.2.9:53", "[2001:db8::9]:5353"]);
    let exported = export(&manifests, Format::Yaml).expect("exports");
    assert_eq!(yaml(&exported).unwrap_or_else(|e| panic!("{e}\n{exported}")), manifests);
    for (bad, why) in [
        (format!("{ZONE}  primaries: {{ addresses: [192.0.2.9] }}\n"), "come from there"),
        (secondary.replace("192.0.2.9", "ns1.test"), "is no address"),
        (secondary.replace("[192.0.2.9, \"[2001:db8::9]:5353\"]", "[]"), "1 to 8 servers"),
    ] {
        let error = yaml(&bad).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn how_a_zone_is_signed_goes_there_and_back_and_says_what_a_rollover_waits_for() {
    let delays_of = |signed: &str| {
        let manifests =
            yaml(&format!("{ZONE}  dnssec: {signed}\n")).unwrap_or_else(|e| panic!("{e}"));
        let exported = export(&manifests, Format::Yaml).expect("exports");
        assert_eq!(yaml(&exported).unwrap_or_else(|e| panic!("{e}\n{exported}")), manifests);
        let Manifest::Zone(zone) = &manifests[0] else { panic!("a service") };
        let delays = zone.dnssec.as_ref().expect("it is signed").delays;
        (delays.zone.as_secs(), delays.parent.as_secs())
    };
    assert_eq!(delays_of("{}"), (300, 3600));
    let declared = "{ zone_propagation_delay: 20m, parent_propagation_delay: 1s }";
    assert_eq!(delays_of(declared), (1200, 1));
    for (bad, why) in [
        ("zone_propagation_delay: 0s", "dnssec.zone_propagation_delay: 0ns is outside 1s to"),
        ("parent_propagation_delay: 8d", "dnssec.parent_propagation_delay: 691200s is outside"),
    ] {
        let error = yaml(&format!("{ZONE}  dnssec: {{ {bad} }}\n")).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
}
