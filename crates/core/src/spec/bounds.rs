//! Bounds of durations and texts that several declarations share, each with the message that names it.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::{SpecError, spec_error};

/// The longest that a rule may wait or look back. What is longer is forgotten by everybody but the machine.
pub(super) const LONGEST_RULE: Duration = Duration::from_secs(7 * 86_400);
/// The longest TTL.
pub const LONGEST_TTL: Duration = Duration::from_secs(86_400);
/// The longest text of a check, in bytes: paths, headers, expectations.
const LONGEST_TEXT: usize = 4096;

/// Says whether a duration is one of these.
pub(super) fn within(
    field: impl Into<String>,
    duration: Duration,
    (least, most): (Duration, Duration),
) -> Result<(), SpecError> {
    if (least..=most).contains(&duration) {
        return Ok(());
    }
    Err(spec_error(field, format!("{duration:?} is outside {least:?} to {most:?}")))
}

/// Says whether a text can stand in one line of a request: not too long, no control characters.
pub(super) fn one_line(field: impl Into<String>, text: &str) -> Result<(), SpecError> {
    if text.len() > LONGEST_TEXT {
        return Err(spec_error(field, format!("must be at most {LONGEST_TEXT} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(spec_error(field, "must not hold control characters such as line breaks"));
    }
    Ok(())
}

/// Says whether a text is a token of HTTP (RFC 9110, 5.6.2): a method, the name of a header.
pub(super) fn token(field: impl Into<String>, text: &str) -> Result<(), SpecError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(legal) {
        return Ok(());
    }
    Err(spec_error(field, format!("{text:?} is no HTTP token of 1 to 64 characters")))
}

/// Says whether a text is not too long.
pub(super) fn text(field: impl Into<String>, text: &str, most: usize) -> Result<(), SpecError> {
    if text.len() <= most {
        return Ok(());
    }
    Err(spec_error(field, format!("must be at most {most} bytes")))
}

/// Says whether a port, where there is one, can be connected to.
pub(super) fn port(field: impl Into<String>, port: Option<u16>) -> Result<(), SpecError> {
    if port == Some(0) { Err(spec_error(field, "must be 1 to 65535")) } else { Ok(()) }
}
