//! Answers what is more than a question: signed messages, transfers, and what others tell or ask of a zone.
//!
//! ```text
//! message ─▶ signature ─┬─ wrong ─▶ NOTAUTH and why            (RFC 8945, 5.2)
//!                       └─ right or none ─▶ AXFR, IXFR ─▶ allowed? ─▶ messages, one at a time
//!                                           UPDATE ─▶ agreed on, then answered (`update`)
//!                                           NOTIFY ─▶ heard where a primary says so, else refused (`notices`)
//!                                           query ─▶ the responder; its reply is signed
//! ```
//!
//! A zone is given to whom its declaration allows, and to nobody else. Over UDP an increment goes out if it fits; else
//! the SOA alone says that a connection is needed (RFC 1995, 2), as it does for an address without a key.
//!
//! Invariant: a request costs no more than its own length before its signature is right and its sender allowed, and
//! [`MAX_TRANSFERS`] are under way at most.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use futures_util::stream;
use hickory_proto::op::ResponseCode;
use holdfast_core::DnsName;
use holdfast_core::seam::Clock;
use holdfast_core::tsig::TsigKey;
use holdfast_core::view::{Answers, ZoneAnswers};
use holdfast_seal::SealingKeys;
use metrics::counter;

use super::messages::{MAX_MESSAGE, Messages as Packed, seconds};
use super::notices::Notices;
use super::outgoing::Outgoing;
use super::request::{Asked, Question, is_special, is_update, read};
use crate::limits::{MAX_TCP, MAX_UDP};
use crate::metric;
use crate::publish::Published;
use crate::reply_opt::{ExtendedError, Remarks, ReplyOpt};
use crate::respond::{Peer, Transport};
use crate::streams::{Finish, Messages, Special, Streams};
use crate::tsig::{Fault, Found, Key, Keyring, Signer, find, verify};
use crate::update::Path;

/// The most transfers at a time.
const MAX_TRANSFERS: usize = 64;

/// Answers signed messages and transfers.
pub struct Transfers {
    secrets: SealingKeys,
    pub(super) clock: Arc<dyn Clock>,
    opened: ArcSwapOption<Opened>,
    under_way: Arc<AtomicUsize>,
    pub(super) updates: Path,
    notices: Notices,
}

/// The keys of a view, opened.
struct Opened {
    sealed: Arc<std::collections::BTreeMap<DnsName, TsigKey>>,
    keys: Keyring,
}

/// A request whose signature is right, or that has none.
pub(super) struct Incoming<'a> {
    pub(super) peer: Peer,
    pub(super) published: Option<&'a Arc<Published>>,
    pub(super) key: Option<DnsName>,
    /// What proves it; nothing where there is no key.
    pub(super) mac: &'a [u8],
    /// For how many seconds it does, before and after it was signed.
    pub(super) fudge: u16,
    pub(super) signer: Option<Signer>,
}

/// A reply on its way.
pub(super) enum Reply {
    One(Vec<u8>),
    Many(Messages),
    /// The responder's business; the reply is signed.
    Query(Vec<u8>, Option<Signer>),
}

impl fmt::Debug for Transfers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfers").field("under_way", &self.under_way).finish_non_exhaustive()
    }
}

impl Transfers {
    /// Answers with the keys that `secrets` opens.
    pub fn new(secrets: SealingKeys, clock: Arc<dyn Clock>) -> Self {
        Self {
            secrets,
            clock,
            opened: ArcSwapOption::empty(),
            under_way: Arc::default(),
            updates: Path::default(),
            notices: Notices::default(),
        }
    }

    /// The zones of which a primary says that they changed.
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    /// The key of a view with this name; `None` too where it cannot be opened here.
    pub(super) fn key(&self, answers: &Answers, name: &DnsName) -> Option<Arc<Key>> {
        self.opened(answers).keys.get(name).cloned()
    }

