//! A view with one of everything, and the two responders over it: with the compiled answers, and without.

use std::cell::RefCell;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::spec::{NameServer, RecordData, Soa, Zone};
use holdfast_core::steer::Shares;
use holdfast_core::view::{Answers, NameAnswers, Pick, RecordSet, ZoneAnswers};
use holdfast_core::{DnsName, Epoch, SharedMap};
use holdfast_dns::{AnswersSource, Publisher, Responder, Settings, channel};

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("a valid name")
}

fn zone(apex: &str) -> (DnsName, Arc<ZoneAnswers>) {
    let second = Duration::from_secs(1);
    let soa = Soa { negative_ttl: 5 * second, ..Soa::new(name("hostmaster.example.test")) };
    let server = NameServer { name: name("ns.example.test"), addresses: vec![] };
    let mut zone = Zone::new(name(apex), soa, vec![server], 300 * second);
    zone.transfer.allow = vec!["0.0.0.0/0".parse().expect("a prefix")];
    (name(apex), Arc::new(ZoneAnswers::new(zone, 7)))
}

fn at(pick: Pick, sets: &[Vec<RecordData>]) -> Arc<NameAnswers> {
    let weigh = |records: &Vec<RecordData>| RecordSet {
        ttl: Duration::from_secs(30),
        pick: pick.clone(),
        records: records.iter().map(|data| (data.clone(), 1)).collect(),
    };
    let sets = sets.iter().map(weigh).collect();
    Arc::new(NameAnswers { service: None, epoch: Epoch(0), refused: false, sets })
}

fn view() -> Answers {
    let a = |last| RecordData::A(Ipv4Addr::new(192, 0, 2, last));
    let aaaa = |last: u16| RecordData::Aaaa(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
    let cname = |target: &str| vec![RecordData::Cname(name(target))];
    let text = |length| RecordData::Txt(vec!["x".repeat(length).into()]);
    let srv =
        |target: &str| RecordData::Srv { priority: 1, weight: 2, port: 443, target: name(target) };
    let names: [(&str, Pick, Vec<Vec<RecordData>>); 11] = [
        ("a.example.test", Pick::All, vec![vec![a(1)]]),
        (
            "b.example.test",
            Pick::Weighted(Shares::new([1; 3])),
            vec![vec![a(1), a(2), a(3)], vec![aaaa(1)]],
        ),
        ("c.example.test", Pick::Rotate(2), vec![vec![a(4), a(5), a(6)]]),
        ("d.example.test", Pick::All, vec![cname("a.example.test")]),
        ("e.example.test", Pick::All, vec![cname("f.example.test")]),
        ("f.example.test", Pick::All, vec![cname("e.example.test")]),
        ("g.example.test", Pick::All, vec![(0..40).map(|_| text(100)).collect()]),
        ("*.w.example.test", Pick::All, vec![vec![a(9)]]),
        ("x.y.z.example.test", Pick::All, vec![vec![srv("a.example.test"), srv("b.example.test")]]),
        ("example.test", Pick::All, vec![vec![a(10)]]),
        ("ns.example.test", Pick::All, vec![(1..100).map(a).collect()]),
    ];
    let names: SharedMap<_, _> =
        names.into_iter().map(|(owner, pick, sets)| (name(owner), at(pick, &sets))).collect();
    let zones = [zone("example.test"), zone("sub.example.test"), zone("2.0.192.in-addr.arpa")];
    Answers {
        generation: 1,
        index: 9,
        zones: zones.into_iter().collect(),
        names,
        ..Answers::default()
    }
}

/// Both ways to an answer, over the same view.
pub(crate) struct Pair {
    pub(crate) compiled: Responder,
    pub(crate) handler: Responder,
    pub(crate) source: AnswersSource,
    _publisher: Publisher,
}

thread_local! {
    static PAIR: RefCell<Pair> = RefCell::new(Pair::new());
}

impl Pair {
    fn new() -> Self {
        let (publisher, source) = channel();
        publisher.publish(Arc::new(view()));
        let settings = Arc::new(Settings::default());
        let responder = || {
            let mut made = Responder::new(source.clone(), Arc::clone(&settings), Arc::default());
            made.acquire();
            made
        };
        let (compiled, handler) = (responder(), responder().handler_only());
        Self { compiled, handler, source, _publisher: publisher }
    }

    /// Lends the pair of this thread.
    pub(crate) fn with<T>(act: impl FnOnce(&mut Self) -> T) -> T {
        PAIR.with_borrow_mut(act)
    }
}
