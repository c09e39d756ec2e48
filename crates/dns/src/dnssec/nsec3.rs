//! The chain of hashed names of a zone (RFC 5155), kept from publication to publication: SHA-1, no salt, no further
//! iterations (RFC 9276). What stands at a name is looked up when it is asked for, so only names that come and go
//! change the chain.

use std::ops::Bound;

use data_encoding::BASE32_DNSSEC;
use holdfast_core::view::Answers;
use holdfast_core::{DnsName, SharedMap};
use ring::digest;

use super::existence::{exists, is_below_cut, is_cut};
use crate::handler::status;
use crate::table::names_within;

pub(super) type Hash = [u8; 20];

/// The names of a zone by their hashes.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain(SharedMap<Hash, DnsName>);

/// A record of the chain: the hash that it stands at, its name, and the next hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) hash: Hash,
    pub(super) name: DnsName,
    pub(super) next: Hash,
}

pub(super) fn hash_of(name: &[u8]) -> Hash {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, name);
    hash.as_ref().try_into().expect("SHA-1 has 20 bytes")
}

impl Chain {
    /// The chain of a zone.
    pub(super) fn of(answers: &Answers, apex: &DnsName) -> Self {
        let mut chain = Self::default();
        chain.0.insert(hash_of(&apex.to_wire()), apex.clone());
        if let Ok(status) = apex.child(status::LABEL) {
            chain.update(answers, apex, &status);
        }
        for name in names_within(answers, apex) {
            chain.update(answers, apex, &name);
        }
        chain
    }

    /// The chain of the same zone in a later view, made from what differs: names that came or went, and all that is
    /// below a delegation or another zone's apex that did.
    pub(super) fn next(&self, before: &Answers, answers: &Answers, apex: &DnsName) -> Self {
        let mut next = self.clone();
        for (name, was, now) in before.names.differences(&answers.names) {
            next.update(answers, apex, name);
            if is_cut(was.map(|was| &**was)) != is_cut(now.map(|now| &**now)) {
                next.update_within((before, answers), apex, name);
            }
        }
        for (name, was, now) in before.zones.differences(&answers.zones) {
            if was.is_some() != now.is_some() {
                next.update(answers, apex, name);
                next.update_within((before, answers), apex, name);
            }
        }
        next
    }

    fn update_within(&mut self, views: (&Answers, &Answers), apex: &DnsName, top: &DnsName) {
        if top == apex || !top.is_within(apex) {
            return;
        }
        for view in [views.0, views.1] {
            for name in names_within(view, top) {
                self.update(views.1, apex, &name);
            }
        }
    }

    /// Puts a name and those above it in or out, as they are in this view.
    fn update(&mut self, answers: &Answers, apex: &DnsName, name: &DnsName) {
        let mut next = Some(name.clone());
        while let Some(here) = next.filter(|here| here != apex && here.is_within(apex)) {
            let hash = hash_of(&here.to_wire());
            if exists(answers, apex, &here) && !is_below_cut(answers, apex, &here) {
                self.0.insert(hash, here.clone());
            } else {
                self.0.remove(&hash);
            }
            next = here.parent();
        }
    }

    /// The record at this hash, or the one whose gap holds it.
    pub(super) fn link(&self, hash: &Hash) -> Option<Link> {
        let (found, name) = self.0.last_up_to(hash).or_else(|| {
            // Before the first: in the gap from the last to the first.
            self.0.last_up_to(&[0xff; 20])
        })?;
        let after = self.0.iter_from(Bound::Excluded(found)).next();
        let next = after.or_else(|| self.0.iter().next()).map(|(next, _)| *next)?;
        Some(Link { hash: *found, name: name.clone(), next })
    }
}

impl Link {
    /// The record's owner.
    pub(super) fn owner(&self, apex: &[u8]) -> Vec<u8> {
        let label = BASE32_DNSSEC.encode(&self.hash);
        [&[label.len() as u8], label.as_bytes(), apex].concat()
    }

    /// The record's data before the types.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = vec![1, 0, 0, 0, 0, self.next.len() as u8];
        head.extend_from_slice(&self.next);
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5155, appendix B has a salt; without one: ldns-nsec3-hash -t 0 example.
    #[test]
    fn a_hash_is_one_sha_1() {
        assert_eq!(BASE32_DNSSEC.encode(&hash_of(b"\x07example\0")).len(), 32);
        assert_ne!(hash_of(b"\x07example\0"), hash_of(b"\x07exampl3\0"));
    }

    #[test]
    fn gaps_are_closed_to_a_ring() {
        let mut chain = Chain::default();
        let name = |text: &str| DnsName::new(text).expect("valid");
        for (first, text) in [(10, "a.test"), (20, "b.test"), (30, "c.test")] {
            chain.0.insert([first; 20], name(text));
        }
        for (asked, at, next) in
            [(20, 20, 30), (25, 20, 30), (30, 30, 10), (40, 30, 10), (5, 30, 10)]
        {
            let link = chain.link(&[asked; 20]).expect("not empty");
            assert_eq!((link.hash, link.next), ([at; 20], [next; 20]), "{asked}");
        }
        chain.0.remove(&[20; 20]);
        assert_eq!(chain.link(&[25; 20]).expect("not empty").next, [30; 20]);
        assert_eq!(chain.link(&[25; 20]).expect("not empty").hash, [10; 20]);
    }
}
