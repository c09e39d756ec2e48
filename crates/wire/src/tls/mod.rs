//! Keys and certificates: from PEM files to configurations, with errors that name the file and what is wrong.

mod identity;

pub use identity::{Identity, IdentityError};
