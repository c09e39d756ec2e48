//! Says what is wrong with the DS records of signed zones, as `holdfast zone dnssec` last saw them at their parents.
//!
//! A parent whose records name no key of a zone has every validating resolver refuse it, while agents answer as ever: no
//! other check finds that. Parents are not asked here, because which server tells what they say is the caller's to
//! choose; `holdfast dns propagation` asks them.

use holdfast_wire::pb::v1 as pb;

use super::Finding;
use crate::client::Client;
use crate::command::zone;

const CHECK: &str = "dnssec";

/// Do the DS records that parents were seen to have name the keys of their zones?
pub(super) async fn parents(client: &Client) -> Vec<Finding> {
    match zone::list(client, true).await {
        Ok(answer) => judge(&answer.zones),
        Err(failure) => {
            let text = format!("the zones cannot be listed: {}", failure.message());
            vec![Finding::warning(CHECK, text, "holdfast zone list")]
        }
    }
}

fn judge(zones: &[pb::ZoneEntry]) -> Vec<Finding> {
    let wrong = zones.iter().flat_map(|zone| zone.parent_faults.iter().map(move |f| (zone, f)));
    let finding = |(zone, fault): (&pb::ZoneEntry, &String)| {
        let next = format!(
            "once it is mended, look again: holdfast dns propagation {0}, or the step of holdfast zone dnssec that is due; \
             holdfast zone dnssec status {0} shows what was last seen",
            zone.name
        );
        Finding::bad(CHECK, format!("the parent of {} {fault}", zone.name), next)
    };
    let mut findings: Vec<Finding> = wrong.map(finding).collect();
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "no parent was seen with DS records that do not fit"));
    }
    let unchecked = zones.iter().flat_map(|zone| {
        let told = |record: &String| format!("the parent of {} {record}", zone.name);
        zone.parent_unchecked.iter().map(told).map(|text| Finding::ok(CHECK, text))
    });
    findings.extend(unchecked);
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn zone(name: &str, faults: &[&str]) -> pb::ZoneEntry {
        pb::ZoneEntry {
            name: name.to_owned(),
            parent_faults: faults.iter().map(ToString::to_string).collect(),
            ..pb::ZoneEntry::default()
        }
    }

    #[test]
    fn a_parent_whose_records_do_not_fit_is_bad_and_named() {
        let well = judge(&[zone("a.test", &[]), zone("b.test", &[])]);
        assert_eq!((well.len(), well[0].level), (1, Level::Ok));
        let found = judge(&[zone("a.test", &[]), zone("b.test", &["has DS records that fit not"])]);
        assert_eq!((found.len(), found[0].level), (1, Level::Bad));
        assert_eq!(found[0].text, "the parent of b.test has DS records that fit not");
        assert!(found[0].next.as_ref().is_some_and(|next| next.contains("status b.test")));
    }

    #[test]
    fn a_record_that_cannot_be_checked_beside_one_that_fits_is_told_and_not_bad() {
        let parent_unchecked = vec!["has the DS record 1 15 3 AB, not checked".to_owned()];
        let found = judge(&[pb::ZoneEntry { parent_unchecked, ..zone("a.test", &[]) }]);
        assert!(found.iter().all(|finding| finding.level == Level::Ok), "{found:?}");
        assert_eq!(found[1].text, "the parent of a.test has the DS record 1 15 3 AB, not checked");
    }
}
