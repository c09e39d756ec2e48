//! Bodies of the peer messages.
