//! Asks a primary for a zone: its SOA first, and where that is newer, what changed or all of it.
//!
//! ```text
//! SOA ─▶ newer? ─▶ IXFR, where the serial of the copy is known ─▶ whatever is wrong with it ─▶ AXFR
//! ```
//!
//! Each question has a connection of its own, from the address that DNS answers at. Where the zone has a key, every
//! message is signed as RFC 8945, 5.3.1 has it, or the answer is worth nothing.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use holdfast_core::DnsName;
use holdfast_core::copied::{Copied, Fetched, is_newer};
use holdfast_core::view::Answers;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::row::{Fault, RowData, Rows, Start};
use super::stream::{Incoming, Progress, Wanted};
use crate::record::wire_name;
use crate::transfer::messages::seconds;
use crate::transfer::server::Transfers;
use crate::tsig::Verifier;

/// How long connecting, and each message, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a whole transfer may take.
const MAX_TIME: Duration = Duration::from_secs(120);
/// The code of SOA questions.
const SOA_TYPE: u16 = 6;

/// Why a primary did not give a zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No connection, or it broke.
    #[error("{0}: {1}")]
    Unreachable(SocketAddr, String),
    /// No answer in time.
    #[error("{0}: no answer in time; does it serve the zone over TCP?")]
    Silent(SocketAddr),
    /// The key is not in the group, or cannot be opened here.
    #[error("key {0} cannot be used here; add it with `holdfast tsig add`")]
    NoKey(DnsName),
    /// The answer is an error or breaks a rule.
    #[error("{0}: {1}")]
    Fault(SocketAddr, Fault),
    /// The answer proves to come from nobody in particular.
    #[error("{0}: the answer does not count: {1}")]
    Unproven(SocketAddr, String),
    /// The primary has an older serial than the copy, whose own may be of another primary.
    #[error(
        "{0}: serial {1} is older than serial {2}, which was copied; raise it there, or change `primaries`, which takes \
         any serial"
    )]
    Older(SocketAddr, u32, u32),
    /// The primary has a serial that was refused.
    #[error("{0}: serial {1} was fetched before, and is not taken")]
    Refused(SocketAddr, u32),
    /// The difference is too much for one entry of the log.
    #[error(
        "{server}: what changed until serial {serial} has more than {most} bytes, which is all that one step may have; \
         split the zone",
        most = Fetched::MAX_BYTES
    )]
    TooLarge {
        /// The primary.
        server: SocketAddr,
        /// Its serial.
        serial: u32,
    },
}

/// A question to one primary.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The primary.
    pub server: SocketAddr,
    /// The key that proves it.
    pub key: Option<&'a DnsName>,
    /// The addresses to ask from: the first of the server's family.
    pub from: &'a [SocketAddr],
    /// The serial that is not fetched, since it was and cannot be taken.
    pub refused: Option<u32>,
}

/// A question under way.
struct Exchange {
    stream: TcpStream,
    server: SocketAddr,
    id: u16,
    verifier: Option<Verifier>,
}

impl Transfers {
    /// What a primary has that is newer than the copy that is known; `None` where it has the same serial. Errors: [`FetchError`].
    pub async fn fetch(
        &self,
        answers: &Answers,
        apex: &DnsName,
        known: Option<&Copied>,
        source: Source<'_>,
    ) -> Result<Option<Fetched>, FetchError> {
        let start = self.serial_of(answers, apex, source).await?;
        let serial = known.and_then(|known| known.serial);
        if !leads_on(serial, start.serial, source.server)? {
            return Ok(None);
        }
        if source.refused == Some(start.serial) {
            return Err(FetchError::Refused(source.server, start.serial));
        }
        let mut received = None;
        if let (Some(serial), Some(known)) = (serial, known) {
            let wanted = Wanted::Since(serial, known.records());
            match self.receive(answers, apex, wanted, source).await {
                Ok(found) => received = found,
                Err(error) => {
                    tracing::debug!(zone = %apex, %error, "no increment; the whole zone is asked for");
                }
            }
        }
        if received.is_none() {
            received = self.receive(answers, apex, Wanted::Whole, source).await?;
        }
        let Some(received) = received else { return Ok(None) };
        if !leads_on(serial, received.serial(), source.server)? {
            return Ok(None);
        }
        let fetched = received.since(known, source.server);
        match fetched.size() > Fetched::MAX_BYTES {
            true => Err(FetchError::TooLarge { server: source.server, serial: fetched.serial }),
            false => Ok(Some(fetched)),
        }
    }

    /// The SOA of a zone, as a primary tells it with authority.
    async fn serial_of(
        &self,
        answers: &Answers,
        apex: &DnsName,
        source: Source<'_>,
    ) -> Result<Start, FetchError> {
        let fault = |why: &str| FetchError::Fault(source.server, Fault(why.to_owned()));
        let mut exchange = self.ask(answers, apex, (SOA_TYPE, None), source).await?;
        let message = exchange.next(Instant::now() + PATIENCE).await?;
        let found = read_soa(&message, apex, exchange.id);
        exchange.prove(&message, true, seconds(&*self.clock), found.as_ref().err())?;
        found.map_err(|error| fault(&error.0))
    }

