//! The `RequestHandler`: from a decoded query to the records of its answer, out of one snapshot.
//!
//! A handler is made over one snapshot and lives as long as a batch of queries, so one answer cannot mix two views.
//! It awaits nothing but the `ResponseHandler` it is given. The decision itself is `holdfast_core::answer`; here are
//! only the questions that are about this server: other classes, transfers, `_holdfast.<zone>`, and a start without
//! any view, which is SERVFAIL (a resolver then asks another agent).
//!
//! It writes no OPT: that is `reply_opt`'s, for all answers alike. What the answer has to say there is left in
//! [`Handler::remarks`].

pub(crate) mod status;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_net::runtime::Time;
use hickory_proto::op::{Header, HeaderCounts, LowerQuery, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use holdfast_core::DnsName;
use holdfast_core::answer::{self, Answer, Code, Kind};

use crate::class::Class;
use crate::client::{Asker, Need};
use crate::config::ChaosConfig;
use crate::cookie::Cookies;
use crate::geo::Geo;
use crate::limits::{HEADER, MAX_TCP};
use crate::metric::{Counters, QueryCounters};
use crate::opt::Subnet;
use crate::publish::Published;
use crate::record::{Records, core_name, room_of};
use crate::reply_opt::{ExtendedError, Remarks};
use crate::respond::{Peer, Transport};
use crate::streams::{Messages, Streams};

/// What all handlers of a server share.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What is told in class CHAOS.
    pub chaos: ChaosConfig,
    /// The server's name, told to clients that ask for it (RFC 5001); `None` is not told.
    pub nsid: Option<String>,
    /// How long a connection may idle, told to clients that ask for it (RFC 7828), in units of 100 ms.
    pub idle_timeout: Duration,
    /// Where clients are.
    pub geo: Geo,
    /// What makes and judges cookies; `None` ignores them.
    pub cookies: Option<Cookies>,
    /// The most bytes of a reply over UDP to a client without a valid cookie; `None` is as with one.
    pub max_reply_without_cookie: Option<u16>,
    /// What answers transfers and updates over streams; without it the responder refuses them.
    pub streams: Option<Arc<dyn Streams>>,
}

/// What a handler is told of a query beside its message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// The most bytes of the reply without its OPT.
    pub(crate) limit: u16,
    /// The network that the client asks for.
    pub(crate) subnet: Option<Subnet>,
}

impl Default for Context {
    fn default() -> Self {
        Self { limit: MAX_TCP, subnet: None }
    }
}

/// Answers queries from one snapshot.
#[derive(Debug)]
pub struct Handler {
    published: Option<Arc<Published>>,
    settings: Arc<Settings>,
    turns: Arc<AtomicU32>,
    context: Context,
    /// Of the last answer. Its lock is never contended: a responder uses its handler alone.
    aside: Mutex<Aside>,
}

/// What is known of an answer beside its bytes.
#[derive(Debug, Clone, Default)]
struct Aside {
    remarks: Remarks,
    answered: Option<Answered>,
    /// See [`Decision::lasting`].
    lasting: bool,
}

/// How an answer is counted, and where.
type Answered = ((ResponseCode, Class), Arc<Counters>);

/// An answer on its way to the encoder.
struct Decision {
    metadata: Metadata,
    answers: Vec<Record>,
    authority: Vec<Record>,
    additional: Vec<Record>,
    zone: Option<DnsName>,
    /// Every client gets it at every turn, for as long as the view is served.
    lasting: bool,
    remarks: Remarks,
}

impl Decision {
    fn bare(mut metadata: Metadata, code: ResponseCode) -> Self {
        metadata.response_code = code;
        Self {
            metadata,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            zone: None,
            lasting: false,
            remarks: Remarks::default(),
        }
    }

    /// What its records make of it: a negative answer has the SOA beside it, a referral is without authority.
    fn class(&self) -> Class {
        let negative = self.authority.iter().any(|one| one.record_type() == RecordType::SOA);
        match self.metadata.response_code {
            ResponseCode::NoError if negative => Class::NoData,
            ResponseCode::NoError if !self.answers.is_empty() => Class::Positive,
            ResponseCode::NoError if !self.authority.is_empty() => Class::Referral,
            code => Class::of_bare(code),
        }
    }

    fn because(self, error: ExtendedError) -> Self {
        Self { remarks: error.into(), ..self }
    }
}

impl Handler {
    /// Makes a handler over a snapshot. `turns` counts the answers of a server or of one of its threads.
    pub fn new(
        published: Option<Arc<Published>>,
        settings: Arc<Settings>,
        turns: Arc<AtomicU32>,
    ) -> Self {
        let (context, aside) = (Context::default(), Mutex::default());
        Self { published, settings, turns, context, aside }
    }

