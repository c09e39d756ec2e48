//! The server from outside: bytes in and out, publications, the file, and real sockets.

mod abuse;
mod allocation;
mod chaos;
mod conformance;
mod connections;
mod cookies;
mod copies;
mod counted;
mod encrypted;
mod encrypted_transfers;
mod equal;
mod file;
mod fixture;
mod flags;
mod options;
mod presigned;
mod proofs;
mod publication;
mod quic;
mod rare;
mod signed;
mod sockets;
mod state;
mod steered;
mod wire;
