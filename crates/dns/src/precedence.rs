//! Which threads go first where there are more than processors: those that answer before the rest of the agent, and
//! after it what can wait.
//!
//! ```text
//! dns-udp-*, dns-tcp, dns-encrypted   short slices: woken by a datagram, they run in place of a thread that has a long one
//! all others of the agent             as the system has it
//! last-known-good                     a lower priority (nice 10)
//! dns-presign                         the lowest (nice 19)
//! ```
//!
//! Linux lets who runs go on to the end of a slice, seen at a tick of 1 to 10 ms; without this an answer waits that long
//! for whatever else the agent does. Slices are of Linux 6.12 and later; up to 6.5 a thread that slept is preferred
//! anyway, and those between have neither. The file is waited for by a stop and by a handover, so it keeps a tenth of a busy
//! processor. What these threads start is as they are; with `dns.threads` = 0 there are none.
//!
//! Invariant: a short slice is no larger share. What a flood of questions takes from consensus is what it took before.
#![expect(unsafe_code, reason = "no library sets a slice")]

use std::io;
use std::mem;
use std::time::Duration;

use rustix::process::{getpriority_process, setpriority_process};

/// The shortest that Linux grants.
const SLICE: Duration = Duration::from_micros(100);
/// The priority (`nice`) of what somebody may wait for in the end.
const LOWER: i32 = 10;
/// The lowest priority.
const LOWEST: i32 = 19;

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precedence {
    /// It answers.
    First,
    /// It has time, but is waited for at a stop.
    Later,
    /// Nobody waits for it.
    Last,
}

impl Precedence {
    /// Gives it to this thread, and to those that it starts. Where the system refuses, they are as others are.
    pub(crate) fn take(self) {
        let taken = match self {
            Self::First => shorten_slice(),
            Self::Later => setpriority_process(None, LOWER).map_err(io::Error::from),
            Self::Last => setpriority_process(None, LOWEST).map_err(io::Error::from),
        };
        if let Err(error) = taken {
            tracing::warn!(%error, precedence = ?self, "the system does not let a thread choose its turn, so answers may \
                wait for the rest of the agent: allow sched_setattr and setpriority");
        }
    }
}

/// Its priority and policy stay as they are.
fn shorten_slice() -> io::Result<()> {
    // SAFETY: the structure consists of integers, for which zero is a value.
    let mut told: libc::sched_attr = unsafe { mem::zeroed() };
    told.size = size_of::<libc::sched_attr>() as u32;
    told.sched_flags = libc::SCHED_FLAG_KEEP_POLICY as u64;
    told.sched_nice = getpriority_process(None)?;
    told.sched_runtime = SLICE.as_nanos() as u64;
    // SAFETY: the kernel reads the `size` bytes of a structure that is alive, and writes nothing.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const told, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn who_answers_keeps_its_priority_and_what_nobody_waits_for_has_the_lowest() {
        let priorities = thread::spawn(|| {
            setpriority_process(None, 3).expect("lowering is allowed");
            shorten_slice().expect("Linux lets each thread choose");
            let answers = getpriority_process(None).expect("told");
            Precedence::Last.take();
            [answers, getpriority_process(None).expect("told")]
        });
        assert_eq!(priorities.join().expect("no panic"), [3, LOWEST]);
    }
}
