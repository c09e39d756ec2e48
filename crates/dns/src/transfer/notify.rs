//! Tells other servers that a zone has changed (NOTIFY, RFC 1996), until each has said that it knows.
//!
//! ```text
//!  view served ─▶ for each zone and server that is to be told:
//!      serial as acknowledged ─▶ nothing
//!      another serial ─▶ send, at most once a second ─┬─ acknowledged ─▶ remember the serial
//!                                                     └─ silence, error ─▶ again, after 1 s, 2 s … 60 s
//! ```
//!
//! The leader tells, and any agent that knows of no leader: told twice is harmless, told by nobody is not. One loop and
//! one socket per address family; a server that does not answer holds up no other.
//!
//! Invariant: what is to be signed is never sent unsigned; an acknowledgement of what was signed counts only if it is
//! signed too.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::RecordType;
use holdfast_core::DnsName;
use holdfast_core::spec::NotifyTarget;
use holdfast_core::view::{Answers, ZoneAnswers};
use metrics::counter;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::messages::seconds;
use super::server::Transfers;
use super::zone::soa_of;
use crate::metric;
use crate::publish::{AnswersSource, Published};
use crate::record::{wire_name, wire_record};
use crate::tsig::{Signer, Verifier};

/// The shortest time between two messages to one server about one zone, and the first pause before a repetition.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// How often leadership is looked at while nothing else happens.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most bytes of an acknowledgement.
const MAX_REPLY: usize = 4096;
/// The most messages that are sent in one go.
const MAX_AT_ONCE: usize = 256;

/// Tells servers of changes.
pub struct Notifier {
    transfers: Arc<Transfers>,
    source: AnswersSource,
    /// Whether it is this agent's turn.
    duty: Box<dyn Fn() -> bool + Send + Sync>,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    told: BTreeMap<(DnsName, SocketAddr), Told>,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("told", &self.told.len()).finish_non_exhaustive()
    }
}

/// How far one server knows one zone.
struct Told {
    acknowledged: Option<u32>,
    next_try: Instant,
    pause: Duration,
    sent: Option<Sent>,
}

/// A message under way.
struct Sent {
    id: u16,
    serial: u32,
    verifier: Option<Verifier>,
}

impl Notifier {
    /// Tells from these addresses, the first of each family, while `duty` says so.
    pub async fn new(
        transfers: Arc<Transfers>,
        source: AnswersSource,
        from: &[SocketAddr],
        duty: Box<dyn Fn() -> bool + Send + Sync>,
    ) -> Self {
        let mut sockets = [None, None];
        for (place, v4) in [true, false].into_iter().enumerate() {
            let own = from.iter().map(SocketAddr::ip).find(|ip| ip.is_ipv4() == v4);
            let any: IpAddr = if v4 { [0; 4].into() } else { [0u16; 8].into() };
            sockets[place] = match UdpSocket::bind((own.unwrap_or(any), 0)).await {
                Ok(socket) => Some(socket),
                Err(error) => {
                    tracing::debug!(%error, v4, "no socket to notify from");
                    None
                }
            };
        }
        let [v4, v6] = sockets;
        Self { transfers, source, duty, v4, v6, told: BTreeMap::new() }
    }

