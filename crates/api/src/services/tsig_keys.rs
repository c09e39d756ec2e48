//! TSIG keys of RegistryService: their secrets are sealed here, before anything leaves the node that was asked.

use holdfast_core::tsig::{TsigAlgorithm, TsigKey};
use holdfast_core::{Command, DnsName};
use holdfast_seal::SealError;
use holdfast_wire::pb::v1 as pb;
use tonic::{Code, Status};

use super::named;
use super::registry::Registry;
use crate::caller::Call;
use crate::refusal::Refusal;

impl Registry {
    pub(super) async fn write_tsig_key(
        &self,
        call: Call<pb::ApplyTsigKeyRequest>,
    ) -> Result<pb::ApplyTsigKeyResponse, Status> {
        let command = self.sealed(&call.body);
        let changed = self.0.change(&call, &call.body.request_id, command).await?;
        Ok(pb::ApplyTsigKeyResponse { index: changed.index })
    }

    fn sealed(&self, request: &pb::ApplyTsigKeyRequest) -> Result<Command, Refusal> {
        let name: DnsName = named("name", &request.name)?;
        let algorithm: TsigAlgorithm = request
            .algorithm
            .parse()
            .map_err(|problem: String| Refusal::field("algorithm", problem))?;
        if request.secret.len() < TsigKey::MIN_SECRET {
            let problem = format!("a secret has at least {} bytes", TsigKey::MIN_SECRET);
            return Err(Refusal::field("secret", problem));
        }
        let sealed = self.0.deps.sealer.seal(&request.secret, &TsigKey::context(&name));
        let secret = sealed.map_err(|error| match error {
            SealError::TooLong => Refusal::field("secret", error.to_string()),
            _ => Refusal::new(
                Code::FailedPrecondition,
                "NO_SEALING_KEY",
                "the secret cannot be sealed",
                error.to_string(),
            ),
        })?;
        let (key, replace) = (TsigKey { algorithm, secret }, request.replace);
        Ok(Command::ApplyTsigKey { name, key, replace })
    }

    pub(super) async fn read_tsig_keys(
        &self,
        call: Call<pb::ListTsigKeysRequest>,
    ) -> Result<pb::ListTsigKeysResponse, Status> {
        let view = self.0.view(call.body.consistency, call.within).await?;
        let keys = view.answers.tsig_keys.iter().map(|(name, key)| pb::TsigKeyEntry {
            name: name.to_string(),
            algorithm: key.algorithm.to_string(),
        });
        Ok(pb::ListTsigKeysResponse { keys: keys.collect(), index: view.answers.index })
    }
}