    /// The keys of a view. Opened when they are others than the last time.
    fn opened(&self, answers: &Answers) -> Arc<Opened> {
        let known = self.opened.load_full();
        if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.sealed, &answers.tsig_keys)) {
            return known;
        }
        let mut keys = Keyring::default();
        for (name, key) in answers.tsig_keys.iter() {
            match self.secrets.open(&key.secret, &TsigKey::context(name)) {
                Ok(secret) => keys.insert(name.clone(), key.algorithm, &secret),
                Err(error) => tracing::error!(key = %name, %error, "TSIG key cannot be used here"),
            }
        }
        let opened = Arc::new(Opened { sealed: Arc::clone(&answers.tsig_keys), keys });
        self.opened.store(Some(Arc::clone(&opened)));
        opened
    }

    fn answer(&self, message: &[u8], peer: Peer, published: Option<&Arc<Published>>) -> Reply {
        let incoming = Incoming { peer, published, key: None, mac: &[], fudge: 0, signer: None };
        match find(message) {
            Found::Nothing => self.dispatch(message, incoming),
            Found::Malformed => Reply::One(Question::of(message).bare(ResponseCode::FormErr)),
            Found::Signed(tsig) => {
                let opened = published.map(|published| self.opened(published.answers()));
                let none = Keyring::default();
                let keys = opened.as_ref().map_or(&none, |opened| &opened.keys);
                let now = seconds(&*self.clock);
                match verify(message, &tsig, keys, now) {
                    Ok(verified) => {
                        let key = Some(verified.key.name().clone());
                        let signer = Some(verified.signer);
                        let (mac, fudge) = (tsig.mac, tsig.fudge);
                        let incoming = Incoming { key, signer, mac, fudge, ..incoming };
                        self.dispatch(&verified.message, incoming)
                    }
                    Err(fault) => Reply::One(refuse_signature(message, fault, now)),
                }
            }
        }
    }

    fn dispatch(&self, message: &[u8], incoming: Incoming<'_>) -> Reply {
        if is_update(message) {
            return self.update(message, incoming);
        }
        match read(message) {
            Err((question, code)) => self.told(&question, code, None, incoming.signer),
            Ok((question, Asked::Axfr(apex))) => self.transfer(question, &apex, None, incoming),
            Ok((question, Asked::Ixfr(apex, serial))) => {
                self.transfer(question, &apex, Some(serial), incoming)
            }
            Ok((question, Asked::Notify(apex))) => self.noticed(&question, apex, incoming),
            Ok((_, Asked::Query)) => Reply::Query(message.to_vec(), incoming.signer),
        }
    }

    /// Notes that a primary says that its zone has changed, and says so (RFC 1996, 3.11).
    fn noticed(&self, question: &Question, apex: DnsName, incoming: Incoming<'_>) -> Reply {
        let zone = incoming.published.and_then(|published| {
            let answers = published.answers();
            answers.zones.get(&apex).map(|zone| &zone.zone)
        });
        let from = incoming.peer.address.ip();
        let (code, why) = match zone.map(|zone| zone.primaries.as_ref()) {
            None => (ResponseCode::NotAuth, Some(ExtendedError::NotAuthoritative)),
            Some(Some(primaries)) if primaries.include(from, incoming.key.as_ref()) => {
                self.notices.note(apex);
                (ResponseCode::NoError, None)
            }
            Some(_) => {
                // As for transfers: who sends this may be forged.
                tracing::debug!(%from, zone = %apex, key = ?incoming.key, "NOTIFY refused");
                (ResponseCode::Refused, Some(ExtendedError::Prohibited))
            }
        };
        let result = if code == ResponseCode::NoError { "heard" } else { "refused" };
        counter!(metric::NOTIFIES, "result" => result).increment(1);
        self.told(question, code, why, incoming.signer)
    }

    /// A reply without records.
    pub(super) fn told(
        &self,
        question: &Question,
        code: ResponseCode,
        why: Option<ExtendedError>,
        signer: Option<Signer>,
    ) -> Reply {
        Reply::One(told(question, (code, why), signer, &*self.clock))
    }

    fn transfer(
        &self,
        question: Question,
        apex: &DnsName,
        since: Option<u32>,
        incoming: Incoming<'_>,
    ) -> Reply {
        let refuse = |code, why| self.told(&question, code, why, incoming.signer.clone());
        let Some(published) = incoming.published else {
            return refuse(ResponseCode::ServFail, Some(ExtendedError::NotReady));
        };
        let Some(zone) = published.answers().zones.get(apex) else {
            return refuse(ResponseCode::NotAuth, Some(ExtendedError::NotAuthoritative));
        };
        let from = incoming.peer.address.ip();
        if !zone.zone.transfer.allows(from, incoming.key.as_ref()) {
            count(since, "refused");
            // Who asks may be forged, and a thread that answers does not write for everybody who asks.
            tracing::debug!(%from, zone = %apex, key = ?incoming.key, "transfer refused");
            return refuse(ResponseCode::Refused, Some(ExtendedError::Prohibited));
        }
        match (incoming.peer.transport, since) {
            (Transport::Udp, Some(serial)) => {
                let increment = (serial, incoming.signer);
                return self.increment_in_datagram(question, published, zone, increment);
            }
            (Transport::Udp | Transport::Https, _) => {
                return refuse(ResponseCode::Refused, Some(ExtendedError::NotSupported));
            }
            (Transport::Tcp | Transport::Tls | Transport::Quic, _) => {}
        }
        let Some(place) = Place::take(&self.under_way) else {
            count(since, "crowded");
            return refuse(ResponseCode::ServFail, None);
        };
        let outgoing = match since {
            None => Outgoing::whole(published.answers(), zone),
            Some(serial) => Outgoing::since(published, zone, serial),
        };
        count(since, outgoing.label());
        let records = outgoing.into_records();
        let clock = Arc::clone(&self.clock);
        let packed = Packed::new(question, records, incoming.signer, clock, MAX_MESSAGE);
        Reply::Many(Box::pin(stream::iter(packed.inspect(move |_| place.hold()))))
    }

    fn increment_in_datagram(
        &self,
        question: Question,
        published: &Published,
        zone: &ZoneAnswers,
        (serial, signer): (u32, Option<Signer>),
    ) -> Reply {
        let limit = crate::opt::Opt::limit(question.opt).min(MAX_UDP);
        let packed = |outgoing: Outgoing| {
            let (clock, label) = (Arc::clone(&self.clock), outgoing.label());
            let records = outgoing.into_records();
            let packed = Packed::new(question.clone(), records, signer.clone(), clock, limit);
            packed.only().inspect(|_| count(Some(serial), label))
        };
        // An address alone may be forged: it gets the SOA, and its owner comes by a connection.
        let known = signer.is_some();
        let increment = known.then(|| Outgoing::since(published, zone, serial));
        let increment = match increment {
            Some(few @ (Outgoing::Soa(_) | Outgoing::Increment(_))) => packed(few),
            Some(Outgoing::Whole { .. }) | None => None,
        };
        match increment.or_else(|| packed(Outgoing::soa(zone))) {
            Some(message) => Reply::One(message),
            None => self.told(&question, ResponseCode::ServFail, None, signer),
        }
    }
}

