//! Waiting for conditions: look, look again a moment later, give up at a deadline and say what was seen last.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::Instant;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks until there is something. Errors: nothing by the deadline, with what the last look said.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let error = match look() {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        if Instant::now() >= deadline {
            return Err(anyhow!("{what}: not within {limit:?}; last: {error:#}"));
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Looks until a value is the expected one. Errors: it is another one at the deadline.
pub fn until_equal<T: Debug + PartialEq>(
    what: &str,
    limit: Duration,
    expected: &T,
    mut look: impl FnMut() -> Result<T>,
) -> Result<()> {
    until(what, limit, || {
        let seen = look()?;
        if seen == *expected { Ok(()) } else { Err(anyhow!("{seen:?} instead of {expected:?}")) }
    })
}

/// Looks again and again for a time, and wants the same every time. Errors: the first look that differs.
pub fn throughout<T: Debug + PartialEq>(
    what: &str,
    span: Duration,
    expected: &T,
    mut look: impl FnMut() -> Result<T>,
) -> Result<()> {
    let end = Instant::now() + span;
    while Instant::now() < end {
        let seen = look()?;
        if seen != *expected {
            return Err(anyhow!("{what}: {seen:?} instead of {expected:?}"));
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    Ok(())
}
