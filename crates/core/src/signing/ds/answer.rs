//! What a server says of a zone's DS records, and whether that says anything.
//!
//! ```text
//! an error, a cut answer, nobody who can know ─▶ nothing
//! no record ─▶ none, with the SOA of a zone above (RFC 2308, 2.2), else nothing
//! records ─▶ these, where each is a DS record of the zone that can be read, else nothing
//! ```
//!
//! A mistake here takes a zone away, so anything but a clear answer says nothing. Who knows: a server of the parent, which
//! is authoritative for DS records (RFC 4035, 3.1.4.1), and a resolver; of these the server alone tells a TTL, for a cache
//! tells what is left of one.
//!
//! What it deliberately does not do: read messages, or ask.

use alloc::vec::Vec;
use core::time::Duration;

use super::Ds;
use crate::name::DnsName;
use crate::spec::Kind;

/// The type of signatures.
const RRSIG: Kind = Kind(46);

/// What of an answer counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its code is NOERROR.
    pub no_error: bool,
    /// It is cut (TC).
    pub cut: bool,
    /// The server is one of a zone above, or of the zone (AA).
    pub authoritative: bool,
    /// The server resolves names (RA).
    pub resolved: bool,
    zone: DnsName,
    rows: Vec<Row>,
    /// There are signatures among the answers.
    signed: bool,
    /// Where the first SOA record of the authority section lies.
    soa: Option<Place>,
}

/// A record of the answer section.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    place: Place,
    kind: Kind,
    ttl: Duration,
    /// Of one that can be read.
    ds: Option<Ds>,
}

/// Where the owner of a record lies, seen from the zone that was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Apex,
    Above,
    Elsewhere,
}

/// What a clear answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The zone's DS records; none where it has none.
    pub records: Vec<Ds>,
    /// Their TTL, where a server of the parent tells it.
    pub ttl: Option<Duration>,
}

/// Why an answer says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// Its code is not NOERROR.
    #[error("it answers with an error")]
    Failed,
    /// Part of it is missing.
    #[error("the answer is cut")]
    Cut,
    /// The server is neither the parent's nor a resolver.
    #[error("it neither holds the parent zone nor resolves names")]
    Unknowing,
    /// The zone's own servers hold no DS records.
    #[error("it answers for the zone itself, which holds no DS records")]
    OfZone,
    /// It denies something of a zone that is not above.
    #[error("its empty answer is of a zone that is not above this one")]
    NotAbove,
    /// It is empty and denies nothing.
    #[error(
        "its empty answer has no SOA record, so it may be a referral, and says nothing of DS records"
    )]
    Bare,
    /// There are signatures without what they sign.
    #[error("it answers with signatures alone")]
    SignaturesAlone,
    /// It has a record of another name or type.
    #[error("it answers with a record {0} instead of DS records, or with those of another name")]
    Foreign(Kind),
    /// A DS record cannot be read.
    #[error("a DS record cannot be read, so which key it names is unknown")]
    Unread,
}

impl Answer {
    /// An answer to the question for the DS records of this zone, of which nothing is known yet.
    pub fn about(zone: &DnsName) -> Self {
        Self {
            no_error: false,
            cut: false,
            authoritative: false,
            resolved: false,
            zone: zone.clone(),
            rows: Vec::new(),
            signed: false,
            soa: None,
        }
    }

    /// Takes note of a record of its answer section: the owner in presentation form, the TTL in seconds, and the data as
    /// they are on the wire, which count for DS records alone.
    pub fn note_answer(&mut self, owner: &str, (kind, ttl): (Kind, u32), data: &[u8]) {
        if kind == RRSIG {
            self.signed = true;
            return;
        }
        let ds = Ds::from_data(data).filter(|_| kind == Kind::DS);
        let ttl = Duration::from_secs(ttl.into());
        self.rows.push(Row { place: self.place_of(owner), kind, ttl, ds });
    }

    /// Takes note of a record of its authority section.
    pub fn note_authority(&mut self, owner: &str, kind: Kind) {
        if kind == Kind::SOA && self.soa.is_none() {
            self.soa = Some(self.place_of(owner));
        }
    }

    fn place_of(&self, owner: &str) -> Place {
        let owner = owner.trim_end_matches('.').to_ascii_lowercase();
        match self.zone.as_str().strip_suffix(owner.as_str()) {
            Some("") => Place::Apex,
            Some(below) if owner.is_empty() || below.ends_with('.') => Place::Above,
            _ => Place::Elsewhere,
        }
    }

