//! The kinds of questions, what their right answers are, and the names that they ask for.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{Name, RecordType};
use rand::seq::SliceRandom as _;

use crate::load::{Expected, Question};
use crate::peer::zones::{Host, ZoneData};

/// What all zones of static names are under; no zone itself, since zones do not nest.
const PARENT: &str = "names.test";

/// The names of one zone: what one request may carry.
const ZONE_NAMES: usize = 5_000;
/// The most names that addresses are made for.
pub(super) const MOST_NAMES: usize = 1 << 20;
/// The most questions of one kind; they are asked over and over.
const MOST_QUESTIONS: usize = 100_000;
/// Payload that EDNS questions advertise.
const PAYLOAD: u16 = 1232;
const NXDOMAIN: u8 = 3;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// IPv4 addresses of names that exist.
    A,
    /// IPv6 addresses of names that exist.
    Aaaa,
    /// Names that do not exist.
    Nxdomain,
    /// Of twenty questions twelve for IPv4, four for IPv6, three for names that do not exist, one for absent data.
    Mixed,
    /// IPv4 addresses, with EDNS.
    Edns,
    /// IPv4 addresses over TCP, on connections that stay open.
    Tcp,
    /// IPv4 addresses with their signatures; all zones are signed.
    Signed,
}

/// One question of a kind.
#[derive(Debug, Clone, Copy)]
enum Ask {
    A,
    Aaaa,
    Missing,
    NoData,
}

impl Kind {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::Aaaa => "aaaa",
            Self::Nxdomain => "nxdomain",
            Self::Mixed => "mixed",
            Self::Edns => "edns",
            Self::Tcp => "tcp",
            Self::Signed => "signed",
        }
    }

    fn ask(self, number: usize) -> Ask {
        match (self, number % 20) {
            (Self::A | Self::Edns | Self::Tcp | Self::Signed, _) => Ask::A,
            (Self::Aaaa, _) => Ask::Aaaa,
            (Self::Nxdomain, _) => Ask::Missing,
            (Self::Mixed, 0..12) => Ask::A,
            (Self::Mixed, 12..16) => Ask::Aaaa,
            (Self::Mixed, 16..19) => Ask::Missing,
            (Self::Mixed, _) => Ask::NoData,
        }
    }

    /// Questions of this kind for names in random order.
    pub(super) fn questions(self, names: usize) -> Result<Vec<Question>> {
        let mut order: Vec<usize> = (0..names).collect();
        order.shuffle(&mut rand::rng());
        order.truncate(MOST_QUESTIONS);
        let numbered = order.into_iter().enumerate();
        numbered.map(|(number, name)| self.question(self.ask(number), name)).collect()
    }

    fn question(self, ask: Ask, name: usize) -> Result<Question> {
        let (letter, kind) = match ask {
            Ask::A => ('h', RecordType::A),
            Ask::Aaaa => ('h', RecordType::AAAA),
            Ask::Missing => ('n', RecordType::A),
            Ask::NoData => ('h', RecordType::TXT),
        };
        let mut message = Message::query();
        message.metadata.id = 0;
        message.metadata.recursion_desired = false;
        message.add_query(Query::query(Name::from_ascii(host(letter, name) + ".")?, kind));
        let question_end = message.to_vec()?.len();
        if matches!(self, Self::Edns | Self::Signed) {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD).set_dnssec_ok(self == Self::Signed);
            message.set_edns(edns);
        }
        let (code, records) = match ask {
            Ask::A | Ask::Aaaa => (0, 1),
            Ask::Missing => (NXDOMAIN, 0),
            Ask::NoData => (0, 0),
        };
        let signatures = u16::from(self == Self::Signed);
        let expected = Expected { code, answers: records + signatures };
        Ok(Question { wire: message.to_vec()?, question_end, expected })
    }
}

/// Writes a file of questions for dnsperf.
pub(super) fn file(dir: &Path, names: usize) -> Result<PathBuf> {
    let mut order: Vec<usize> = (0..names).collect();
    order.shuffle(&mut rand::rng());
    let mut text = String::new();
    for name in order {
        writeln!(text, "{} A", host('h', name))?;
    }
    let path = dir.join("questions");
    std::fs::write(&path, text).context("the questions for dnsperf")?;
    Ok(path)
}

/// The zones with so many names.
pub(super) fn zones(names: usize, signed: bool) -> Vec<ZoneData> {
    let numbers: Vec<usize> = (0..names).collect();
    let zone = |(number, names): (usize, &[usize])| ZoneData {
        apex: zone(number),
        hosts: names.iter().map(|name| known(*name)).collect(),
        signed,
    };
    numbers.chunks(ZONE_NAMES).enumerate().map(zone).collect()
}

/// A name that exists.
fn known(number: usize) -> Host {
    let [_, a, b, c] = u32::try_from(number).unwrap_or_default().to_be_bytes();
    Host {
        name: host('h', number),
        v4: Ipv4Addr::new(10, a, b, c),
        v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, u16::from(a), u16::from_be_bytes([b, c])),
    }
}

fn host(letter: char, number: usize) -> String {
    format!("{letter}{number:06}.{}", zone(number / ZONE_NAMES))
}

fn zone(number: usize) -> String {
    format!("s{number:03}.{PARENT}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_load_has_its_shares() {
        let questions = Kind::Mixed.questions(1000).expect("questions");
        let with = |code, answers| {
            let expected = Expected { code, answers };
            questions.iter().filter(|one| one.expected == expected).count()
        };
        assert_eq!((with(0, 1), with(3, 0), with(0, 0)), (800, 150, 50));
    }

    #[test]
    fn every_name_is_in_a_zone_once() {
        let zones = zones(ZONE_NAMES + 1, false);
        let counts: Vec<usize> = zones.iter().map(|zone| zone.hosts.len()).collect();
        assert_eq!(counts, [ZONE_NAMES, 1]);
        let end = format!(".{}", zones[1].apex);
        assert!(zones[1].hosts[0].name.ends_with(&end));
    }

    #[test]
    fn edns_is_behind_the_question() {
        let plain = Kind::A.questions(1).expect("one").remove(0);
        let edns = Kind::Edns.questions(1).expect("one").remove(0);
        assert_eq!(plain.wire.len(), plain.question_end);
        assert_eq!(edns.wire.len(), edns.question_end + 11);
    }
}
