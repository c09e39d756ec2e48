//! Class CHAOS: the server's version and name, told where they are configured.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, RecordType};
use holdfast_dns::{ChaosConfig, Settings};

use crate::fixture::{decode, exchange, message, responder_with, udp, view};

#[test]
fn chaos_is_refused_unless_configured() {
    let ask = |settings: &Settings, owner: &str| {
        let mut asked = message(owner, RecordType::TXT, None);
        asked.queries[0].set_query_class(DNSClass::CH);
        let wire = asked.to_vec().expect("encodes");
        let mut responder = responder_with(settings.clone(), Some(view(7)));
        decode(&exchange(&mut responder, &wire, udp()).expect("an answer"))
    };
    let told = |reply: &Message| match reply
        .answers
        .first()
        .map(|record| (&record.data, record.dns_class))
    {
        Some((RData::TXT(text), DNSClass::CH)) => text.to_string(),
        _ => reply.metadata.response_code.to_string(),
    };
    let refused = ResponseCode::Refused.to_string();
    let settings = |version: Option<&str>, hostname: Option<&str>| {
        let [version, hostname] = [version, hostname].map(|text| text.map(str::to_owned));
        Settings { chaos: ChaosConfig { version, hostname }, ..Settings::default() }
    };
    for (owner, version, hostname) in [
        ("version.bind.", "hf 1", refused.as_str()),
        ("VERSION.Server.", "hf 1", &refused),
        ("hostname.bind.", &refused, "ns1.paris"),
        ("ID.Server.", &refused, "ns1.paris"),
        ("shop.example.test.", &refused, &refused),
    ] {
        assert_eq!(told(&ask(&settings(Some("hf 1"), None), owner)), version, "{owner}");
        assert_eq!(told(&ask(&settings(None, Some("ns1.paris")), owner)), hostname, "{owner}");
        assert_eq!(told(&ask(&settings(None, None), owner)), refused, "{owner}");
    }
}
