//! What came of a failover outside.

use holdfast_core::Epoch;
use holdfast_core::propagation::{Convergence, Ending, Fault, Figures};

use super::Convert;
use super::primitive::{enumerated, from_list, from_ms, list, ms, required};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

impl Convert for Ending {
    type Proto = i32;

    fn to_proto(&self) -> i32 {
        match self {
            Self::Converged => pb::ConvergenceEnding::Converged as i32,
            Self::Superseded => pb::ConvergenceEnding::Superseded as i32,
            Self::NotWithin => pb::ConvergenceEnding::NotWithin as i32,
        }
    }

    fn from_proto(number: i32) -> Result<Self, DecodeError> {
        match pb::ConvergenceEnding::try_from(number) {
            Ok(pb::ConvergenceEnding::Converged) => Ok(Self::Converged),
            Ok(pb::ConvergenceEnding::Superseded) => Ok(Self::Superseded),
            Ok(pb::ConvergenceEnding::NotWithin) => Ok(Self::NotWithin),
            Ok(pb::ConvergenceEnding::Unspecified) => Err(DecodeError::missing("")),
            Err(_) => Err(DecodeError::invalid("", format!("there is no value {number}"))),
        }
    }
}

impl Convert for Figures {
    type Proto = pb::ConvergenceFigures;

    fn to_proto(&self) -> pb::ConvergenceFigures {
        pb::ConvergenceFigures {
            asked: self.asked,
            agreed: self.agreed,
            t50_ms: self.t50.map(ms),
            t95_ms: self.t95.map(ms),
            t100_ms: self.t100.map(ms),
        }
    }

    fn from_proto(proto: pb::ConvergenceFigures) -> Result<Self, DecodeError> {
        Ok(Self {
            asked: proto.asked,
            agreed: proto.agreed,
            t50: proto.t50_ms.map(from_ms),
            t95: proto.t95_ms.map(from_ms),
            t100: proto.t100_ms.map(from_ms),
        })
    }
}

impl Convert for (Fault, String) {
    type Proto = pb::ConvergenceFault;

    fn to_proto(&self) -> pb::ConvergenceFault {
        let (fault, subject) = self;
        pb::ConvergenceFault { fault: fault.label().to_owned(), subject: subject.clone() }
    }

    fn from_proto(proto: pb::ConvergenceFault) -> Result<Self, DecodeError> {
        let pb::ConvergenceFault { fault, subject } = proto;
        let known = Fault::ALL.into_iter().find(|known| known.label() == fault);
        let unknown = || DecodeError::invalid("fault", format!("there is no fault {fault:?}"));
        Ok((known.ok_or_else(unknown)?, subject))
    }
}

impl Convert for Convergence {
    type Proto = pb::FailoverConverged;

    fn to_proto(&self) -> pb::FailoverConverged {
        pb::FailoverConverged {
            epoch: self.epoch.0,
            ending: self.ending.to_proto(),
            followed_ms: ms(self.followed),
            servers: Some(self.servers.to_proto()),
            resolvers: Some(self.resolvers.to_proto()),
            stragglers: self.stragglers.clone(),
            faults: list(&self.faults),
            serial_skew_ms: self.serial_skew.map(ms),
            unfollowed: self.unfollowed,
        }
    }

    fn from_proto(proto: pb::FailoverConverged) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch(proto.epoch),
            ending: enumerated("ending", proto.ending)?,
            followed: from_ms(proto.followed_ms),
            servers: required("servers", proto.servers)?,
            resolvers: required("resolvers", proto.resolvers)?,
            stragglers: proto.stragglers,
            faults: from_list("faults", proto.faults)?,
            serial_skew: proto.serial_skew_ms.map(from_ms),
            unfollowed: proto.unfollowed,
        })
    }
}
