//! From the words of a script to declarations. A mistake in a script stops it with the words at fault.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use holdfast_core::spec::{
    Address, AllDown, Check, CheckKind, Endpoint, Failback, FailoverRules, HeartbeatCheck, Mode,
    NameServer, Policy, Pool, Quorum, RegionRule, Service, ServiceDns, Soa, TcpCheck, Zone,
};
use holdfast_core::{DnsName, ServiceId};

/// The words of one command: `verb word… key=value…`.
pub(crate) struct Words {
    pub(crate) verb: String,
    pub(crate) plain: Vec<String>,
    keyed: Vec<(String, String)>,
}

/// Splits at spaces outside quotes.
pub(crate) fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

impl Words {
    pub(crate) fn of(command: &str) -> Self {
        let mut words = split(command).into_iter();
        let verb = words.next().expect("a command begins with its verb");
        let (mut plain, mut keyed) = (Vec::new(), Vec::new());
        for word in words {
            match word.split_once('=') {
                Some((key, value)) => keyed.push((key.to_owned(), value.to_owned())),
                None => plain.push(word),
            }
        }
        Self { verb, plain, keyed }
    }

    pub(crate) fn nth(&self, place: usize) -> &str {
        self.plain.get(place).unwrap_or_else(|| panic!("{} lacks word {place}", self.verb))
    }

    pub(crate) fn key(&self, key: &str) -> Option<&str> {
        self.keyed.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.key(key).map(parse)
    }

    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        self.key(key).map(duration)
    }

    /// The keyed words whose key is none of these.
    pub(crate) fn others<'a>(
        &'a self,
        known: &'a [&str],
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let other = |(key, _): &&(String, String)| !known.contains(&key.as_str());
        self.keyed.iter().filter(other).map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

pub(crate) fn parse<T: FromStr<Err: Display>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// `500ms`, `2s`, `5m`, `1h`, `30d`, or a sum such as `1m30s`.
pub(crate) fn duration(text: &str) -> Duration {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, unit) = rest.split_at(digits);
        let length = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, next) = unit.split_at(length);
        let ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => panic!("{text:?} is no duration"),
        };
        total += Duration::from_millis(parse::<u64>(number) * ms);
        rest = next;
    }
    total
}

pub(crate) fn zone(name: &str) -> Zone {
    let name: DnsName = parse(name);
    let server = name.child("ns1").expect("a short label");
    Zone::new(
        name.clone(),
        Soa {
            negative_ttl: Duration::from_secs(60),
            ..Soa::new(name.child("hostmaster").expect("a short label"))
        },
        vec![NameServer { name: server, addresses: vec![parse("192.0.2.53")] }],
        Duration::from_secs(3600),
    )
}

/// `service shop policy=failover pools="eu(10): e1 e2; us(20): e3" hold_down=5m …`
pub(crate) fn service(words: &Words) -> Service {
    let id: ServiceId = parse(words.nth(0));
    let name =
        words.key("name").map_or_else(|| format!("{}.example.test", id.name()), str::to_owned);
    Service {
        dns: ServiceDns::new(
            parse(&name),
            words.duration("ttl").unwrap_or(Duration::from_secs(30)),
        ),
        policy: policy(words.key("policy").unwrap_or("failover")),
        pools: words.key("pools").map(pools).unwrap_or_default(),
        checks: words.key("checks").unwrap_or("tcp").split(' ').map(check).collect(),
        quorum: Quorum {
            regions: region_rule(words.key("quorum").unwrap_or("majority")),
            veto_percent: words.key("veto").map_or(33, parse),
        },
        failover: rules(words),
        id,
    }
}

fn policy(text: &str) -> Policy {
    match text.split_once(':') {
        None if text == "failover" => Policy::Failover,
        None if text == "weighted" => Policy::Weighted,
        Some(("multivalue", max)) => Policy::Multivalue { max: parse(max) },
        _ => panic!("{text:?} is no policy"),
    }
}