    async fn receive(
        &self,
        answers: &Answers,
        apex: &DnsName,
        wanted: Wanted,
        source: Source<'_>,
    ) -> Result<Option<super::Received>, FetchError> {
        let until = Instant::now() + MAX_TIME;
        let since = match &wanted {
            Wanted::Whole => None,
            Wanted::Since(serial, _) => Some(*serial),
        };
        let mut exchange = self.ask(answers, apex, (wanted.kind(), since), source).await?;
        let mut incoming = Incoming::new(apex.clone(), exchange.id, wanted);
        loop {
            let message = exchange.next(until.min(Instant::now() + PATIENCE)).await?;
            let progress = incoming.take(&message);
            let last = !matches!(progress, Ok(Progress::Open));
            exchange.prove(&message, last, seconds(&*self.clock), progress.as_ref().err())?;
            let told = |fault| FetchError::Fault(source.server, fault);
            if progress.map_err(told)? == Progress::Done {
                return incoming.finish().map_err(told);
            }
        }
    }

    async fn ask(
        &self,
        answers: &Answers,
        apex: &DnsName,
        (kind, since): (u16, Option<u32>),
        source: Source<'_>,
    ) -> Result<Exchange, FetchError> {
        let server = source.server;
        let impossible = || FetchError::Unreachable(server, "the question has no form".to_owned());
        let (mut message, id) = question(apex, kind, since).ok_or_else(impossible)?;
        let mut verifier = None;
        if let Some(name) = source.key {
            let signer = self.signer(answers, name);
            let mut signer = signer.ok_or_else(|| FetchError::NoKey(name.clone()))?;
            signer.sign(&mut message, seconds(&*self.clock));
            verifier = Some(Verifier::after(signer));
        }
        let broken = |error: std::io::Error| FetchError::Unreachable(server, error.to_string());
        let sent = timeout(PATIENCE, async {
            let mut stream = connect(source).await?;
            // A question of ours is far shorter than 64 KiB.
            let mut framed = (message.len() as u16).to_be_bytes().to_vec();
            framed.extend_from_slice(&message);
            stream.write_all(&framed).await?;
            Ok(stream)
        });
        let stream = sent.await.map_err(|_| FetchError::Silent(server))?.map_err(broken)?;
        Ok(Exchange { stream, server, id, verifier })
    }
}

impl Exchange {
    async fn next(&mut self, until: Instant) -> Result<Vec<u8>, FetchError> {
        let read = timeout_at(until, async {
            let length = self.stream.read_u16().await?;
            let mut message = vec![0; usize::from(length)];
            self.stream.read_exact(&mut message).await?;
            Ok(message)
        });
        let broken = |error: std::io::Error| {
            FetchError::Unreachable(self.server, format!("the answer broke off: {error}"))
        };
        read.await.map_err(|_| FetchError::Silent(self.server))?.map_err(broken)
    }

    /// Errors: the message is not signed as it must be. What the reply says besides, where it is an error itself, counts
    /// only if nothing is to be signed.
    fn prove(
        &mut self,
        message: &[u8],
        last: bool,
        now: u64,
        fault: Option<&Fault>,
    ) -> Result<(), FetchError> {
        let Some(verifier) = &mut self.verifier else { return Ok(()) };
        verifier.take(message, last, now).map_err(|why| {
            let why = fault.map_or_else(|| why.clone(), |fault| format!("{why} ({fault})"));
            FetchError::Unproven(self.server, why)
        })
    }
}

/// Whether a primary's serial leads on from the one that was copied. Errors: it leads back.
fn leads_on(known: Option<u32>, found: u32, server: SocketAddr) -> Result<bool, FetchError> {
    match known {
        Some(known) if found == known => Ok(false),
        Some(known) if !is_newer(found, known) => Err(FetchError::Older(server, found, known)),
        _ => Ok(true),
    }
}

async fn connect(source: Source<'_>) -> std::io::Result<TcpStream> {
    let v4 = source.server.is_ipv4();
    let socket = if v4 { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let own = source.from.iter().map(SocketAddr::ip).find(|ip| ip.is_ipv4() == v4);
    if let Some(own) = own {
        socket.bind((own, 0).into())?;
    }
    socket.connect(source.server).await
}

/// The message that asks, and its id.
fn question(apex: &DnsName, kind: u16, since: Option<u32>) -> Option<(Vec<u8>, u16)> {
    let mut id = [0; 2];
    SystemRandom::new().fill(&mut id).ok()?;
    let id = u16::from_be_bytes(id);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(wire_name(apex)?, RecordType::from(kind)));
    if let Some(serial) = since {
        let soa = SOA::new(Name::root(), Name::root(), serial, 0, 0, 0, 0);
        let record = Record::from_rdata(wire_name(apex)?, 0, RData::SOA(soa));
        message.add_authority(record);
    }
    Some((message.to_vec().ok()?, id))
}

/// The SOA that a message answers with.
fn read_soa(message: &[u8], apex: &DnsName, id: u16) -> Result<Start, Fault> {
    let refuse = |why: &str| Err(Fault(why.to_owned()));
    let Some(mut rows) = Rows::of(message) else { return refuse("it has no whole header") };
    if u16::from_be_bytes([message[0], message[1]]) != id || message[2] & 0b1111_1010 != 0x80 {
        return refuse("it is no answer to what was asked");
    }
    if message[3] & 0x0f != 0 {
        let code = ResponseCode::from(0, message[3] & 0x0f);
        return Err(Fault(format!(
            "it answers {code}; does it serve {apex}, and to this address and key?"
        )));
    }
    if message[2] & 0x04 == 0 {
        return refuse("it answers without authority: it does not serve the zone, or no longer");
    }
    for _ in 0..u16::from_be_bytes([message[4], message[5]]) {
        rows.question()?;
    }
    for _ in 0..u16::from_be_bytes([message[6], message[7]]) {
        let row = rows.next()?;
        if let RowData::Start(start) = row.data
            && row.name == *apex
        {
            return Ok(start);
        }
    }
    refuse("it answers without an SOA")
}