    /// Prepares for one query.
    pub(crate) fn prepare(&mut self, context: Context) {
        self.context = context;
        *self.aside.get_mut().unwrap_or_else(PoisonError::into_inner) = Aside::default();
    }

    /// What the last answer has to say in the reply's OPT.
    pub(crate) fn remarks(&mut self) -> Remarks {
        self.aside.get_mut().unwrap_or_else(PoisonError::into_inner).remarks
    }

    /// How the last answer is counted, if whoever asks the same of this view gets the same.
    pub(crate) fn lasting(&mut self) -> Option<Answered> {
        let aside = self.aside.get_mut().unwrap_or_else(PoisonError::into_inner);
        aside.answered.clone().filter(|_| aside.lasting)
    }

    /// How the last answer is counted, which nobody has done.
    pub(crate) fn answered(&mut self) -> Option<Answered> {
        self.aside.get_mut().unwrap_or_else(PoisonError::into_inner).answered.take()
    }

    /// What this server tells of itself.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The view that is answered from.
    pub(crate) fn published(&self) -> Option<&Arc<Published>> {
        self.published.as_ref()
    }

    pub(crate) fn set_published(&mut self, published: Option<Arc<Published>>) {
        self.published = published;
    }

    /// What answers transfers, updates and signed messages.
    pub(crate) fn streams(&self) -> Option<Arc<dyn Streams>> {
        self.settings.streams.clone()
    }

    /// The reply to a message that came over a stream, if it is not for this handler.
    pub(crate) fn stream(&self, message: &[u8], peer: Peer) -> Option<Messages> {
        self.settings.streams.as_ref()?.reply(message, peer, self.published.as_ref())
    }

    /// Counts a reply of no zone.
    pub(crate) fn count(&self, answered: (ResponseCode, Class), transport: Transport) {
        self.counters_of(None).count(answered, transport, 1);
    }

    fn counters_of(&self, zone: Option<&DnsName>) -> &Arc<Counters> {
        let counters = match &self.published {
            Some(published) => published.counters(),
            None => QueryCounters::without_view(),
        };
        counters.at(zone)
    }

    /// The next turn. A bijection of the counter rather than the counter: clients ask in patterns (A, then AAAA), and
    /// every second number would always fall on the same record.
    pub(crate) fn next_turn(&self) -> u32 {
        let mut turn = self.turns.fetch_add(1, Ordering::Relaxed);
        turn = (turn ^ (turn >> 16)).wrapping_mul(0x85eb_ca6b);
        turn = (turn ^ (turn >> 13)).wrapping_mul(0xc2b2_ae35);
        turn ^ (turn >> 16)
    }

    /// The bytes that a reply has for records.
    fn room(&self, request: &Request) -> usize {
        usize::from(self.context.limit).saturating_sub(HEADER + request.queries.as_bytes().len())
    }

