//! Explanations.

use holdfast_core::explain::Reason;

use super::Convert;
use super::primitive::{from_list, list};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

impl Convert for Reason {
    type Proto = pb::Reason;

    fn to_proto(&self) -> pb::Reason {
        let fact = |(name, value): &(String, String)| pb::Fact {
            name: name.clone(),
            value: value.clone(),
        };
        pb::Reason {
            rule: self.rule.clone(),
            outcome: self.outcome.clone(),
            text: self.text.clone(),
            facts: self.facts.iter().map(fact).collect(),
            children: list(&self.children),
        }
    }

    /// Depth is bounded by protobuf's own recursion limit.
    fn from_proto(proto: pb::Reason) -> Result<Self, DecodeError> {
        Ok(Self {
            rule: proto.rule,
            outcome: proto.outcome,
            text: proto.text,
            facts: proto.facts.into_iter().map(|fact| (fact.name, fact.value)).collect(),
            children: from_list("children", proto.children)?,
        })
    }
}
