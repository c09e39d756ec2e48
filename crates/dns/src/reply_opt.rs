//! The OPT record of a reply: the one place that writes it, whatever made the answer before it.
//!
//! ```text
//! room for the answer = limit − needed()          answer ─▶ push(): record, cookie, subnet, keepalive,
//!                                                            then error and NSID where they fit, then padding
//! ```
//!
//! What a client must be told (its cookie, the scope of the answer, the time-out it asked for) has its place kept free
//! before the answer is made; what is a courtesy is left out where the reply is full. No option is sent that was not
//! asked for, but for extended errors, which every client with EDNS may be told (RFC 8914).
//!
//! Invariant: a reply to a query with OPT has exactly one OPT, the last record, also with TC and with errors
//! (RFC 6891, 6.1.1 and 7).

use hickory_proto::op::ResponseCode;

use crate::limits::{MAX_UDP, OPT};
use crate::opt::{Opt, number};

/// Padded replies are a multiple of this many bytes long (RFC 8467, 4.1).
const PADDING_BLOCK: usize = 468;
/// The bytes of an option without data.
const OPTION: usize = 4;
/// The bytes of a cookie of a client and us.
pub(crate) const COOKIE: usize = 24;

/// Why an answer is what it is, for people who look for the reason (RFC 8914).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExtendedError {
    /// The service is answered with a failure, as its owner asked for when nothing is up.
    Closed,
    /// The answer comes from disk and may be older than the group's.
    StaleAnswer,
    /// The zone is signed, and this agent has not its keys.
    Unsignable,
    /// The zone is signed, and this agent's clock is too far behind to sign it.
    ClockBehind,
    /// The zone is signed, and the answer has no signed form.
    Formless,
    /// There is nothing to answer from yet.
    NotReady,
    /// Not for this client.
    Prohibited,
    /// The name is in none of our zones.
    NotAuthoritative,
    /// Not offered.
    NotSupported,
}

impl ExtendedError {
    /// Its number and words.
    pub(crate) fn told(self) -> (u16, &'static str) {
        match self {
            Self::Closed => (0, "nothing is up"),
            Self::StaleAnswer => (3, ""),
            Self::Unsignable => (10, "no sealing key here"),
            Self::ClockBehind => (10, "clock is behind"),
            Self::Formless => (0, "no signed form"),
            Self::NotReady => (14, ""),
            Self::Prohibited => (18, ""),
            Self::NotAuthoritative => (20, ""),
            Self::NotSupported => (21, ""),
        }
    }
}

/// What an answer has to say beside its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Remarks {
    /// For how many bits of the client's network the answer holds; 0 for everybody (RFC 7871).
    pub(crate) scope: u8,
    pub(crate) error: Option<ExtendedError>,
}

impl From<ExtendedError> for Remarks {
    fn from(error: ExtendedError) -> Self {
        Self { scope: 0, error: Some(error) }
    }
}

/// What a reply's OPT will say, as far as it is known before the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyOpt<'a> {
    /// The query's.
    pub(crate) opt: Opt,
    pub(crate) cookie: Option<[u8; COOKIE]>,
    /// How long a connection may idle, in units of 100 ms, where that was asked.
    pub(crate) keepalive: Option<u16>,
    /// The server's name, where that was asked; else empty.
    pub(crate) nsid: &'a [u8],
    /// Whether the reply is padded: asked for, and encrypted.
    pub(crate) padded: bool,
}

impl ReplyOpt<'_> {
    /// The OPT of a reply to a message that was not understood: no options.
    pub(crate) fn bare(opt: Opt) -> Self {
        let opt = Opt { options: Default::default(), ..opt };
        Self { opt, cookie: None, keepalive: None, nsid: &[], padded: false }
    }

    /// The bytes that the answer must leave free.
    pub(crate) fn needed(&self) -> u16 {
        let cookie = self.cookie.map_or(0, |cookie| OPTION + cookie.len());
        let subnet = self.opt.options.subnet.map_or(0, |subnet| OPTION + 4 + subnet.told().len());
        let keepalive = self.keepalive.map_or(0, |_| OPTION + 2);
        // At most 11 + 28 + 24 + 6.
        (OPT + cookie + subnet + keepalive) as u16
    }

    /// Writes the record behind an answer that left room for it, and counts it in the header. The reply is at most
    /// `limit` bytes long if the answer left as many free as are needed.
    pub(crate) fn push(&self, code: ResponseCode, remarks: Remarks, limit: u16, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.opt.record(MAX_UDP, code.high()));
        if let Some(cookie) = self.cookie {
            push_option(number::COOKIE, &[&cookie], out);
        }
        if let Some(subnet) = self.opt.options.subnet {
            let head = [0, subnet.family, subnet.source, remarks.scope];
            push_option(number::SUBNET, &[&head, subnet.told()], out);
        }
        if let Some(time) = self.keepalive {
            push_option(number::KEEPALIVE, &[&time.to_be_bytes()], out);
        }
        let limit = usize::from(limit);
        if let Some((info, words)) = remarks.error.map(ExtendedError::told) {
            let data = [&info.to_be_bytes(), words.as_bytes()];
            push_fitting(number::EXTENDED_ERROR, &data, limit, out);
        }
        if !self.nsid.is_empty() {
            push_fitting(number::NSID, &[self.nsid], limit, out);
        }
        if self.padded {
            push_padding(limit, out);
        }
        // A message has at most 65,535 bytes.
        let length = (out.len() - begin - OPT) as u16;
        out[begin + OPT - 2..begin + OPT].copy_from_slice(&length.to_be_bytes());
        let additionals = u16::from_be_bytes([out[10], out[11]]) + 1;
        out[10..12].copy_from_slice(&additionals.to_be_bytes());
    }
}

fn push_option(code: u16, data: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(&code.to_be_bytes());
    // Less than 300 bytes, by the bound of NSID and of words.
    let length = data.iter().map(|part| part.len()).sum::<usize>() as u16;
    out.extend_from_slice(&length.to_be_bytes());
    for part in data {
        out.extend_from_slice(part);
    }
}

fn push_fitting(code: u16, data: &[&[u8]], limit: usize, out: &mut Vec<u8>) {
    let length = data.iter().map(|part| part.len()).sum::<usize>();
    if out.len() + OPTION + length <= limit {
        push_option(code, data, out);
    }
}

/// Fills up to a whole block, or to the limit if that comes first.
fn push_padding(limit: usize, out: &mut Vec<u8>) {
    let end = (out.len() + OPTION).next_multiple_of(PADDING_BLOCK).min(limit);
    if let Some(zeros) = end.checked_sub(out.len() + OPTION) {
        out.extend_from_slice(&number::PADDING.to_be_bytes());
        // At most a block.
        out.extend_from_slice(&(zeros as u16).to_be_bytes());
        out.resize(end, 0);
    }
}

#[cfg(test)]
mod tests;