    /// Who asks this question from this address.
    pub(crate) fn asker(&self, source: IpAddr, subnet: Option<Subnet>) -> Asker<'_> {
        Asker { source, subnet, geo: &self.settings.geo }
    }

    fn decide(&self, request: &Request) -> Decision {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.checking_disabled = false;
        if request.metadata.op_code != OpCode::Query {
            return Decision::bare(metadata, ResponseCode::NotImp);
        }
        let [query] = request.queries.queries() else {
            return Decision::bare(metadata, ResponseCode::FormErr);
        };
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Decision::bare(metadata, ResponseCode::BADVERS);
        }
        match (query.query_class(), query.query_type()) {
            (DNSClass::IN, RecordType::AXFR | RecordType::IXFR) => {
                Decision::bare(metadata, ResponseCode::Refused).because(ExtendedError::Prohibited)
            }
            (DNSClass::IN, _) => self.decide_in(metadata, query, request),
            (DNSClass::CH, kind) => self.decide_chaos(metadata, query, kind),
            _ => {
                Decision::bare(metadata, ResponseCode::Refused).because(ExtendedError::NotSupported)
            }
        }
    }

    fn decide_in(&self, metadata: Metadata, query: &LowerQuery, request: &Request) -> Decision {
        let Some(published) = &self.published else {
            return Decision::bare(metadata, ResponseCode::ServFail)
                .because(ExtendedError::NotReady);
        };
        let asked = core_name(query.name());
        let zone = answer::zone_of(published.answers(), &asked);
        if let Some(zone) = zone.filter(|zone| status::is_at(&asked, &zone.zone.name)) {
            return status::decide(metadata, query, published, zone);
        }
        if let Some(zone) = zone.filter(|zone| status::is_above(published, zone, &asked)) {
            self.next_turn();
            return status::deny(metadata, query, published, zone);
        }
        let need = Need { subnet: zone.is_some_and(|zone| zone.zone.client_subnet), place: true };
        let asker = self.asker(request.src().ip(), self.context.subnet);
        let client = asker.client(self.next_turn(), need);
        let mut decided =
            answer::answer(published.answers(), &asked, Kind(query.query_type().into()), &client);
        let whole = trim(&mut decided, &asked, self.room(request));
        let name = Name::from(query.name());
        let mut decision =
            express(metadata, &Records { asked: &name, asked_core: &asked }, &decided);
        decision.zone = zone.map(|zone| zone.zone.name.clone());
        decision.lasting = whole && !decided.varies;
        decision.remarks.error = reason(decided.code);
        decision.remarks.scope = asker.told(decided.scope, need);
        decision
    }

    fn decide_chaos(&self, metadata: Metadata, query: &LowerQuery, kind: RecordType) -> Decision {
        let text = match core_name(query.name()).as_str() {
            "version.bind" | "version.server" => self.settings.chaos.version.as_ref(),
            "hostname.bind" | "id.server" => self.settings.chaos.hostname.as_ref(),
            _ => None,
        };
        let Some(text) = text.filter(|_| matches!(kind, RecordType::TXT | RecordType::ANY)) else {
            return Decision::bare(metadata, ResponseCode::Refused)
                .because(ExtendedError::Prohibited);
        };
        let mut record = txt(query, text.as_bytes());
        record.dns_class = DNSClass::CH;
        let mut decision = Decision::bare(metadata, ResponseCode::NoError);
        decision.metadata.authoritative = true;
        decision.answers.push(record);
        decision
    }
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let decision = self.decide(request);
        let metadata = decision.metadata;
        let counted = (metadata.response_code, decision.class());
        let counters = Arc::clone(self.counters_of(decision.zone.as_ref()));
        *self.aside.lock().unwrap_or_else(PoisonError::into_inner) = Aside {
            remarks: decision.remarks,
            answered: Some((counted, counters)),
            lasting: decision.lasting,
        };
        let response = MessageResponseBuilder::new(&request.queries, None).build(
            metadata,
            &decision.answers,
            &decision.authority,
            [],
            &decision.additional,
        );
        match response_handle.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                let from: SocketAddr = request.src();
                tracing::trace!(%from, %error, "reply not sent");
                ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
            }
        }
    }
}

/// Puts what the core decided into hickory's records. Declared data can always be expressed; SERVFAIL says that some
/// could not.
fn express(mut metadata: Metadata, records: &Records<'_>, decided: &Answer) -> Decision {
    let sections = (
        records.of(&decided.answers),
        records.of(&decided.authority),
        records.of(&decided.additional),
    );
    let (Some(answers), Some(authority), Some(additional)) = sections else {
        return Decision::bare(metadata, ResponseCode::ServFail);
    };
    metadata.authoritative = decided.authoritative;
    let bare = Decision::bare(metadata, response_code(decided.code));
    Decision { answers, authority, additional, ..bare }
}

/// Leaves out additional records that might not fit: they are a courtesy, not a reason to truncate (RFC 2181, 9). Says
/// whether all are left.
fn trim(decided: &mut Answer, asked: &DnsName, room: usize) -> bool {
    if decided.additional.is_empty() {
        return true;
    }
    let mut taken = room_of(&decided.answers, asked) + room_of(&decided.authority, asked);
    let fit = |record: &answer::AnswerRecord| {
        taken += room_of(std::slice::from_ref(record), asked);
        taken <= room
    };
    let fitting = decided.additional.iter().map(fit).take_while(|fits| *fits).count();
    let all = decided.additional.len();
    decided.additional.truncate(fitting.max(decided.required));
    decided.additional.len() == all
}

/// Why there is no answer.
fn reason(code: Code) -> Option<ExtendedError> {
    match code {
        Code::Refused => Some(ExtendedError::NotAuthoritative),
        Code::ServerFailure => Some(ExtendedError::Closed),
        Code::NoError | Code::NameError | Code::NameTooLong => None,
    }
}

fn txt(query: &LowerQuery, text: &[u8]) -> Record {
    Record::from_rdata(Name::from(query.name()), 0, RData::TXT(TXT::from_bytes(vec![text])))
}

fn response_code(code: Code) -> ResponseCode {
    match code {
        Code::NoError => ResponseCode::NoError,
        Code::NameError => ResponseCode::NXDomain,
        Code::Refused => ResponseCode::Refused,
        Code::ServerFailure => ResponseCode::ServFail,
        Code::NameTooLong => ResponseCode::YXDomain,
    }
}
