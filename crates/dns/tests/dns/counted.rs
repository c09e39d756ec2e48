//! What Prometheus is told of queries: the same for one answered from the compiled table and by the handler.

use std::collections::BTreeMap;
use std::sync::Arc;

use hickory_proto::rr::RecordType;
use holdfast_core::spec::{Denial, KeyAlgorithm, RecordData};
use holdfast_core::view::{Answers, Pick};
use holdfast_dns::{Responder, Settings, channel};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::fixture::{exchange, name, query, sets, udp, view};
use crate::signed;

/// A question, and the zone, code and class that it is counted under.
const COUNTED: &[(&str, RecordType, [&str; 3])] = &[
    ("shop.example.test.", RecordType::A, ["example.test", "NOERROR", "positive"]),
    ("www.example.test.", RecordType::A, ["example.test", "NOERROR", "positive"]),
    ("example.test.", RecordType::SOA, ["example.test", "NOERROR", "positive"]),
    // Too long for a datagram, and there all the same.
    ("huge.example.test.", RecordType::TXT, ["example.test", "NOERROR", "positive"]),
    ("x.wild.example.test.", RecordType::A, ["example.test", "NOERROR", "positive"]),
    ("_holdfast.example.test.", RecordType::TXT, ["example.test", "NOERROR", "positive"]),
    ("shop.example.test.", RecordType::AAAA, ["example.test", "NOERROR", "nodata"]),
    ("www.example.test.", RecordType::AAAA, ["example.test", "NOERROR", "nodata"]),
    ("wild.example.test.", RecordType::A, ["example.test", "NOERROR", "nodata"]),
    ("_holdfast.example.test.", RecordType::A, ["example.test", "NOERROR", "nodata"]),
    ("no.example.test.", RecordType::A, ["example.test", "NXDOMAIN", "nxdomain"]),
    ("dangling.example.test.", RecordType::A, ["example.test", "NXDOMAIN", "nxdomain"]),
    ("host.lab.example.test.", RecordType::A, ["example.test", "NOERROR", "referral"]),
    ("lab.example.test.", RecordType::NS, ["example.test", "NOERROR", "referral"]),
    ("elsewhere.test.", RecordType::A, ["other", "REFUSED", "refused"]),
    ("example.test.", RecordType::AXFR, ["other", "REFUSED", "refused"]),
];

/// The view of every test, with a delegation and a CNAME to nowhere.
fn whole_view() -> Answers {
    let mut view = view(7);
    let one = |data| sets(Pick::All, &[vec![data]]);
    let nowhere = RecordData::Cname(name("nothing.example.test"));
    let delegated = RecordData::Ns(name("ns.elsewhere.test"));
    view.names.extend([
        (name("dangling.example.test"), one(nowhere)),
        (name("lab.example.test"), one(delegated)),
    ]);
    view
}

/// Asks everything twice, since what was answered once may be remembered, and gives what Prometheus would read then, by zone, code and class.
fn counted(compiled: bool) -> BTreeMap<[String; 3], u64> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let text = metrics::with_local_recorder(&recorder, || {
        let (publisher, source) = channel();
        publisher.publish(Arc::new(whole_view()));
        let made = Responder::new(source, Arc::new(Settings::default()), Arc::default());
        let mut responder = if compiled { made } else { made.handler_only() };
        responder.acquire();
        for (owner, kind, _) in COUNTED.iter().chain(COUNTED) {
            exchange(&mut responder, &query(owner, *kind, None), udp()).expect("an answer");
        }
        // An opcode that is none of ours.
        let mut odd = query("shop.example.test.", RecordType::A, Some(1232));
        odd[2] |= 2 << 3;
        exchange(&mut responder, &odd, udp()).expect("a reply");
        responder.release();
        recorder.handle().render()
    });
    let label = |line: &str, key: &str| {
        let (_, rest) = line.split_once(&format!("{key}=\"")).expect("it has the label");
        rest.split('"').next().expect("it ends").to_owned()
    };
    let lines = text.lines().filter(|line| line.starts_with("holdfast_dns_queries_total{"));
    let entry = |line: &str| {
        assert_eq!(label(line, "transport"), "udp");
        let labels = ["zone", "rcode", "class"].map(|key| label(line, key));
        let value = line.rsplit(' ').next().expect("a value").parse().expect("a number");
        (labels, value)
    };
    lines.map(entry).collect()
}

#[test]
fn what_the_keys_of_an_apex_make_is_counted_under_its_zone() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let text = metrics::with_local_recorder(&recorder, || {
        let keys = [signed::zone_key(KeyAlgorithm::Ed25519, 1)];
        let answers = signed::signed(7, &keys, Denial::Nsec3);
        let [mut responder, _] = signed::responders(signed::sealing(), answers, signed::Later(0));
        for kind in
            [RecordType::DNSKEY, RecordType::CDS, RecordType::CDNSKEY, RecordType::NSEC3PARAM]
        {
            exchange(&mut responder, &query("example.test.", kind, None), udp()).expect("keys");
        }
        responder.release();
        recorder.handle().render()
    });
    let lines: Vec<&str> =
        text.lines().filter(|line| line.starts_with("holdfast_dns_queries_total{")).collect();
    let labels = r#"zone="example.test",rcode="NOERROR",class="positive",transport="udp""#;
    assert_eq!(lines, [format!("holdfast_dns_queries_total{{{labels}}} 4")]);
}

#[test]
fn each_answer_is_counted_under_its_class_on_either_path() {
    let mut expected: BTreeMap<[String; 3], u64> = BTreeMap::new();
    for (.., labels) in COUNTED {
        *expected.entry(labels.map(str::to_owned)).or_default() += 2;
    }
    expected.insert(["other", "NOTIMP", "error"].map(str::to_owned), 1);
    for compiled in [true, false] {
        assert_eq!(counted(compiled), expected, "compiled: {compiled}");
    }
}
