//! What the process tells its caller by its exit code.
//!
//! The numbers are part of the interface: scripts branch on them, so they never change their meaning.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was done, or all is well.
    Success,
    /// It failed.
    Error,
    /// It worked, and found differences or something unhealthy; only where `--exit-code` asks for it.
    Differs,
    /// A rule of the cluster stands against it; nothing was changed.
    Blocked,
    /// No member answered, or there is no quorum.
    Unavailable,
    /// The certificate does not entitle to it, or is not accepted.
    Denied,
    /// The command line is wrong.
    Usage,
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Error => 1,
            Self::Differs => 2,
            Self::Blocked => 3,
            Self::Unavailable => 4,
            Self::Denied => 5,
            Self::Usage => 64,
        }
    }

    /// How a call that ended with this status ends the command.
    pub(crate) fn of_status(code: tonic::Code) -> Self {
        use tonic::Code;
        match code {
            Code::Ok => Self::Success,
            Code::FailedPrecondition | Code::Aborted | Code::ResourceExhausted => Self::Blocked,
            Code::Unavailable | Code::DeadlineExceeded => Self::Unavailable,
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied,
            Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Self::Error,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[test]
    fn statuses_end_with_the_documented_numbers() {
        for (code, number) in [
            (Code::Ok, 0),
            (Code::NotFound, 1),
            (Code::InvalidArgument, 1),
            (Code::Internal, 1),
            (Code::FailedPrecondition, 3),
            (Code::Aborted, 3),
            (Code::Unavailable, 4),
            (Code::DeadlineExceeded, 4),
            (Code::PermissionDenied, 5),
            (Code::Unauthenticated, 5),
        ] {
            assert_eq!(Exit::of_status(code).code(), number, "{code:?}");
        }
        assert_eq!(Exit::Differs.code(), 2);
        assert_eq!(Exit::Usage.code(), 64);
    }
}
