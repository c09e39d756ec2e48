//! Types by name: the mnemonics of the registry that are in use, and `TYPE52` for any (RFC 3597, 5).

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use crate::spec::Kind;

/// Mnemonics and numbers.
const NAMES: [(&str, u16); 40] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("SIG", 24),
    ("KEY", 25),
    ("AAAA", 28),
    ("LOC", 29),
    ("SRV", 33),
    ("NAPTR", 35),
    ("KX", 36),
    ("CERT", 37),
    ("DNAME", 39),
    ("DS", 43),
    ("SSHFP", 44),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("TLSA", 52),
    ("SMIMEA", 53),
    ("CDS", 59),
    ("CDNSKEY", 60),
    ("OPENPGPKEY", 61),
    ("CSYNC", 62),
    ("ZONEMD", 63),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("SPF", 99),
    ("ANY", 255),
    ("URI", 256),
    ("CAA", 257),
    ("ALIAS", Kind::ALIAS.0),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        let number =
            || text.get(..4).filter(|head| head.eq_ignore_ascii_case("TYPE")).and(text.get(4..));
        let digits = || number().filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        known.map(|(_, number)| *number).or_else(|| digits()?.parse().ok()).map(Self).ok_or_else(
            || format!("{text:.20?} is no record type; write its name, or TYPE and its number"),
        )
    }
}
