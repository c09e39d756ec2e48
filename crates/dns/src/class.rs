//! What kind of answer a query got, for the counters: the response code says nothing of what NOERROR holds.
//!
//! An answer whose records did not fit (TC) is of the class of what was found. What it deliberately does not know: which
//! rule or policy an answer comes from.

use hickory_proto::op::ResponseCode;

/// A class of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The records asked for.
    Positive,
    /// The name has none of this type (RFC 2308, 2.2), or nothing was asked for.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// Anything else that is no answer.
    Error,
    /// Not ours, or not for this client.
    Refused,
    /// The name servers of a zone below.
    Referral,
}

impl Class {
    /// Those that NOERROR may be.
    pub(crate) const OF_NOERROR: [Self; 3] = [Self::Positive, Self::NoData, Self::Referral];

    /// The class of a reply without records.
    pub(crate) fn of_bare(code: ResponseCode) -> Self {
        match code {
            ResponseCode::NoError => Self::NoData,
            ResponseCode::NXDomain => Self::NxDomain,
            ResponseCode::Refused => Self::Refused,
            _ => Self::Error,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::NoData => "nodata",
            Self::NxDomain => "nxdomain",
            Self::Referral => "referral",
            Self::Refused => "refused",
            Self::Error => "error",
        }
    }
}
