//! The data of records.

use holdfast_core::presentation::{escaped, unescaped};
use holdfast_core::spec::{Binding, Kind, RecordData, ServiceBinding, SvcKey, SvcParams};

use super::Convert;
use super::primitive::{narrow, parse};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

impl Convert for RecordData {
    type Proto = pb::RecordData;

    fn to_proto(&self) -> pb::RecordData {
        use pb::record_data::Data;
        let data = match self {
            Self::A(ip) => Data::A(ip.to_string()),
            Self::Aaaa(ip) => Data::Aaaa(ip.to_string()),
            Self::Cname(name) => Data::Cname(name.to_string()),
            Self::Srv { priority, weight, port, target } => Data::Srv(pb::Srv {
                priority: (*priority).into(),
                weight: (*weight).into(),
                port: (*port).into(),
                target: target.to_string(),
            }),
            Self::Txt(texts) => {
                Data::Txt(pb::Txt { texts: texts.iter().map(|text| escaped(text)).collect() })
            }
            Self::Ns(name) => Data::Ns(name.to_string()),
            Self::Mx { preference, exchange } => Data::Mx(pb::Mx {
                preference: (*preference).into(),
                exchange: exchange.to_string(),
            }),
            Self::Caa { flags, tag, value } => Data::Caa(pb::Caa {
                flags: (*flags).into(),
                tag: tag.clone(),
                value: escaped(value),
            }),
            Self::Ptr(name) => Data::Ptr(name.to_string()),
            Self::Svcb(binding) => Data::Svcb(binding.to_proto()),
            Self::Https(binding) => Data::Https(binding.to_proto()),
            Self::Alias(name) => Data::Alias(name.to_string()),
            Self::Dname(name) => Data::Dname(name.to_string()),
            Self::Ds { key_tag, algorithm, digest_type, digest } => Data::Ds(pb::Ds {
                key_tag: (*key_tag).into(),
                algorithm: (*algorithm).into(),
                digest_type: (*digest_type).into(),
                digest: digest.clone(),
            }),
            Self::Other { kind, data } => {
                Data::Other(pb::OtherData { r#type: kind.0.into(), data: data.clone() })
            }
        };
        pb::RecordData { data: Some(data) }
    }

    fn from_proto(proto: pb::RecordData) -> Result<Self, DecodeError> {
        use pb::record_data::Data;
        Ok(match proto.data.ok_or_else(|| DecodeError::missing(""))? {
            Data::A(ip) => Self::A(parse("a", &ip)?),
            Data::Aaaa(ip) => Self::Aaaa(parse("aaaa", &ip)?),
            Data::Cname(name) => Self::Cname(parse("cname", &name)?),
            Data::Srv(srv) => Self::Srv {
                priority: narrow("srv.priority", srv.priority)?,
                weight: narrow("srv.weight", srv.weight)?,
                port: narrow("srv.port", srv.port)?,
                target: parse("srv.target", &srv.target)?,
            },
            Data::Txt(txt) => {
                let texts = txt.texts.iter().map(|text| bytes("txt.texts", text));
                Self::Txt(texts.collect::<Result<_, _>>()?)
            }
            Data::Ns(name) => Self::Ns(parse("ns", &name)?),
            Data::Mx(mx) => Self::Mx {
                preference: narrow("mx.preference", mx.preference)?,
                exchange: parse("mx.exchange", &mx.exchange)?,
            },
            Data::Caa(caa) => Self::Caa {
                flags: narrow("caa.flags", caa.flags)?,
                tag: caa.tag,
                value: bytes("caa.value", &caa.value)?,
            },
            Data::Ptr(name) => Self::Ptr(parse("ptr", &name)?),
            Data::Svcb(binding) => {
                Self::Svcb(Binding::from_proto(binding).map_err(|e| e.within("svcb"))?)
            }
            Data::Https(binding) => {
                Self::Https(Binding::from_proto(binding).map_err(|e| e.within("https"))?)
            }
            Data::Alias(name) => Self::Alias(parse("alias", &name)?),
            Data::Dname(name) => Self::Dname(parse("dname", &name)?),
            Data::Ds(ds) => Self::Ds {
                key_tag: narrow("ds.key_tag", ds.key_tag)?,
                algorithm: narrow("ds.algorithm", ds.algorithm)?,
                digest_type: narrow("ds.digest_type", ds.digest_type)?,
                digest: ds.digest,
            },
            Data::Other(other) => {
                Self::Other { kind: Kind(narrow("other.type", other.r#type)?), data: other.data }
            }
        })
    }
}

fn bytes(field: &'static str, text: &str) -> Result<Vec<u8>, DecodeError> {
    unescaped(text.as_bytes()).map_err(|problem| DecodeError::invalid(field, problem))
}

impl Convert for Binding {
    type Proto = pb::SvcBinding;

    fn to_proto(&self) -> pb::SvcBinding {
        pb::SvcBinding {
            priority: self.priority.into(),
            target: self.target.to_string(),
            params: params(&self.params),
        }
    }

    fn from_proto(proto: pb::SvcBinding) -> Result<Self, DecodeError> {
        Ok(Self {
            priority: narrow("priority", proto.priority)?,
            target: parse("target", &proto.target)?,
            params: params_of(proto.params)?,
        })
    }
}

impl Convert for ServiceBinding {
    type Proto = pb::ServiceBinding;

    fn to_proto(&self) -> pb::ServiceBinding {
        pb::ServiceBinding { params: params(&self.params) }
    }

    fn from_proto(proto: pb::ServiceBinding) -> Result<Self, DecodeError> {
        Ok(Self { params: params_of(proto.params)? })
    }
}

fn params(params: &SvcParams) -> Vec<pb::SvcParam> {
    let param =
        |(key, value): &(SvcKey, Vec<u8>)| pb::SvcParam { key: key.0.into(), value: value.clone() };
    params.0.iter().map(param).collect()
}

fn params_of(params: Vec<pb::SvcParam>) -> Result<SvcParams, DecodeError> {
    let param = |param: pb::SvcParam| Ok((SvcKey(narrow("params.key", param.key)?), param.value));
    Ok(SvcParams(params.into_iter().map(param).collect::<Result<_, DecodeError>>()?))
}
