//! The keys of a zone through the API: made sealed, shown without secrets, and kept while the parent may need them.

use std::time::Duration;

use holdfast_wire::pb::v1 as pb;
use pb::registry_service_client::RegistryServiceClient;
use tonic::transport::Channel;

use super::fixture::{Node, id, registry, zone};

pub(super) fn change(step: pb::SigningStep) -> pb::ChangeZoneSigningRequest {
    pb::ChangeZoneSigningRequest {
        request_id: id(),
        zone: "example.test".to_owned(),
        step: step.into(),
        ..pb::ChangeZoneSigningRequest::default()
    }
}

async fn shown(client: &mut RegistryServiceClient<Channel>) -> pb::GetZoneSigningResponse {
    let request =
        pb::GetZoneSigningRequest { zone: "example.test".to_owned(), ..Default::default() };
    client.get_zone_signing(request).await.expect("there is a zone").into_inner()
}

/// Says how the zone is to be signed.
pub(super) fn dnssec() -> pb::Dnssec {
    pb::Dnssec {
        algorithm: pb::KeyAlgorithm::Ed25519.into(),
        denial: pb::Denial::Compact.into(),
        validity_ms: 14 * 86_400_000,
        zone_propagation_delay_ms: 300_000,
        parent_propagation_delay_ms: 3_600_000,
    }
}

pub(super) async fn declare(client: &mut RegistryServiceClient<Channel>) {
    let declared = pb::ApplyZoneRequest {
        request_id: id(),
        zone: Some(pb::Zone { dnssec: Some(dnssec()), ..zone() }),
        ..pb::ApplyZoneRequest::default()
    };
    client.apply_zone(declared).await.expect("possible");
}

/// The DS record of a key, which is of Ed25519.
fn ds_of(key: &pb::ZoneKeyEntry) -> pb::Ds {
    pb::Ds { key_tag: key.tag, algorithm: 15, digest_type: 2, digest: key.ds_digest.clone() }
}