    /// What it says. Errors: why it says nothing.
    pub fn told(self) -> Result<Told, Unclear> {
        if !self.no_error {
            return Err(Unclear::Failed);
        }
        if self.cut {
            return Err(Unclear::Cut);
        }
        if !self.authoritative && !self.resolved {
            return Err(Unclear::Unknowing);
        }
        match (self.rows.is_empty(), self.signed, self.soa) {
            (false, ..) => {}
            (true, true, _) => return Err(Unclear::SignaturesAlone),
            (true, false, Some(Place::Above)) => return Ok(Told::default()),
            (true, false, Some(Place::Apex)) => return Err(Unclear::OfZone),
            (true, false, Some(Place::Elsewhere)) => return Err(Unclear::NotAbove),
            (true, false, None) => return Err(Unclear::Bare),
        }
        let ttl = self.rows.iter().map(|row| row.ttl).max().filter(|_| self.authoritative);
        let records = self.rows.into_iter().map(Row::record).collect::<Result<_, _>>()?;
        Ok(Told { records, ttl })
    }
}

impl Row {
    fn record(self) -> Result<Ds, Unclear> {
        if self.kind != Kind::DS || self.place != Place::Apex {
            return Err(Unclear::Foreign(self.kind));
        }
        self.ds.ok_or(Unclear::Unread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = "example.test.";

    fn ds(tag: u16) -> Ds {
        Ds { tag, algorithm: 13, digest_type: 2, digest: Vec::from([7; 32]) }
    }

    /// An answer of a server of the parent with these records, which are of this type and end in DS data.
    fn of_parent(rows: &[(&str, u16, Kind, u32)]) -> Answer {
        let zone = DnsName::new("example.test").expect("a name");
        let mut answer = Answer { no_error: true, authoritative: true, ..Answer::about(&zone) };
        for (owner, tag, kind, ttl) in rows {
            answer.note_answer(owner, (*kind, *ttl), &ds(*tag).to_data());
        }
        answer
    }

    fn empty(soa: &str) -> Answer {
        let mut answer = of_parent(&[]);
        answer.note_authority(soa, Kind::NS);
        answer.note_authority(soa, Kind::SOA);
        answer
    }

    #[test]
    fn the_records_are_told_by_anyone_who_knows_and_the_ttl_by_the_parent() {
        let rows = [(ZONE, 7, Kind::DS, 300), ("EXAMPLE.test.", 8, Kind::DS, 60)];
        let told = |ttl| Ok(Told { records: Vec::from([ds(7), ds(8)]), ttl });
        let from_parent = told(Some(Duration::from_secs(300)));
        assert_eq!(of_parent(&rows).told(), from_parent);
        let of_resolver = Answer { authoritative: false, resolved: true, ..of_parent(&rows) };
        assert_eq!(of_resolver.told(), told(None), "what is left of a TTL is no TTL");
        let mut signed = of_parent(&rows);
        signed.note_answer(ZONE, (RRSIG, 5), &[]);
        assert_eq!(signed.told(), from_parent);
        for above in ["test.", "TEST.", "."] {
            assert_eq!(empty(above).told(), Ok(Told::default()), "{above}");
        }
    }

    #[test]
    fn anything_but_a_clear_answer_says_nothing() {
        let right = || of_parent(&[(ZONE, 7, Kind::DS, 300)]);
        let beside = |owner, kind| of_parent(&[(ZONE, 7, Kind::DS, 300), (owner, 8, kind, 1)]);
        let mut signatures = empty("test.");
        signatures.note_answer(ZONE, (RRSIG, 5), &[]);
        let mut unread = right();
        unread.note_answer(ZONE, (Kind::DS, 1), &[0, 7, 13, 2]);
        for (answer, why) in [
            (Answer { no_error: false, ..right() }, Unclear::Failed),
            (Answer { cut: true, ..right() }, Unclear::Cut),
            (Answer { authoritative: false, ..right() }, Unclear::Unknowing),
            (of_parent(&[]), Unclear::Bare),
            (empty("EXAMPLE.test."), Unclear::OfZone),
            (empty("www.example.test."), Unclear::NotAbove),
            (empty("ample.test."), Unclear::NotAbove),
            (empty("other."), Unclear::NotAbove),
            (signatures, Unclear::SignaturesAlone),
            (beside("test.", Kind::DS), Unclear::Foreign(Kind::DS)),
            (beside(ZONE, Kind::CNAME), Unclear::Foreign(Kind::CNAME)),
            (unread, Unclear::Unread),
        ] {
            assert_eq!(answer.told(), Err(why));
        }
    }
}
