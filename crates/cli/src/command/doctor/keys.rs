//! Are there the TSIG keys that zones name? A key may be added after the zone that names it, so a declaration is taken
//! without it; until then transfers, updates and notices that should be signed with it are refused.

use holdfast_wire::pb::v1 as pb;

use super::Finding;
use crate::client::Client;
use crate::command::apply::missing_key;
use crate::command::zone;
use crate::failure::Failure;
use crate::words;

/// The keys that zones name and nobody added.
pub(super) async fn missing(client: &Client) -> Vec<Finding> {
    judge(zone::list(client, true).await)
}

fn judge(listed: Result<pb::ListZonesResponse, Failure>) -> Vec<Finding> {
    let zones = match listed {
        Ok(answer) => answer.zones,
        Err(failure) => {
            let text = format!("the zones could not be listed: {}", failure.message());
            return vec![Finding::bad("keys", text, "holdfast zone list --stale")];
        }
    };
    let missing = zones.iter().flat_map(|zone| {
        zone.missing_keys.iter().map(|one| {
            let next = format!("holdfast tsig add {}, or take it out of the manifest", one.key);
            Finding::warning("keys", missing_key(&zone.name, one), next)
        })
    });
    let mut findings: Vec<Finding> = missing.collect();
    if findings.is_empty() {
        let zones = words::count(zones.len(), "zone");
        findings.push(Finding::ok("keys", format!("{zones} name no TSIG key that does not exist")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_key_that_a_zone_names_and_nobody_added_is_to_be_looked_at() {
        let zone = |missing_keys| pb::ZoneEntry {
            name: "example.test".to_owned(),
            missing_keys,
            ..pb::ZoneEntry::default()
        };
        let listed = |missing| {
            let zones = vec![zone(missing)];
            judge(Ok(pb::ListZonesResponse { zones, index: 3 }))
        };
        assert_eq!(listed(vec![])[0].level, Level::Ok);
        let (field, key) = ("transfer.keys".to_owned(), "xfr.test".to_owned());
        let found = listed(vec![pb::MissingKey { field, key }]);
        assert_eq!((found.len(), found[0].level), (1, Level::Warning));
        assert!(found[0].text.contains("transfer.keys names TSIG key xfr.test"), "{found:?}");
        let next = found[0].next.as_deref().unwrap_or_default();
        assert!(next.contains("holdfast tsig add xfr.test"), "{next}");
        assert_eq!(judge(Err(Failure::error("nobody answers")))[0].level, Level::Bad);
    }
}
