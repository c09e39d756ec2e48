//! The keys that sign zones, of RegistryService: made and sealed here, before anything leaves the node that was asked.

use std::time::Duration;

use holdfast_core::signing::ds::{Ds, Fit};
use holdfast_core::signing::{Signing, SigningChange, ZoneKey};
use holdfast_core::spec::KeyAlgorithm;
use holdfast_core::{Command, DnsName, Timestamp};
use holdfast_sign::{SigningKey, new_secret};
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;
use tonic::{Code, Status};

use super::named;
use super::registry::Registry;
use crate::caller::Call;
use crate::refusal::Refusal;

impl Registry {
    pub(super) async fn write_signing(
        &self,
        call: Call<pb::ChangeZoneSigningRequest>,
    ) -> Result<pb::ChangeZoneSigningResponse, Status> {
        let command = self.step(&call.body);
        let changed = self.0.change(&call, &call.body.request_id, command).await?;
        Ok(pb::ChangeZoneSigningResponse { index: changed.index })
    }

    fn step(&self, request: &pb::ChangeZoneSigningRequest) -> Result<Command, Refusal> {
        let zone: DnsName = named("zone", &request.zone)?;
        let forced = request.forced.clone();
        let change = match request.step() {
            pb::SigningStep::Unspecified => {
                return Err(Refusal::field("step", "say what is to be done"));
            }
            pb::SigningStep::Enable => SigningChange::Enable(self.new_key(&zone)?),
            pb::SigningStep::StartRollover => SigningChange::StartRollover(self.new_key(&zone)?),
            pb::SigningStep::NoteParent => SigningChange::NoteParent {
                records: records_of(&request.parent_ds)?,
                ttl: Duration::from_millis(request.parent_ttl_ms),
            },
            pb::SigningStep::FinishRollover => SigningChange::FinishRollover { forced },
            pb::SigningStep::AbandonRollover => SigningChange::AbandonRollover { forced },
            pb::SigningStep::Disable => SigningChange::Disable { forced },
        };
        Ok(Command::ChangeSigning { zone, change })
    }

    /// A new key of the algorithm that the zone declares, its private part sealed.
    fn new_key(&self, zone: &DnsName) -> Result<ZoneKey, Refusal> {
        let view = self.0.latest();
        let declared = view.zones.get(zone).and_then(|(zone, _)| zone.dnssec.clone());
        let algorithm: KeyAlgorithm = declared.unwrap_or_default().algorithm;
        let sealer = &self.0.deps.sealer;
        let secret = new_secret(algorithm, sealer.entropy());
        let refused = |problem: String| {
            Refusal::new(
                Code::FailedPrecondition,
                "NO_SEALING_KEY",
                "the private key cannot be sealed",
                problem,
            )
        };
        let signing = SigningKey::of(algorithm, &secret).map_err(|e| refused(e.to_string()))?;
        let sealed = sealer.seal(&secret, &ZoneKey::sealing_context(zone));
        Ok(ZoneKey {
            algorithm,
            public: signing.public().to_vec(),
            private: sealed.map_err(|error| refused(error.to_string()))?,
            created: Timestamp(0),
        })
    }

    pub(super) async fn read_signing(
        &self,
        call: Call<pb::GetZoneSigningRequest>,
    ) -> Result<pb::GetZoneSigningResponse, Status> {
        let name = named("zone", &call.body.zone)?;
        let view = self.0.view(call.body.consistency, call.within).await?;
        let found = view.answers.zones.get(&name);
        let zone = found.ok_or_else(|| Refusal::not_found("zone", &call.body.zone))?;
        let (signing, delays) = (&zone.signing, zone.zone.propagation_delays());
        let entry = |key: &ZoneKey| pb::ZoneKeyEntry {
            tag: key.tag().into(),
            algorithm: key.algorithm.to_proto(),
            created_at_ms: key.created.0,
            ds_digest: Ds::of(&name, key).digest,
            public: key.public.clone(),
            for_parent: signing.for_parent().iter().any(|one| one.tag() == key.tag()),
            ready_at_ms: signing.due_of(key, delays).map(|due| due.0),
            seen_at_parent: seen_at_parent(signing.seen_of(&name, key)).into(),
        };
        Ok(pb::GetZoneSigningResponse {
            dnssec: zone.zone.dnssec.as_ref().map(holdfast_wire::Convert::to_proto),
            keys: signing.keys.iter().map(entry).collect(),
            parent: signing.parent.as_ref().map(|parent| pb::ZoneParent {
                records: parent.records.iter().map(holdfast_wire::Convert::to_proto).collect(),
                ttl_ms: holdfast_core::time::millis(parent.ttl),
                since_ms: parent.since.0,
                seen_at_ms: parent.seen_at.map(|at| at.0),
            }),
            index: view.answers.index,
            awaits: signing.awaits(&name, delays, view.answers.at).unwrap_or_default(),
            parent_faults: parent_faults(signing, &name),
            parent_unchecked: signing.parent_unchecked(&name),
            abandoning_awaits: signing
                .abandoning_awaits(&name, delays, view.answers.at)
                .unwrap_or_default(),
        })
    }
}

/// What is wrong with the DS records that the parent of a zone was last seen to have.
pub(super) fn parent_faults(signing: &Signing, apex: &DnsName) -> Vec<String> {
    signing.parent_faults(apex).iter().map(|fault| fault.text().to_owned()).collect()
}

fn seen_at_parent(fit: Option<Fit>) -> pb::SeenAtParent {
    match fit {
        None => pb::SeenAtParent::Unspecified,
        Some(Fit::Apart) => pb::SeenAtParent::No,
        Some(Fit::Names) => pb::SeenAtParent::Yes,
        Some(Fit::Mistaken) => pb::SeenAtParent::Mistaken,
        Some(Fit::Uncompared) => pb::SeenAtParent::Uncompared,
    }
}

fn records_of(records: &[pb::Ds]) -> Result<Vec<Ds>, Refusal> {
    let records: Result<_, _> = records.iter().cloned().map(Ds::from_proto).collect();
    records.map_err(|error| Refusal::field("parent_ds", error.to_string()))
}
