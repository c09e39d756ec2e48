//! Why bytes are not what they should be: always with the place.

/// Why bytes are not the value that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not protobuf of this type.
    #[error("the bytes are no {what}: {why}")]
    Malformed {
        /// What was expected, such as `entry`.
        what: &'static str,
        /// What the decoder says.
        why: String,
    },
    /// A newer version wrote this.
    #[error(
        "the {what} has format {found} and this version knows up to {known}; upgrade this node"
    )]
    TooNew {
        /// What was expected, such as `entry`.
        what: &'static str,
        /// The format found.
        found: u32,
        /// The newest format that this version knows.
        known: u32,
    },
    /// A part is absent, or is an alternative that only a newer version knows.
    #[error("{field}: missing, or of a kind that this version does not know")]
    Missing {
        /// Path of the field.
        field: String,
    },
    /// A part has a value that it cannot have.
    #[error("{field}: {problem}")]
    Invalid {
        /// Path of the field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl DecodeError {
    pub(crate) fn missing(field: &str) -> Self {
        Self::Missing { field: field.to_owned() }
    }

    pub(crate) fn invalid(field: &str, problem: impl ToString) -> Self {
        Self::Invalid { field: field.to_owned(), problem: problem.to_string() }
    }

    /// The same error, seen from the message that holds `outer`.
    pub(crate) fn within(self, outer: &str) -> Self {
        let join = |inner: String| match inner.as_str() {
            "" => outer.to_owned(),
            _ => format!("{outer}.{inner}"),
        };
        match self {
            Self::Missing { field } => Self::Missing { field: join(field) },
            Self::Invalid { field, problem } => Self::Invalid { field: join(field), problem },
            other @ (Self::Malformed { .. } | Self::TooNew { .. }) => other,
        }
    }

    /// The field at fault, where there is one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Missing { field } | Self::Invalid { field, .. } => Some(field),
            Self::Malformed { .. } | Self::TooNew { .. } => None,
        }
    }
}