impl Streams for Transfers {
    fn reply(
        &self,
        message: &[u8],
        peer: Peer,
        published: Option<&Arc<Published>>,
    ) -> Option<Messages> {
        if !is_special(message) {
            return None;
        }
        match self.answer(message, peer, published) {
            Reply::One(reply) => Some(Box::pin(stream::iter([reply]))),
            Reply::Many(messages) => Some(messages),
            Reply::Query(..) => None,
        }
    }

    fn special(&self, message: &[u8], peer: Peer, published: Option<&Arc<Published>>) -> Special {
        match self.answer(message, peer, published) {
            Reply::One(reply) => Special::Reply(reply),
            Reply::Many(messages) => Special::Later(messages),
            Reply::Query(message, None) => {
                Special::Query(message, Finish { room: 0, append: Box::new(|_| {}) })
            }
            Reply::Query(message, Some(mut signer)) => {
                let now = seconds(&*self.clock);
                // Two names, a MAC and a few numbers.
                let room = signer.room() as u16;
                let append = Box::new(move |reply: &mut Vec<u8>| signer.sign(reply, now));
                Special::Query(message, Finish { room, append })
            }
        }
    }
}

/// A reply without records, signed where the request was.
pub(super) fn told(
    question: &Question,
    (code, why): (ResponseCode, Option<ExtendedError>),
    signer: Option<Signer>,
    clock: &dyn Clock,
) -> Vec<u8> {
    let mut reply = question.bare(code);
    if let Some(opt) = question.opt {
        let remarks = why.map(Remarks::from).unwrap_or_default();
        ReplyOpt::bare(opt).push(code, remarks, MAX_TCP, &mut reply);
    }
    if let Some(mut signer) = signer {
        signer.sign(&mut reply, seconds(clock));
    }
    reply
}

fn refuse_signature(message: &[u8], fault: Fault, now: u64) -> Vec<u8> {
    let code = match &fault {
        Fault::Malformed => ResponseCode::FormErr,
        Fault::Unsigned(error) | Fault::Signed(error, _) => {
            counter!(metric::TSIG_FAULTS, "error" => fault_label(*error)).increment(1);
            ResponseCode::NotAuth
        }
    };
    let mut reply = Question::of(message).bare(code);
    fault.push(message, now, &mut reply);
    reply
}

fn fault_label(error: u16) -> &'static str {
    match error {
        crate::tsig::error::BADSIG => "BADSIG",
        crate::tsig::error::BADKEY => "BADKEY",
        crate::tsig::error::BADTIME => "BADTIME",
        _ => "BADTRUNC",
    }
}

fn count(since: Option<u32>, result: &'static str) {
    let kind = if since.is_some() { "ixfr" } else { "axfr" };
    counter!(metric::TRANSFERS, "kind" => kind, "result" => result).increment(1);
}

/// One of the transfers under way.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(under_way: &Arc<AtomicUsize>) -> Option<Self> {
        let before = under_way.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(under_way));
        (before < MAX_TRANSFERS).then_some(place)
    }

    /// Keeps the place until whatever calls this is dropped.
    fn hold(&self) {}
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
