//! Verifies messages: a request, or every message of the reply to ours.

use std::sync::Arc;

use ring::hmac;

use super::key::{Key, Keyring};
use super::sign::{Remark, push_unsigned};
use super::{Found, Signer, Tsig, Variables, digest_mac, error, find};
use crate::limits::HEADER;

/// How many messages of a reply may go unsigned between two that are signed (RFC 8945, 5.3.1).
const MAX_UNSIGNED: u32 = 99;

/// A request that proves to come from whoever has the key.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) key: Arc<Key>,
    /// The message without its signature, under its original id.
    pub(crate) message: Vec<u8>,
    /// Signs the reply.
    pub(crate) signer: Signer,
}

/// What is wrong with a request's signature, and what is told of it.
#[derive(Debug)]
pub(crate) enum Fault {
    /// FORMERR, unsigned.
    Malformed,
    /// NOTAUTH with this error, unsigned: the key or the MAC is not right.
    Unsigned(u16),
    /// NOTAUTH with this error, signed: the time, or the length of the MAC, is not right.
    Signed(u16, Signer),
}

impl Fault {
    /// Appends to a NOTAUTH reply what it says of the request's signature; `now` in seconds.
    pub(crate) fn push(self, request: &[u8], now: u64, reply: &mut Vec<u8>) {
        let Found::Signed(tsig) = find(request) else { return };
        match self {
            Self::Malformed => {}
            Self::Unsigned(code) => {
                let wire_name = wire_name(&tsig);
                push_unsigned(reply, &tsig, &wire_name, code);
            }
            // The times are the client's, or it could not verify what it is told of them (RFC 8945, 5.2.3).
            Self::Signed(error::BADTIME, mut signer) => {
                let Tsig { time, fudge, .. } = tsig;
                let other = &now.to_be_bytes()[2..];
                signer.sign_with(reply, Remark { time, fudge, error: error::BADTIME, other });
            }
            Self::Signed(error, mut signer) => {
                signer.sign_with(reply, Remark { error, ..Remark::at(now) });
            }
        }
    }
}

/// The key's name as the request has it; one that no name of ours could spell is told as the root.
fn wire_name(tsig: &Tsig<'_>) -> Vec<u8> {
    let name = crate::record::wire_name(&tsig.key);
    let bytes = name.and_then(|name| {
        let mut bytes = Vec::new();
        for label in name.iter() {
            bytes.push(u8::try_from(label.len()).ok()?);
            bytes.extend_from_slice(label);
        }
        bytes.push(0);
        Some(bytes)
    });
    bytes.filter(|bytes| bytes.len() <= 255).unwrap_or_else(|| vec![0])
}

/// Verifies a signed request (RFC 8945, 5.2): the key, then the MAC, then the time, then the MAC's length.
pub(crate) fn verify(
    message: &[u8],
    tsig: &Tsig<'_>,
    keys: &Keyring,
    now: u64,
) -> Result<Verified, Fault> {
    let key = keys.get(&tsig.key).filter(|key| key.wire_algorithm() == tsig.algorithm);
    let key = Arc::clone(key.ok_or(Fault::Unsigned(error::BADKEY))?);
    let length = key.mac_length();
    if tsig.mac.len() > length || tsig.mac.len() < 10.max(length / 2) {
        return Err(Fault::Malformed);
    }
    let message = unsigned(message, tsig);
    let mut context = key.context();
    context.update(&message);
    variables(&key, tsig).digest(&mut context);
    if !matches(&context.sign(), tsig.mac) {
        return Err(Fault::Unsigned(error::BADSIG));
    }
    let signer = Signer::of_reply(Arc::clone(&key), tsig.mac);
    if now.abs_diff(tsig.time) > u64::from(tsig.fudge) {
        return Err(Fault::Signed(error::BADTIME, signer));
    }
    if tsig.mac.len() < length {
        return Err(Fault::Signed(error::BADTRUNC, signer));
    }
    Ok(Verified { key, message, signer })
}

fn variables<'a>(key: &'a Key, tsig: &Tsig<'a>) -> Variables<'a> {
    Variables { key, time: tsig.time, fudge: tsig.fudge, error: tsig.error, other: tsig.other }
}

/// The message as it was before it was signed.
fn unsigned(message: &[u8], tsig: &Tsig<'_>) -> Vec<u8> {
    let mut message = message[..tsig.at].to_vec();
    message[..2].copy_from_slice(&tsig.original_id.to_be_bytes());
    let count = u16::from_be_bytes([message[10], message[11]]).saturating_sub(1);
    message[10..HEADER].copy_from_slice(&count.to_be_bytes());
    message
}

/// Whether a MAC, or the begin of one, is right; takes as long wherever it is wrong.
fn matches(right: &hmac::Tag, mac: &[u8]) -> bool {
    right.as_ref().iter().zip(mac).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

/// Verifies the messages of the reply to a request of ours, in order.
pub(crate) struct Verifier {
    key: Arc<Key>,
    context: hmac::Context,
    later: bool,
    unsigned: u32,
}

impl Verifier {
    /// Verifies the reply to what `signer` signed.
    pub(crate) fn after(signer: Signer) -> Self {
        let (key, mac) = signer.into_parts();
        let mut context = key.context();
        digest_mac(&mut context, &mac);
        Self { key, context, later: false, unsigned: 0 }
    }

    /// Takes the next message; `last` says that none follows. Errors: in words, what is not right.
    pub(crate) fn take(&mut self, message: &[u8], last: bool, now: u64) -> Result<(), String> {
        let Found::Signed(tsig) = find(message) else {
            self.context.update(message);
            self.unsigned += 1;
            let allowed = self.later && !last && self.unsigned <= MAX_UNSIGNED;
            return if allowed { Ok(()) } else { Err("a message is not signed".to_owned()) };
        };
        if tsig.key != *self.key.name() || tsig.algorithm != self.key.wire_algorithm() {
            return Err(format!("signed with key {}, not {}", tsig.key, self.key.name()));
        }
        if tsig.error != 0 && tsig.mac.is_empty() {
            return Err(refused(tsig.error));
        }
        let mut context = self.context.clone();
        context.update(&unsigned(message, &tsig));
        let variables = variables(&self.key, &tsig);
        if self.later {
            variables.digest_timers(&mut context);
        } else {
            variables.digest(&mut context);
        }
        let right = context.sign();
        if tsig.mac.len() != self.key.mac_length() || !matches(&right, tsig.mac) {
            return Err(format!("the signature with key {} is not right", self.key.name()));
        }
        if tsig.error != 0 {
            return Err(refused(tsig.error));
        }
        if now.abs_diff(tsig.time) > u64::from(tsig.fudge) {
            return Err("the clocks of the two servers differ too much".to_owned());
        }
        self.later = true;
        self.unsigned = 0;
        self.context = self.key.context();
        digest_mac(&mut self.context, right.as_ref());
        Ok(())
    }
}

fn refused(code: u16) -> String {
    let why = match code {
        error::BADSIG => "BADSIG: the secrets differ",
        error::BADKEY => "BADKEY: it does not know the key, or has it with another algorithm",
        error::BADTIME => "BADTIME: the clocks differ too much",
        error::BADTRUNC => "BADTRUNC: it wants longer signatures",
        _ => "an error that we do not know",
    };
    format!("the server refuses our signature: {why}")
}
