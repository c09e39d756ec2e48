//! The keys of a zone in a script: keys are numbers, which stand for their public parts and are told by their tags.

use std::time::Duration;

use holdfast_core::sealed::{Sealed, SealingKeyId};
use holdfast_core::signing::{Ds, SigningChange, ZoneKey};
use holdfast_core::spec::{Dnssec, KeyAlgorithm, PropagationDelays, Zone};
use holdfast_core::state::ZoneState;
use holdfast_core::{Command, DnsName, Timestamp};

use crate::parse::{self, Words};

fn key(number: u8) -> ZoneKey {
    let private = Sealed { key: SealingKeyId([0; 8]), nonce: [0; 12], ciphertext: Vec::new() };
    let (algorithm, public) = (KeyAlgorithm::Ed25519, vec![number; 32]);
    ZoneKey { algorithm, public, private, created: Timestamp(0) }
}

/// The DS record of a key; of one whose number ends in `x`, with another digest.
fn ds(apex: &DnsName, number: &str) -> Ds {
    let right = Ds::of(apex, &key(parse::parse(number.trim_end_matches('x'))));
    let digest = if number.ends_with('x') { vec![0xaa; 32] } else { right.digest };
    Ds { digest, ..right }
}

/// `zone example.test [ttl=1m] [signed=yes [zone_delay=5m] [parent_delay=1h]]`
pub(crate) fn zone(words: &Words) -> Zone {
    let zone = parse::zone(words.nth(0));
    let ttl = words.duration("ttl").unwrap_or(zone.ttl);
    let usual = PropagationDelays::default();
    let delays = PropagationDelays {
        zone: words.duration("zone_delay").unwrap_or(usual.zone),
        parent: words.duration("parent_delay").unwrap_or(usual.parent),
    };
    let dnssec = words.key("signed").map(|_| Dnssec { delays, ..Dnssec::default() });
    Zone { ttl, dnssec, ..zone }
}

/// `keys example.test enable 1`, `… start 2`, `… parent 1,2x [ttl=1h]` (an `x` spoils the digest), `… finish`, `… abandon`, `… disable`.
pub(crate) fn change(words: &Words) -> Command {
    let numbered = || key(parse::parse(words.nth(2)));
    let forced = words.key("force").map(str::to_owned);
    let change = match words.nth(1) {
        "enable" => SigningChange::Enable(numbered()),
        "start" => SigningChange::StartRollover(numbered()),
        "parent" => {
            let named = words.plain.get(2).map(|list| list.split(',')).into_iter().flatten();
            let apex = parse::parse(words.nth(0));
            let records = named.map(|number| ds(&apex, number)).collect();
            let ttl = words.duration("ttl").unwrap_or(Duration::ZERO);
            SigningChange::NoteParent { records, ttl }
        }
        "finish" => SigningChange::FinishRollover { forced },
        "abandon" => SigningChange::AbandonRollover { forced },
        "disable" => SigningChange::Disable { forced },
        other => panic!("{other:?} is no step of a zone's keys"),
    };
    Command::ChangeSigning { zone: parse::parse(words.nth(0)), change }
}

/// Which keys sign, which of them CDS tells, and what the next step waits for.
pub(crate) fn shown(zone: &ZoneState, now: Timestamp) -> String {
    let signing = &zone.signing;
    let tags = |keys: &[ZoneKey]| {
        keys.iter().map(|key| key.tag().to_string()).collect::<Vec<_>>().join(" ")
    };
    let awaits = signing.awaits(&zone.zone.name, zone.zone.propagation_delays(), now);
    let awaits = awaits.unwrap_or_else(|| "nothing".to_owned());
    format!(
        "signs [{}], CDS [{}], awaits: {awaits}",
        tags(&signing.keys),
        tags(signing.for_parent())
    )
}