fn region_rule(text: &str) -> RegionRule {
    match text {
        "any" => RegionRule::Any,
        "majority" => RegionRule::Majority,
        "all" => RegionRule::All,
        _ => match text.strip_suffix('%') {
            Some(percent) => RegionRule::Percent(parse(percent)),
            None => RegionRule::AtLeast(parse(text)),
        },
    }
}

fn rules(words: &Words) -> FailoverRules {
    FailoverRules {
        mode: match words.key("mode") {
            None | Some("enforce") => Mode::Enforce,
            Some("observe") => Mode::Observe,
            Some(other) => panic!("{other:?} is no mode"),
        },
        failback: match words.key("failback") {
            None | Some("auto") => Failback::Auto,
            Some("manual") => Failback::Manual,
            Some(other) => panic!("{other:?} is no way of failing back"),
        },
        hold_down: words.duration("hold_down").unwrap_or(Duration::from_secs(300)),
        cooldown: words.duration("cooldown").unwrap_or(Duration::ZERO),
        max_moves: words.key("max_moves").map_or(10, parse),
        window: words.duration("window").unwrap_or(Duration::from_secs(600)),
        all_down: match words.key("all_down").unwrap_or("fail_open") {
            "fail_open" => AllDown::FailOpen,
            "last_known_good" => AllDown::LastKnownGood,
            "fail_closed" => AllDown::FailClosed,
            other => match other.strip_prefix("fallback:") {
                Some(pool) => AllDown::Fallback(parse(pool)),
                None => panic!("{other:?} is no all-down policy"),
            },
        },
    }
}

/// `tcp`, another name for one more TCP check, or `NAME:TTL` for one with heartbeats.
fn check(text: &str) -> Check {
    let (name, kind) = match text.split_once(':') {
        Some((name, ttl)) => (name, CheckKind::Heartbeat(HeartbeatCheck { ttl: duration(ttl) })),
        None => {
            let tcp = TcpCheck { port: None, send: Vec::new(), expect: Vec::new() };
            (text, CheckKind::Tcp(tcp))
        }
    };
    Check {
        name: parse(name),
        kind,
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(500),
        rise: 2,
        fall: 3,
        confirm: Duration::from_millis(100),
    }
}

/// `eu(10): e1 e2; us(20, min_up 2, weight 3): e3`
fn pools(text: &str) -> Vec<Pool> {
    text.split(';').filter(|pool| !pool.trim().is_empty()).zip(1..).map(pool).collect()
}

fn pool((text, number): (&str, u8)) -> Pool {
    let (head, endpoints) = text.split_once(':').expect("a pool is NAME(PRIORITY): ENDPOINTS");
    let (name, options) = head.trim().split_once('(').expect("a pool is NAME(PRIORITY)");
    let mut pool = Pool {
        name: parse(name),
        region: None,
        priority: 0,
        weight: 1,
        min_up: 1,
        endpoints: Vec::new(),
    };
    for option in options.trim_end_matches(')').split(',') {
        match option.trim().split_once(' ') {
            None => pool.priority = parse(option.trim()),
            Some(("weight", weight)) => pool.weight = parse(weight),
            Some(("min_up", min_up)) => pool.min_up = parse(min_up),
            Some(_) => panic!("{option:?} is no option of a pool"),
        }
    }
    let words = endpoints.split(' ').filter(|word| !word.is_empty());
    let numbered = words.zip(1u8..);
    pool.endpoints =
        numbered.map(|(word, n)| endpoint(word, &format!("10.0.{number}.{n}"))).collect();
    pool
}

/// `e1`, `e1*3` with a weight, `e1@192.0.2.1` with an address, `e1@other.example` with a name.
pub(crate) fn endpoint(text: &str, otherwise: &str) -> Endpoint {
    let (text, address) = text.split_once('@').unwrap_or((text, otherwise));
    let (name, weight) = text.split_once('*').unwrap_or((text, "1"));
    let address = match address.parse::<IpAddr>() {
        Ok(ip) => Address::Ip(ip),
        Err(_) => Address::Name(parse(address)),
    };
    Endpoint { name: parse(name), address, port: 80, weight: parse(weight) }
}