#[tokio::test]
async fn a_key_is_made_replaced_and_kept_until_the_parent_lets_it_go() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    let undeclared = client.change_zone_signing(change(pb::SigningStep::Enable)).await;
    assert!(undeclared.expect_err("no `dnssec`").message().contains("does not say how"));
    declare(&mut client).await;
    client.change_zone_signing(change(pb::SigningStep::Enable)).await.expect("declared");
    let first = shown(&mut client).await;
    assert_eq!((first.keys.len(), first.keys[0].public.len()), (1, 32));
    assert!(!first.keys[0].for_parent && first.keys[0].ds_digest.len() == 32);
    // The longest TTL, which is of the service's name servers, five minutes for the agents, and a tenth.
    assert_eq!(first.keys[0].ready_at_ms, Some(first.keys[0].created_at_ms + 363_000));
    assert!(first.awaits.contains("from then on its DS belongs into the parent"), "{first:?}");
    let early = client.change_zone_signing(change(pb::SigningStep::StartRollover)).await;
    assert!(early.expect_err("too early").message().contains("until 2026-01-01T00:06:03"));
    node.replica.pass(Duration::from_secs(400));
    client.change_zone_signing(change(pb::SigningStep::StartRollover)).await.expect("signed");
    let both = shown(&mut client).await;
    let told = |shown: &pb::GetZoneSigningResponse| {
        shown.keys.iter().map(|key| (key.for_parent, key.ready_at_ms.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(told(&both), [(true, false), (false, true)]);
    let asked = pb::GetZoneRequest { zone: "example.test".to_owned(), ..Default::default() };
    let declared = client.get_zone(asked).await.expect("declared").into_inner();
    assert!(u64::from(declared.serial) > declared.revision, "keys are served too: {declared:?}");
    let early = client.change_zone_signing(change(pb::SigningStep::FinishRollover)).await;
    assert!(early.expect_err("too early").message().contains("until 2026-01-01T00:12:43"));
    node.replica.pass(Duration::from_secs(400));
    let seen = || pb::ChangeZoneSigningRequest {
        parent_ds: vec![ds_of(&both.keys[1])],
        parent_ttl_ms: 3_600_000,
        ..change(pb::SigningStep::NoteParent)
    };
    client.change_zone_signing(seen()).await.expect("a note");
    let noted = shown(&mut client).await;
    assert_eq!(told(&noted), [(false, false), (true, false)]);
    assert_eq!(noted.keys[1].seen_at_parent(), pb::SeenAtParent::Yes);
    assert_eq!(noted.parent_faults, [""; 0]);
    let early = client.change_zone_signing(change(pb::SigningStep::FinishRollover)).await;
    assert!(early.expect_err("too early").message().contains("until 2026-01-01T02:25:20"));
    node.replica.pass(Duration::from_secs(2 * 3600 + 720));
    let unseen = client.change_zone_signing(change(pb::SigningStep::FinishRollover)).await;
    assert!(unseen.expect_err("an old look").message().contains("look again"));
    client.change_zone_signing(seen()).await.expect("a note");
    client.change_zone_signing(change(pb::SigningStep::FinishRollover)).await.expect("in time");
    let after = shown(&mut client).await;
    assert_eq!(after.keys.iter().map(|key| key.tag).collect::<Vec<_>>(), [both.keys[1].tag]);
    let undeclaring = pb::ApplyZoneRequest {
        request_id: id(),
        zone: Some(zone()),
        ..pb::ApplyZoneRequest::default()
    };
    let refused = client.apply_zone(undeclaring).await.expect_err("it is signed");
    assert!(refused.message().contains("does not say how"), "{refused:?}");
    let forced = pb::ChangeZoneSigningRequest {
        forced: Some("moved to another name".to_owned()),
        ..change(pb::SigningStep::Disable)
    };
    client.change_zone_signing(forced).await.expect("with a reason");
    assert!(shown(&mut client).await.keys.is_empty());
}

#[tokio::test]
async fn a_ds_of_the_parent_with_another_digest_is_told_for_the_key_and_for_the_zone() {
    let node = Node::start().await;
    let mut client = registry(&node).await;
    declare(&mut client).await;
    client.change_zone_signing(change(pb::SigningStep::Enable)).await.expect("declared");
    let key = shown(&mut client).await.keys.remove(0);
    assert_eq!(key.seen_at_parent(), pb::SeenAtParent::Unspecified);
    let right = ds_of(&key);
    let strange = pb::Ds { digest_type: 3, ..right.clone() };
    let (none, unchecked) = ("name no key of example.test", "not checked: digest type 3");
    for (parent_ds, expected, (faults, first), beside) in [
        (
            vec![pb::Ds { digest: vec![0xaa; 32], ..right.clone() }],
            pb::SeenAtParent::Mistaken,
            (2, none),
            0,
        ),
        (vec![strange.clone()], pb::SeenAtParent::Uncompared, (1, unchecked), 0),
        (
            vec![pb::Ds { key_tag: right.key_tag ^ 1, ..right.clone() }],
            pb::SeenAtParent::No,
            (1, none),
            0,
        ),
        (vec![right.clone()], pb::SeenAtParent::Yes, (0, ""), 0),
        (vec![right.clone(), strange], pb::SeenAtParent::Yes, (0, ""), 1),
    ] {
        let note = pb::ChangeZoneSigningRequest {
            parent_ds,
            parent_ttl_ms: 3_600_000,
            ..change(pb::SigningStep::NoteParent)
        };
        client.change_zone_signing(note).await.expect("a note");
        let shown = shown(&mut client).await;
        assert_eq!(shown.keys[0].seen_at_parent(), expected);
        assert_eq!(shown.parent_faults.len(), faults, "{shown:?}");
        let told = shown.parent_faults.first().map(String::as_str).unwrap_or_default();
        assert!(told.contains(first), "{told}");
        assert_eq!(shown.parent_unchecked.len(), beside, "{shown:?}");
        assert!(shown.parent_unchecked.iter().all(|told| told.contains(unchecked)), "{shown:?}");
        let zones = client.list_zones(pb::ListZonesRequest::default()).await.expect("a list");
        let zone = zones.into_inner().zones.remove(0);
        assert_eq!(zone.parent_faults, shown.parent_faults);
        assert_eq!(zone.parent_unchecked, shown.parent_unchecked);
    }
    let impossible = pb::ChangeZoneSigningRequest {
        parent_ds: vec![pb::Ds { algorithm: 256, ..right }],
        ..change(pb::SigningStep::NoteParent)
    };
    let refused = client.change_zone_signing(impossible).await.expect_err("one byte");
    assert!(refused.message().contains("parent_ds"), "{refused:?}");
}