    /// Tells until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut changes = self.source.changes();
        let (mut reply4, mut reply6) = (vec![0; MAX_REPLY], vec![0; MAX_REPLY]);
        loop {
            let wake = self.tell();
            let arrived = tokio::select! {
                () = cancel.cancelled() => return,
                changed = changes.changed() => {
                    if changed.is_err() {
                        return cancel.cancelled().await;
                    }
                    None
                }
                Some((length, from)) = receive(self.v4.as_ref(), &mut reply4) => Some((true, length, from)),
                Some((length, from)) = receive(self.v6.as_ref(), &mut reply6) => Some((false, length, from)),
                () = sleep_until(wake) => None,
            };
            if let Some((v4, length, from)) = arrived {
                let reply = if v4 { &reply4 } else { &reply6 };
                self.hear(&reply[..length], from);
            }
        }
    }

    /// Sends what is due; when to look again.
    fn tell(&mut self) -> Instant {
        let now = Instant::now();
        let mut wake = now + LOOK_EVERY;
        if !(self.duty)() {
            self.told.clear();
            return wake;
        }
        let Some(published) = self.source.current() else { return wake };
        self.forget(&published);
        let mut left = MAX_AT_ONCE;
        for zone in published.answers().zones.values() {
            for target in &zone.zone.transfer.notify {
                let due = self.due(zone, target, now);
                if due.is_some_and(|due| due <= now) && left > 0 {
                    left -= 1;
                    self.tell_one(&published, zone, target, now);
                }
                wake = due.map_or(wake, |due| wake.min(due.max(now + FIRST_PAUSE / 10)));
            }
        }
        wake
    }

    /// When a server is to be told next; `None` once it knows.
    fn due(&mut self, zone: &ZoneAnswers, target: &NotifyTarget, now: Instant) -> Option<Instant> {
        let key = (zone.zone.name.clone(), target.address);
        let told = self.told.entry(key).or_insert_with(|| Told::new(now));
        if told.acknowledged == Some(zone.serial) {
            return None;
        }
        // A new serial does not wait as long as the repetition of an old one.
        let fresh = told.sent.as_ref().is_none_or(|sent| sent.serial != zone.serial);
        if fresh && told.pause > 2 * FIRST_PAUSE {
            *told = Told { acknowledged: told.acknowledged, ..Told::new(now) };
        }
        Some(told.next_try)
    }

    fn tell_one(
        &mut self,
        published: &Published,
        zone: &ZoneAnswers,
        target: &NotifyTarget,
        now: Instant,
    ) {
        let socket = if target.address.is_ipv4() { &self.v4 } else { &self.v6 };
        let sent = send(&self.transfers, published, (zone, target), socket.as_ref());
        if let Some(told) = self.told.get_mut(&(zone.zone.name.clone(), target.address)) {
            told.next_try = now + told.pause;
            told.pause = (told.pause * 2).min(LAST_PAUSE);
            told.sent = sent;
        }
    }

    /// Drops what is told to nobody any more.
    fn forget(&mut self, published: &Published) {
        let zones = &published.answers().zones;
        self.told.retain(|(apex, address), _| {
            let zone = zones.get(apex);
            let mut targets = zone.iter().flat_map(|zone| &zone.zone.transfer.notify);
            targets.any(|target| target.address == *address)
        });
    }

    fn hear(&mut self, reply: &[u8], from: SocketAddr) {
        let Ok(message) = Message::from_vec(reply) else { return };
        let answers = |told: &Told| told.sent.as_ref().is_some_and(|sent| sent.id == message.id);
        let found = self.told.iter_mut().find(|((_, at), told)| *at == from && answers(told));
        let Some(((apex, _), told)) = found else { return };
        let Some(sent) = told.sent.as_mut() else { return };
        if message.message_type != MessageType::Response || message.op_code != OpCode::Notify {
            return;
        }
        if let Some(verifier) = &mut sent.verifier
            && let Err(why) = verifier.take(reply, true, seconds(&*self.transfers.clock))
        {
            tracing::warn!(zone = %apex, server = %from, code = %message.response_code, why,
                "answer to a NOTIFY does not count: does the server know the key, and what does its log say of this code?");
            return;
        }
        if message.response_code != ResponseCode::NoError {
            tracing::warn!(zone = %apex, server = %from, code = %message.response_code,
                "server refuses to be notified: does it know the zone, this address and the key?");
            return;
        }
        told.acknowledged = Some(sent.serial);
        told.sent = None;
        told.pause = FIRST_PAUSE;
        told.next_try = Instant::now() + FIRST_PAUSE;
        counter!(metric::NOTIFIES, "result" => "acknowledged").increment(1);
    }
}

impl Told {
    fn new(now: Instant) -> Self {
        Self { acknowledged: None, next_try: now, pause: FIRST_PAUSE, sent: None }
    }
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    match socket {
        // An error is of an earlier datagram: nobody listens there.
        Some(socket) => loop {
            match socket.recv_from(buffer).await {
                Ok(received) => return Some(received),
                Err(error) => tracing::trace!(%error, "a NOTIFY did not arrive"),
            }
        },
        None => std::future::pending().await,
    }
}

fn send(
    transfers: &Transfers,
    published: &Published,
    (zone, target): (&ZoneAnswers, &NotifyTarget),
    socket: Option<&UdpSocket>,
) -> Option<Sent> {
    let (mut message, id) = message_of(zone)?;
    let mut verifier = None;
    if let Some(name) = &target.key {
        let Some(mut signer) = transfers.signer(published.answers(), name) else {
            tracing::error!(zone = %zone.zone.name, key = %name,
                "no NOTIFY is sent: its key is not there; add it with `holdfast tsig add`");
            return None;
        };
        signer.sign(&mut message, seconds(&*transfers.clock));
        verifier = Some(Verifier::after(signer));
    }
    counter!(metric::NOTIFIES, "result" => "sent").increment(1);
    if let Err(error) = socket?.try_send_to(&message, target.address) {
        tracing::debug!(server = %target.address, %error, "NOTIFY not sent");
    }
    Some(Sent { id, serial: zone.serial, verifier })
}

/// The message about a zone, with its SOA as a hint (RFC 1996, 3.7), and its id.
fn message_of(zone: &ZoneAnswers) -> Option<(Vec<u8>, u16)> {
    let mut id = [0; 2];
    SystemRandom::new().fill(&mut id).ok()?;
    let id = u16::from_be_bytes(id);
    let mut message = Message::new(id, MessageType::Query, OpCode::Notify);
    message.metadata.authoritative = true;
    message.add_query(Query::query(wire_name(&zone.zone.name)?, RecordType::SOA));
    message.add_answer(wire_record(&soa_of(zone))?);
    Some((message.to_vec().ok()?, id))
}

impl Transfers {
    /// Signs requests with the key of this name.
    pub(super) fn signer(&self, answers: &Answers, name: &DnsName) -> Option<Signer> {
        self.key(answers, name).map(Signer::of_request)
    }
}
