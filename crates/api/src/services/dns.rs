//! DnsService: what DNS answers, by the same function and from the same view.

use std::ops::Bound;

use holdfast_core::View;
use holdfast_core::answer::{self, Answer, AnswerData, AnswerRecord, Code, Kind};
use holdfast_core::name::DnsName;
use holdfast_core::presentation::absolute;
use holdfast_core::signing::Ds;
use holdfast_core::spec::{Denial, RecordData};
use holdfast_core::steer::{self, Client};
use holdfast_core::time::millis;
use holdfast_core::view::{Answers, NameAnswers, ZoneAnswers};
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::dns_service_server::DnsService;
use tonic::{Request, Response, Status};

use super::{client_of, named, page_size, propagation};
use crate::caller::Call;
use crate::context::{Context, at};
use crate::refusal::Refusal;

const NSEC3PARAM: Kind = Kind(51);
const DNSKEY: Kind = Kind(48);
const CDS: Kind = Kind(59);
const CDNSKEY: Kind = Kind(60);

/// RRSIG, NSEC and NSEC3.
const MADE_BY_SIGNING: [Kind; 3] = [Kind(46), Kind(47), Kind(50)];
/// The NSEC3 parameters of every zone that has any (RFC 9276): SHA-1, no further iterations, no salt.
const NO_SALT: [u8; 5] = [1, 0, 0, 0, 0];

/// DnsService.
#[derive(Debug)]
pub(crate) struct Dns(pub(crate) Context);

