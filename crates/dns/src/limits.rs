//! The bounds of the wire, named once.

/// The UDP payload that we advertise and never exceed: what passes IPv6's minimum MTU unfragmented (DNS flag day 2020).
pub(crate) const MAX_UDP: u16 = 1232;
/// What every resolver takes over UDP, and all we send to those without EDNS (RFC 1035, 4.2.1).
pub(crate) const MIN_UDP: u16 = 512;
/// The most bytes of a message over TCP: its length has 16 bits.
pub(crate) const MAX_TCP: u16 = u16::MAX;
/// The most bytes of a query that are taken off a UDP socket; what is longer is cut, and answered if its message fits.
pub(crate) const MAX_UDP_QUERY: usize = 4096;
/// How many datagrams are answered from one snapshot with one system call, and before a task lets others run.
pub(crate) const BATCH: usize = 64;
/// The bytes of a header.
pub(crate) const HEADER: usize = 12;
/// The bytes of an OPT record without options.
pub(crate) const OPT: usize = 11;
/// The most bytes of a name (RFC 1035, 3.1).
pub(crate) const MAX_NAME: usize = 255;
