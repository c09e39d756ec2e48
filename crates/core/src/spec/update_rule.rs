//! Who may change a zone's records by dynamic updates (RFC 2136), and which: rules of a key, names and types.
//!
//! Nothing is open unless it is declared: a zone without rules takes no update. What is declared and what holds the zone
//! itself together (SOA, the apex's NS, what signing makes) is no rule's to give. A rule gives records, or it registers:
//! then addresses at the names of services are endpoints of a pool.

use alloc::format;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Kind, SpecError, Zone, spec_error};
use crate::id::PoolName;
use crate::name::DnsName;

/// Types that a rule gives only where it names them: they cut names off from the zone, or speak for its keys.
const BY_NAME_ONLY: [Kind; 7] = [
    Kind::NS,
    Kind::DNAME,
    Kind::DS,
    // DNSKEY, CDS, CDNSKEY and CSYNC.
    Kind(48),
    Kind(59),
    Kind(60),
    Kind(62),
];

/// What the holder of a key may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRule {
    /// The name of the TSIG key that an update is signed with.
    pub key: DnsName,
    /// Names within the zone: one such as `a.example.org` is itself alone, `*.a.example.org` is everything below it.
    /// Empty is the whole zone.
    pub names: Vec<DnsName>,
    /// Types of records; empty is all but NS, DNAME, DS, DNSKEY, CDS, CDNSKEY and CSYNC.
    pub types: Vec<Kind>,
    /// What its A and AAAA records at the names of services come to be; such a rule gives no records at other names.
    pub registers: Option<Registers>,
}

/// What addresses at the name of a service are registered as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    /// The pool that they are endpoints of. A service that has none of this name takes no addresses.
    pub pool: PoolName,
    /// Their port, 1–65535.
    pub port: u16,
}

impl UpdateRule {
    /// The most rules of a zone, names of a rule, and types of a rule.
    pub const MAX_PARTS: usize = 64;

    /// Whether the holder of `key` may change records of this type at this name.
    pub fn permits(&self, key: &DnsName, name: &DnsName, kind: Kind) -> bool {
        let typed = match self.types.is_empty() {
            true => is_possible(kind) && !BY_NAME_ONLY.contains(&kind),
            false => self.types.contains(&kind),
        };
        self.registers.is_none() && self.key == *key && typed && self.covers(name)
    }

    fn covers(&self, name: &DnsName) -> bool {
        self.names.is_empty() || self.names.iter().any(|pattern| covers(pattern, name))
    }

    fn validate(&self, apex: &DnsName) -> Result<(), SpecError> {
        few("updates.names", self.names.len())?;
        few("updates.types", self.types.len())?;
        if let Some(outside) = self.names.iter().find(|name| !name.is_within(apex)) {
            return Err(spec_error("updates.names", format!("{outside} lies outside {apex}")));
        }
        if let Some(registers) = &self.registers {
            return registers.validate(&self.types);
        }
        match self.types.iter().find(|kind| !is_possible(**kind)) {
            Some(kind) => {
                let problem = format!("records of type {kind} are no client's to change");
                Err(spec_error("updates.types", problem))
            }
            None => Ok(()),
        }
    }
}

impl Registers {
    fn validate(&self, types: &[Kind]) -> Result<(), SpecError> {
        if self.port == 0 {
            return Err(spec_error("updates.registers.port", "must be 1 to 65535"));
        }
        if types.is_empty() {
            return Ok(());
        }
        let problem =
            "endpoints are A and AAAA records; leave `types` out, or give records by another rule";
        Err(spec_error("updates.types", problem))
    }
}

/// Whether a name is the pattern, or below the name behind the pattern's `*.`.
fn covers(pattern: &DnsName, name: &DnsName) -> bool {
    match pattern.parent().filter(|_| pattern.as_str().starts_with("*.")) {
        Some(above) => name.is_within(&above) && *name != above,
        None => name == pattern,
    }
}

/// Whether a client can be given a type at all.
fn is_possible(kind: Kind) -> bool {
    !kind.is_meta() && !kind.is_made_by_signing() && !matches!(kind, Kind::SOA | Kind::ALIAS)
}

impl Zone {
    /// Whether the holder of `key` may change records of this type at this name, as far as the rules go.
    pub fn permits_update(&self, key: &DnsName, name: &DnsName, kind: Kind) -> bool {
        name.is_within(&self.name) && self.updates.iter().any(|rule| rule.permits(key, name, kind))
    }

    /// Whether a rule names this key for any records at this name.
    pub fn permits_some_update(&self, key: &DnsName, name: &DnsName) -> bool {
        let gives = |rule: &UpdateRule| rule.registers.is_none() && rule.key == *key;
        self.updates.iter().any(|rule| gives(rule) && rule.covers(name))
    }