#[tonic::async_trait]
impl DnsService for Dns {
    async fn preview_answer(
        &self,
        request: Request<pb::PreviewAnswerRequest>,
    ) -> Result<Response<pb::PreviewAnswerResponse>, Status> {
        let call = Call::of(request)?;
        let name: DnsName = named("name", &call.body.name)?;
        let kind = kind_of(&call.body.r#type)?;
        let view = self.0.latest();
        let answers = &view.answers;
        let client = match call.body.client.as_str() {
            "" => Client::anybody(call.body.turn),
            text => client_of(&self.0, text, call.body.turn)?,
        };
        let mut answer = answer::answer(answers, &name, kind, &client);
        let zone = answer::zone_of(answers, &name).filter(|zone| !zone.signing.keys.is_empty());
        if let Some(zone) = zone {
            check_shown(&name, kind)?;
            add_key_records(zone, (&name, kind), &mut answer);
        }
        let decided = answers.names.get(&name);
        let mut steps = decided.map(|here| steps(&view, here, kind, &client)).unwrap_or_default();
        steps.extend(
            decided
                .filter(|_| answer.code == Code::ServerFailure)
                .and_then(|here| dead_alias(here)),
        );
        let service = decided.and_then(|name| name.service.as_ref()).map(ToString::to_string);
        let records = |records: &[AnswerRecord]| records.iter().map(presented).collect();
        let response = pb::PreviewAnswerResponse {
            rcode: rcode(answer.code).to_owned(),
            authoritative: answer.authoritative,
            answers: records(&answer.answers),
            authority: records(&answer.authority),
            additional: records(&answer.additional),
            index: answers.index,
            generation: answers.generation,
            service: service.unwrap_or_default(),
            epoch: decided.map_or(0, |name| name.epoch.0),
            scope: answer.scope.into(),
            steps,
            signed: zone.is_some(),
        };
        Ok(at(answers.index, response))
    }

    async fn dump_answers(
        &self,
        request: Request<pb::DumpAnswersRequest>,
    ) -> Result<Response<pb::DumpAnswersResponse>, Status> {
        let call = Call::of(request)?;
        let view = self.0.latest();
        let response = dump(&view.answers, &call.body)?;
        Ok(at(view.answers.index, response))
    }

    async fn check_propagation(
        &self,
        request: Request<pb::CheckPropagationRequest>,
    ) -> Result<Response<pb::CheckPropagationResponse>, Status> {
        let call = Call::of(request)?;
        let response = propagation::check(&self.0, &call.body).await?;
        Ok(at(response.index, response))
    }
}

/// How the records of a service's set were chosen.
fn steps(view: &View, here: &NameAnswers, kind: Kind, client: &Client) -> Vec<String> {
    let set = here.sets.iter().find(|set| set.records.iter().any(|(data, _)| data.kind() == kind));
    let service = here.service.as_ref().and_then(|id| view.services.get(id));
    let steps = set.zip(service).map(|(set, service)| steer::explain(&service.spec, set, client));
    steps.unwrap_or_default()
}

/// Why an ALIAS is answered with a failure.
fn dead_alias(here: &NameAnswers) -> Option<String> {
    let mut records = here.sets.iter().flat_map(|set| &set.records);
    records.find_map(|(data, _)| match data {
        RecordData::Alias(target) => Some(format!(
            "its ALIAS leads to {target}, which has no address to answer with; correct the record, or what {target} leads to"
        )),
        _ => None,
    })
}

/// Says whether records of a type are shown of a signed zone. Errors: only agents have them, since they sign.
fn check_shown(name: &DnsName, kind: Kind) -> Result<(), Refusal> {
    if !MADE_BY_SIGNING.contains(&kind) {
        return Ok(());
    }
    let problem = format!(
        "records of type {kind} are made by the agents that sign, and not shown here; ask one of them: dig @AGENT {name} {kind} +dnssec"
    );
    Err(Refusal::field("type", problem))
}

/// Adds the records of an apex that its keys make, which stand in no declaration (RFC 4034, 7344).
fn add_key_records(zone: &ZoneAnswers, (name, kind): (&DnsName, Kind), answer: &mut Answer) {
    let signing = &zone.signing;
    let other = |data| RecordData::Other { kind, data };
    let data: Vec<RecordData> = match kind {
        _ if *name != zone.zone.name => return,
        DNSKEY => signing.keys.iter().map(|key| other(key.dnskey())).collect(),
        CDNSKEY => signing.for_parent().iter().map(|key| other(key.dnskey())).collect(),
        CDS => signing.for_parent().iter().map(|key| other(Ds::of(name, key).to_data())).collect(),
        NSEC3PARAM => {
            let dnssec = zone.zone.dnssec.iter().filter(|dnssec| dnssec.denial == Denial::Nsec3);
            dnssec.map(|_| other(NO_SALT.to_vec())).collect()
        }
        _ => return,
    };
    if data.is_empty() {
        return;
    }
    let record = |data| AnswerRecord {
        name: name.clone(),
        ttl: zone.zone.ttl,
        data: AnswerData::Record(data),
    };
    answer.answers = data.into_iter().map(record).collect();
    answer.authority.clear();
}

fn dump(
    answers: &Answers,
    request: &pb::DumpAnswersRequest,
) -> Result<pb::DumpAnswersResponse, Refusal> {
    let zone: Option<DnsName> = match request.zone.as_str() {
        "" => None,
        zone => Some(named("zone", zone)?),
    };
    let after: Bound<DnsName> = match request.page_token.as_str() {
        "" => Bound::Unbounded,
        token => Bound::Excluded(named("page_token", token)?),
    };
    let mut found = answers
        .names
        .iter_from(after.as_ref())
        .filter(|(name, _)| zone.as_ref().is_none_or(|zone| name.is_within(zone)));
    let page: Vec<_> = found.by_ref().take(page_size(request.page_size)).collect();
    let more = found.next().is_some();
    let last = page.last().filter(|_| more).map(|(name, _)| name.to_string());
    Ok(pb::DumpAnswersResponse {
        names: page.into_iter().map(|(name, here)| dumped(name, here)).collect(),
        next_page_token: last.unwrap_or_default(),
        index: answers.index,
        at_ms: answers.at.0,
    })
}

fn dumped(name: &DnsName, here: &NameAnswers) -> pb::NameAnswers {
    let records = here.sets.iter().flat_map(|set| {
        set.records.iter().map(|(data, _)| {
            let data = AnswerData::Record(data.clone());
            presented(&AnswerRecord { name: name.clone(), ttl: set.ttl, data })
        })
    });
    pb::NameAnswers {
        name: name.to_string(),
        service: here.service.as_ref().map(ToString::to_string).unwrap_or_default(),
        epoch: here.epoch.0,
        refused: here.refused,
        records: records.collect(),
    }
}

fn kind_of(text: &str) -> Result<Kind, Refusal> {
    match text {
        "" => Ok(Kind::A),
        text => text.parse().map_err(|problem: String| Refusal::field("type", problem)),
    }
}

fn rcode(code: Code) -> &'static str {
    match code {
        Code::NoError => "NOERROR",
        Code::NameError => "NXDOMAIN",
        Code::Refused => "REFUSED",
        Code::ServerFailure => "SERVFAIL",
        Code::NameTooLong => "YXDOMAIN",
    }
}

/// A record in presentation form (RFC 1035, 5.1).
fn presented(record: &AnswerRecord) -> pb::AnswerRecord {
    let (kind, data) = match &record.data {
        AnswerData::Record(data) => (data.kind().to_string(), data.to_string()),
        AnswerData::Soa { primary, soa, serial, minimum } => {
            let seconds = |duration: &std::time::Duration| duration.as_secs();
            let text = format!(
                "{} {} {serial} {} {} {} {}",
                absolute(primary),
                absolute(&soa.mailbox),
                seconds(&soa.refresh),
                seconds(&soa.retry),
                seconds(&soa.expire),
                seconds(minimum),
            );
            ("SOA".to_owned(), text)
        }
    };
    pb::AnswerRecord {
        name: absolute(&record.name),
        ttl_ms: millis(record.ttl),
        r#type: kind,
        data,
    }
}
