//! Tests of the room as a whole: every value survives its bytes, no bytes do harm, and agents find each other.

mod codec;
mod peer;
mod tls;
mod value;
