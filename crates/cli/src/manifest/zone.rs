//! `kind: Zone`: the shape of its manifest, the defaults, and the way there and back.
//!
//! Names are absolute everywhere, with or without the final dot; `@` is the apex. Data are in presentation form,
//! with TXT as one text, or a list of them.

use std::net::IpAddr;
use std::time::Duration;

use holdfast_core::DnsName;
use holdfast_core::presentation::{escaped, parse_data, unescaped};
use holdfast_core::spec::{Kind, NameServer, Record, RecordData, Soa, SpecError, Zone};
use serde::{Deserialize, Serialize};

use super::dnssec::DnssecForm;
use super::duration::Span;
use super::primaries::PrimariesForm;
use super::transfer::TransferForm;
use super::updates::UpdateForm;
use crate::known_types::KnownTypes;

const TTL: Duration = Duration::from_secs(300);
const MAILBOX: &str = "hostmaster";

/// `spec` of a zone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ZoneForm {
    #[serde(default)]
    soa: SoaForm,
    #[serde(default = "default_ttl")]
    ttl: Span,
    /// None where the zone comes from primaries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    name_servers: Vec<NameServerForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    records: Vec<RecordForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transfer: Option<TransferForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    updates: Vec<UpdateForm>,
    #[serde(default, skip_serializing_if = "is_false")]
    client_subnet: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    primaries: Option<PrimariesForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dnssec: Option<DnssecForm>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn default_ttl() -> Span {
    Span(TTL)
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SoaForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    mailbox: Option<DnsName>,
    refresh: Span,
    retry: Span,
    expire: Span,
    negative_ttl: Span,
}

impl Default for SoaForm {
    fn default() -> Self {
        let mut form = Self::from(&Soa::new(DnsName::root()));
        form.mailbox = None;
        form
    }
}

impl From<&Soa> for SoaForm {
    fn from(soa: &Soa) -> Self {
        Self {
            mailbox: Some(soa.mailbox.clone()),
            refresh: Span(soa.refresh),
            retry: Span(soa.retry),
            expire: Span(soa.expire),
            negative_ttl: Span(soa.negative_ttl),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NameServerForm {
    name: DnsName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<IpAddr>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "FlatRecord", into = "FlatRecord")]
struct RecordForm {
    name: String,
    ttl: Option<Span>,
    data: RecordData,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlatRecord {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Span>,
    #[serde(rename = "type")]
    kind: String,
    data: Texts,
}

/// One text, or a list of them for TXT.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl TryFrom<FlatRecord> for RecordForm {
    type Error = String;

    fn try_from(flat: FlatRecord) -> Result<Self, String> {
        if flat.name != "@" {
            DnsName::new(&flat.name).map_err(|e| e.to_string())?;
        }
        let kind: Kind = flat.kind.parse()?;
        let bytes = |text: &String| unescaped(text.as_bytes());
        let data = match flat.data {
            Texts::Many(texts) if kind == Kind::TXT => {
                RecordData::Txt(texts.iter().map(bytes).collect::<Result<_, _>>()?)
            }
            Texts::Many(_) => {
                return Err("only TXT has a list of data; write one record for each".into());
            }
            Texts::One(text) if kind == Kind::TXT => RecordData::Txt(vec![bytes(&text)?]),
            Texts::One(text) => parse_data(kind, &text, Some(&DnsName::root()), &KnownTypes)
                .map_err(|problem| format!("{kind} data {text:?}: {problem}"))?,
        };
        Ok(Self { name: flat.name, ttl: flat.ttl, data })
    }
}

impl From<RecordForm> for FlatRecord {
    fn from(form: RecordForm) -> Self {
        let data = match &form.data {
            RecordData::Txt(texts) => Texts::Many(texts.iter().map(|text| escaped(text)).collect()),
            data => Texts::One(data.to_string()),
        };
        Self { name: form.name, ttl: form.ttl, kind: form.data.kind().to_string(), data }
    }
}

impl ZoneForm {
    /// The zone, with defaults, and found possible by the core's own rules.
    pub(super) fn into_zone(self, name: DnsName) -> Result<Zone, SpecError> {
        let at = |field: String| {
            move |e: &dyn std::fmt::Display| SpecError { field, problem: e.to_string() }
        };
        let mailbox = match self.soa.mailbox {
            Some(mailbox) => mailbox,
            None => name.child(MAILBOX).map_err(|e| at("soa.mailbox".into())(&e))?,
        };
        let mut records = Vec::with_capacity(self.records.len());
        for form in self.records {
            let owner = match form.name.as_str() {
                "@" => name.clone(),
                text => DnsName::new(text).map_err(|e| at(format!("records[{text}]"))(&e))?,
            };
            records.push(Record {
                name: owner,
                ttl: form.ttl.unwrap_or(self.ttl).0,
                data: form.data,
            });
        }
        let updates = self.updates.into_iter().map(|form| form.into_rule(&name));
        let updates = updates.collect::<Result<_, _>>()?;
        let server =
            |form: NameServerForm| NameServer { name: form.name, addresses: form.addresses };
        let zone = Zone {
            records,
            transfer: self.transfer.map(Into::into).unwrap_or_default(),
            updates,
            client_subnet: self.client_subnet,
            dnssec: self.dnssec.map(Into::into),
            primaries: self.primaries.map(Into::into),
            ..Zone::new(
                name,
                Soa {
                    mailbox,
                    refresh: self.soa.refresh.0,
                    retry: self.soa.retry.0,
                    expire: self.soa.expire.0,
                    negative_ttl: self.soa.negative_ttl.0,
                },
                self.name_servers.into_iter().map(server).collect(),
                self.ttl.0,
            )
        };
        zone.validate()?;
        Ok(zone)
    }
}

impl From<&Zone> for ZoneForm {
    fn from(zone: &Zone) -> Self {
        let server = |server: &NameServer| NameServerForm {
            name: server.name.clone(),
            addresses: server.addresses.clone(),
        };
        let record = |record: &Record| RecordForm {
            name: record.name.to_string(),
            ttl: Some(Span(record.ttl)),
            data: record.data.clone(),
        };
        Self {
            soa: SoaForm::from(&zone.soa),
            ttl: Span(zone.ttl),
            name_servers: zone.name_servers.iter().map(server).collect(),
            records: zone.records.iter().map(record).collect(),
            transfer: TransferForm::of(&zone.transfer),
            updates: zone.updates.iter().map(Into::into).collect(),
            client_subnet: zone.client_subnet,
            dnssec: zone.dnssec.as_ref().map(Into::into),
            primaries: zone.primaries.as_ref().map(Into::into),
        }
    }
}