    /// What the holder of `key` registers addresses as, at the name of a service: by the first rule that says.
    pub fn registers(&self, key: &DnsName, name: &DnsName) -> Option<&Registers> {
        let rules = self.updates.iter().filter(|rule| rule.key == *key && rule.covers(name));
        rules.into_iter().find_map(|rule| rule.registers.as_ref())
    }

    pub(super) fn validate_updates(&self) -> Result<(), SpecError> {
        if self.primaries.is_some() && !self.updates.is_empty() {
            let problem = "records come from the primaries, so updates go there; remove `updates` or `primaries`";
            return Err(spec_error("updates", problem));
        }
        few("updates", self.updates.len())?;
        self.updates.iter().try_for_each(|rule| rule.validate(&self.name))
    }
}

fn few(field: &str, count: usize) -> Result<(), SpecError> {
    let most = UpdateRule::MAX_PARTS;
    if count <= most { Ok(()) } else { Err(spec_error(field, format!("at most {most}"))) }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use core::time::Duration;

    use super::*;
    use crate::spec::Soa;

    fn name(text: &str) -> DnsName {
        DnsName::new(text).expect("valid")
    }

    fn rule(names: &[&str], types: &[Kind]) -> UpdateRule {
        let names = names.iter().map(|text| name(text)).collect();
        UpdateRule { key: name("k"), names, types: types.into(), registers: None }
    }

    fn registering(names: &[&str], types: &[Kind], port: u16) -> UpdateRule {
        let pool = "eu".parse().expect("a label");
        UpdateRule { registers: Some(Registers { pool, port }), ..rule(names, types) }
    }

    #[test]
    fn a_name_is_itself_and_a_star_is_everything_below() {
        for (pattern, asked, covered) in [
            ("a.z.test", "a.z.test", true),
            ("a.z.test", "b.a.z.test", false),
            ("*.a.z.test", "a.z.test", false),
            ("*.a.z.test", "b.a.z.test", true),
            ("*.a.z.test", "c.b.a.z.test", true),
            ("*.a.z.test", "*.a.z.test", true),
            ("*.a.z.test", "ba.z.test", false),
        ] {
            let permitted = rule(&[pattern], &[]).permits(&name("k"), &name(asked), Kind::A);
            assert_eq!(permitted, covered, "{pattern} {asked}");
        }
        assert!(rule(&[], &[]).permits(&name("k"), &name("z.test"), Kind::TXT));
        assert!(!rule(&[], &[]).permits(&name("other"), &name("z.test"), Kind::TXT));
    }

    #[test]
    fn what_holds_a_zone_together_is_given_by_name_or_not_at_all() {
        let holds = |rule: &UpdateRule, kind| rule.permits(&name("k"), &name("a.z.test"), kind);
        let all = rule(&[], &[]);
        for kind in [Kind::A, Kind::AAAA, Kind::TXT, Kind::CNAME, Kind::SRV, Kind(52)] {
            assert!(holds(&all, kind), "{kind}");
        }
        for kind in [Kind::NS, Kind::DS, Kind::DNAME, Kind(48), Kind::SOA, Kind::ANY, Kind::ALIAS] {
            assert!(!holds(&all, kind), "{kind}");
        }
        let named = rule(&[], &[Kind::NS]);
        assert!(holds(&named, Kind::NS) && !holds(&named, Kind::A));
    }

    #[test]
    fn a_rule_gives_records_or_registers() {
        let soa = Soa::new(name("hostmaster.z.test"));
        let mut zone = Zone::new(name("z.test"), soa, Vec::new(), Duration::from_secs(60));
        zone.updates = [registering(&["*.z.test"], &[], 443), rule(&["a.z.test"], &[])].into();
        let (k, a, b) = (name("k"), name("a.z.test"), name("b.z.test"));
        assert!(zone.permits_update(&k, &a, Kind::A) && zone.permits_some_update(&k, &a));
        assert!(!zone.permits_update(&k, &b, Kind::A) && !zone.permits_some_update(&k, &b));
        assert!(zone.registers(&k, &a).is_some() && zone.registers(&k, &b).is_some());
        assert!(zone.registers(&k, &name("z.test")).is_none());
        assert!(zone.registers(&name("other"), &b).is_none());
    }

    #[test]
    fn impossible_rules_are_refused() {
        let apex = name("z.test");
        assert!(rule(&["*.a.z.test"], &[Kind::TXT, Kind::NS]).validate(&apex).is_ok());
        for (bad, why) in [
            (rule(&["a.other.test"], &[]), "lies outside z.test"),
            (rule(&[], &[Kind::SOA]), "type SOA"),
            (rule(&[], &[Kind(46)]), "type RRSIG"),
            (rule(&[], &[Kind::ALIAS]), "type ALIAS"),
            (rule(&[], &[Kind::A; 65]), "at most 64"),
            (registering(&[], &[], 0), "1 to 65535"),
            (registering(&[], &[Kind::A], 80), "leave `types` out"),
        ] {
            let error = bad.validate(&apex).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
