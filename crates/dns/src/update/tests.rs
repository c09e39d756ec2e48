//! A group of one that agrees at once, and what is sent to it.

mod deciding;
mod reading;
mod waiting;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use hickory_proto::op::{Message, ResponseCode};
use holdfast_core::spec::{NameServer, Soa, UpdateRule, Zone};
use holdfast_core::tsig::{TsigAlgorithm, TsigKey};
use holdfast_core::update::ZoneUpdate;
use holdfast_core::{
    Actor, ActorKind, Command, Entry, GroupId, Rejection, RequestId, State, Timestamp,
};
use holdfast_seal::{Sealer, SealingKeys};
use tokio::sync::Notify;

use super::*;
use crate::respond::{Peer, Transport};
use crate::streams::{Special, Streams as _};
use crate::testing::{Counting, NOW, Still, name};
use crate::transfer::Transfers;
use crate::tsig::{Keyring, Signer};
use crate::{AnswersSource, channel};

const SECRET: &[u8] = b"a secret of updates";
const IN: u16 = 1;
const NONE: u16 = 254;
const ANY: u16 = 255;

const A: [u8; 4] = [192, 0, 2, 1];
const WWW: &str = "www.example.test";

fn spelled(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).expect("short"));
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

fn record(owner: &str, (kind, class, ttl): (u16, u16, u32), data: &[u8]) -> Vec<u8> {
    let mut wire = spelled(owner);
    wire.extend(kind.to_be_bytes());
    wire.extend(class.to_be_bytes());
    wire.extend(ttl.to_be_bytes());
    wire.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
    wire.extend_from_slice(data);
    wire
}

/// An update of example.test with these prerequisites and updates.
fn message(prerequisites: &[Vec<u8>], updates: &[Vec<u8>]) -> Vec<u8> {
    let count = |records: &[Vec<u8>]| u16::try_from(records.len()).expect("few").to_be_bytes();
    let mut wire = vec![0x12, 0x34, 5 << 3, 0, 0, 1];
    wire.extend(count(prerequisites));
    wire.extend(count(updates));
    wire.extend([0, 0]);
    wire.extend(spelled("example.test"));
    wire.extend([0, 6, 0, 1]);
    wire.extend(prerequisites.concat());
    wire.extend(updates.concat());
    wire
}

/// A group of one, whose log is this.
struct Model {
    state: Mutex<(State, u64)>,
    /// Where set, an update waits until it is told to go on.
    gate: Option<Arc<Notify>>,
}

impl Model {
    fn apply(&self, request_id: Option<RequestId>, command: Command) -> Result<(), Rejection> {
        let mut state = self.state.lock().expect("not poisoned");
        state.1 += 1;
        let actor = Actor { kind: ActorKind::Workload, name: "test".into() };
        let entry = Entry { at: Timestamp(1), request_id, actor, command };
        let index = state.1;
        state.0.apply(index, &entry).outcome.result.map(drop)
    }
}

impl Agreement for Arc<Model> {
    fn decide(
        &self,
        update: ZoneUpdate,
        request: RequestId,
        place: UpdatePlace,
    ) -> BoxFuture<'static, Decided> {
        let model = Arc::clone(self);
        Box::pin(async move {
            let _place = place;
            if let Some(gate) = &model.gate {
                gate.notified().await;
            }
            match model.apply(Some(request), Command::UpdateZone(update)) {
                Ok(()) => Decided::Done,
                Err(Rejection::Update(refusal)) => Decided::Refused(refusal.code),
                Err(rejection) => panic!("{rejection}"),
            }
        })
    }
}

struct Stage {
    transfers: Arc<Transfers>,
    source: AnswersSource,
    model: Arc<Model>,
}

impl Stage {
    fn new(gate: Option<Arc<Notify>>) -> Self {
        let sealing = SealingKeys::new([[7; 32]]);
        let sealer = Sealer::new(sealing.clone(), Arc::new(Counting::default()));
        let model = Model { state: Mutex::new((State::new(GroupId(1)), 0)), gate };
        for key in ["key.test", "other.test"] {
            let secret = sealer.seal(SECRET, &TsigKey::context(&name(key))).expect("short");
            let (name, key) = (name(key), TsigKey { algorithm: TsigAlgorithm::HmacSha256, secret });
            let added = Command::ApplyTsigKey { name, key, replace: false };
            let applied = model.apply(None, added);
            applied.expect("possible");
        }
        let applied = model.apply(None, Command::ApplyZone { zone: zone(), if_revision: None });
        applied.expect("possible");
        let (publisher, source) = channel();
        publisher.publish(Arc::clone(&model.state.lock().expect("not poisoned").0.view().answers));
        let (model, transfers) =
            (Arc::new(model), Arc::new(Transfers::new(sealing, Arc::new(Still))));
        transfers.lead_updates(Some(Box::new(Arc::clone(&model))));
        Self { transfers, source, model }
    }

    fn special(&self, wire: &[u8], transport: Transport) -> Special {
        let peer = Peer { address: ([198, 51, 100, 9], 40_000).into(), transport };
        self.transfers.special(wire, peer, self.source.current().as_ref())
    }

    /// The code of the reply, and whether it is signed.
    fn ask(&self, wire: &[u8], transport: Transport) -> (ResponseCode, bool) {
        let reply = match self.special(wire, transport) {
            Special::Reply(reply) => reply,
            Special::Later(mut messages) => {
                messages.next().now_or_never().expect("the model decides at once").expect("a reply")
            }
            Special::Query(..) => panic!("an update is no query"),
        };
        assert_eq!((&reply[..2], reply[2] & 0xf8), (&wire[..2], 0x80 | 5 << 3));
        let signed = matches!(crate::tsig::find(&reply), crate::tsig::Found::Signed(_));
        (Message::from_vec(&reply).expect("a message").metadata.response_code, signed)
    }

    fn texts_at(&self, owner: &str) -> Vec<String> {
        let view = self.model.state.lock().expect("not poisoned").0.view();
        let here = view.answers.names.get(&name(owner)).cloned();
        let sets = here.iter().flat_map(|here| &here.sets);
        sets.flat_map(|set| &set.records).map(|(data, _)| data.to_string()).collect()
    }
}

fn zone() -> Zone {
    let second = Duration::from_secs(1);
    let soa = Soa { negative_ttl: 5 * second, ..Soa::new(name("hostmaster.example.test")) };
    let server = NameServer { name: name("ns.elsewhere.test"), addresses: vec![] };
    let rule = UpdateRule { key: name("key.test"), names: vec![], types: vec![], registers: None };
    let zone = Zone::new(name("example.test"), soa, vec![server], 300 * second);
    Zone { updates: vec![rule], ..zone }
}

fn signer(key: &str, secret: &[u8]) -> Signer {
    let mut keys = Keyring::default();
    keys.insert(name(key), TsigAlgorithm::HmacSha256, secret);
    Signer::of_request(Arc::clone(keys.get(&name(key)).expect("was put there")))
}

fn signed_by(key: &str, secret: &[u8], mut wire: Vec<u8>, at: u64) -> Vec<u8> {
    signer(key, secret).sign(&mut wire, at);
    wire
}

fn signed(wire: Vec<u8>) -> Vec<u8> {
    signed_by("key.test", SECRET, wire, NOW)
}

fn add(last: u8) -> Vec<u8> {
    message(&[], &[record(WWW, (1, IN, 60), &[192, 0, 2, last])])
}
