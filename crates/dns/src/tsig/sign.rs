//! Signs messages: a request, the reply to one, or each of the many messages of a reply.

use std::sync::Arc;

use super::key::Key;
use super::{CLASS, FUDGE, TYPE, Variables, digest_mac};

/// Signs the messages of one exchange, in order.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    key: Arc<Key>,
    /// The MAC of the message before: of the request at first, none before a request.
    prior: Option<Vec<u8>>,
    /// Later messages of a reply digest less.
    later: bool,
}

/// What a signature says besides who made it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remark<'a> {
    /// In seconds.
    pub(crate) time: u64,
    /// How many seconds before and after it the signature is good.
    pub(crate) fudge: u16,
    pub(crate) error: u16,
    pub(crate) other: &'a [u8],
}

impl Remark<'_> {
    /// That it was made at this time, in seconds, and nothing is wrong.
    pub(crate) fn at(time: u64) -> Self {
        Self { time, fudge: FUDGE, error: 0, other: &[] }
    }
}

impl Signer {
    /// Signs a request.
    pub(crate) fn of_request(key: Arc<Key>) -> Self {
        Self { key, prior: None, later: false }
    }

    /// Signs the reply to a request with this MAC.
    pub(crate) fn of_reply(key: Arc<Key>, request_mac: &[u8]) -> Self {
        Self { key, prior: Some(request_mac.to_vec()), later: false }
    }

    /// The bytes that a signature adds at the most.
    pub(crate) fn room(&self) -> usize {
        26 + self.key.wire_name().len() + self.key.wire_algorithm().len() + self.key.mac_length()
    }

    /// Appends the signature of a message, which has a header and room for one more record; `now` in seconds.
    pub(crate) fn sign(&mut self, message: &mut Vec<u8>, now: u64) {
        self.sign_with(message, Remark::at(now));
    }

    /// As [`Signer::sign`], with an error and what belongs to it.
    pub(crate) fn sign_with(&mut self, message: &mut Vec<u8>, remark: Remark<'_>) {
        let Remark { time, fudge, error, other } = remark;
        let variables = Variables { key: &self.key, time, fudge, error, other };
        let mut context = self.key.context();
        if let Some(prior) = &self.prior {
            digest_mac(&mut context, prior);
        }
        context.update(message);
        if self.later {
            variables.digest_timers(&mut context);
        } else {
            variables.digest(&mut context);
        }
        let mac = context.sign();
        push(message, &variables, mac.as_ref());
        // A request is followed by its reply, whose first message digests everything.
        self.later = self.prior.is_some();
        self.prior = Some(mac.as_ref().to_vec());
    }

    /// The key, and the MAC of what was signed last.
    pub(crate) fn into_parts(self) -> (Arc<Key>, Vec<u8>) {
        (self.key, self.prior.unwrap_or_default())
    }
}

/// Appends a TSIG record without a MAC, as errors about a key or a MAC are told (RFC 8945, 5.3.2).
pub(crate) fn push_unsigned(
    message: &mut Vec<u8>,
    tsig: &super::Tsig<'_>,
    wire_name: &[u8],
    error: u16,
) {
    message.extend_from_slice(wire_name);
    push_data(message, &tsig.algorithm, (tsig.time, tsig.fudge), &[], (error, &[]));
}

fn push(message: &mut Vec<u8>, variables: &Variables<'_>, mac: &[u8]) {
    message.extend_from_slice(variables.key.wire_name());
    let told = (variables.error, variables.other);
    let timers = (variables.time, variables.fudge);
    push_data(message, variables.key.wire_algorithm(), timers, mac, told);
}

/// Appends the record behind its owner, and counts it.
fn push_data(
    message: &mut Vec<u8>,
    algorithm: &[u8],
    (time, fudge): (u64, u16),
    mac: &[u8],
    (error, other): (u16, &[u8]),
) {
    let id = [message[0], message[1]];
    message.extend_from_slice(&TYPE.to_be_bytes());
    message.extend_from_slice(&CLASS.to_be_bytes());
    message.extend_from_slice(&[0; 4]);
    // Algorithms, MACs and other data are at most 255, 64 and 6 bytes.
    let length = (algorithm.len() + 16 + mac.len() + other.len()) as u16;
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(algorithm);
    message.extend_from_slice(&time.to_be_bytes()[2..]);
    message.extend_from_slice(&fudge.to_be_bytes());
    message.extend_from_slice(&(mac.len() as u16).to_be_bytes());
    message.extend_from_slice(mac);
    message.extend_from_slice(&id);
    message.extend_from_slice(&error.to_be_bytes());
    message.extend_from_slice(&(other.len() as u16).to_be_bytes());
    message.extend_from_slice(other);
    let count = u16::from_be_bytes([message[10], message[11]]).saturating_add(1);
    message[10..12].copy_from_slice(&count.to_be_bytes());
}
