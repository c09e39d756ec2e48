//! Signs what a target is given with a key that its view holds (RFC 8945, 4.3), and holds replies to the same.
//!
//! Written here anew, from the RFC and with no part of the server's code, so that each is the other's test.

use ring::hmac;

/// The name of the key.
pub(crate) const KEY: &str = "key.test";
pub(crate) const SECRET: [u8; 32] = [9; 32];
/// The time of the signatures, in seconds.
pub(crate) const NOW: u64 = 1_800_000_000;

const OWNER: &[u8] = b"\x03key\x04test\0";
const ALGORITHM: &[u8] = b"\x0bhmac-sha256\0";
const CLASS_ANY: [u8; 2] = [0, 255];
const FUDGE: u16 = 300;
const MAC: usize = 32;
/// The bytes of the record: owner, type, class, TTL and length, then the data, of which 16 bytes beside names and MAC.
const RECORD: usize = OWNER.len() + 10 + ALGORITHM.len() + MAC + 16;

/// The time at which it was signed, and for how long that counts.
fn timers() -> [u8; 8] {
    let mut timers = [0; 8];
    timers[..6].copy_from_slice(&NOW.to_be_bytes()[2..]);
    timers[6..].copy_from_slice(&FUDGE.to_be_bytes());
    timers
}

/// A message of at least a header with its signature behind it, and the MAC of that. `request` is the MAC of the request
/// that the message replies to.
pub(crate) fn signed(message: &[u8], request: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    let mut digest = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET));
    if let Some(request) = request {
        digest.update(&(MAC as u16).to_be_bytes());
        digest.update(request);
    }
    digest.update(message);
    for part in [OWNER, &CLASS_ANY, &[0; 4], ALGORITHM, &timers(), &[0; 4]] {
        digest.update(part);
    }
    let mac = digest.sign().as_ref().to_vec();
    let mut whole = message.to_vec();
    whole.extend_from_slice(OWNER);
    whole.extend_from_slice(&[0, 250]);
    whole.extend_from_slice(&CLASS_ANY);
    whole.extend_from_slice(&[0; 5]);
    whole.push((ALGORITHM.len() + MAC + 16) as u8);
    whole.extend_from_slice(ALGORITHM);
    whole.extend_from_slice(&timers());
    whole.extend_from_slice(&(MAC as u16).to_be_bytes());
    whole.extend_from_slice(&mac);
    whole.extend_from_slice(&message[..2]);
    whole.extend_from_slice(&[0; 4]);
    set_additional(&mut whole, |count| count.saturating_add(1));
    (whole, mac)
}

/// Whether a message ends with an additional record of the key. A question that is repeated may end so too.
pub(crate) fn is_signed(message: &[u8]) -> bool {
    let record = message.len().checked_sub(RECORD).map(|at| &message[at..]);
    message.get(10..12).is_some_and(|additional| additional != [0, 0])
        && record.is_some_and(|record| record.starts_with(&[OWNER, &[0, 250]].concat()))
}

/// Panics where a reply is signed and not as its request asks.
pub(crate) fn check(reply: &[u8], request: &[u8]) {
    if !is_signed(reply) {
        return;
    }
    let mut bare = reply[..reply.len() - RECORD].to_vec();
    set_additional(&mut bare, |count| count - 1);
    let (right, _) = signed(&bare, Some(request));
    assert_eq!(right, reply, "another signature than RFC 8945 says");
}

fn set_additional(message: &mut [u8], change: impl FnOnce(u16) -> u16) {
    let count = u16::from_be_bytes([message[10], message[11]]);
    message[10..12].copy_from_slice(&change(count).to_be_bytes());
}
