//! `dnssec` of a zone's manifest, and the way there and back.

use holdfast_core::spec::{Denial, Dnssec, KeyAlgorithm, PropagationDelays};
use serde::{Deserialize, Serialize};

use super::duration::Span;

/// How a zone is signed; `{}` takes every default.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DnssecForm {
    algorithm: AlgorithmForm,
    denial: DenialForm,
    validity: Span,
    zone_propagation_delay: Span,
    parent_propagation_delay: Span,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum AlgorithmForm {
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    #[serde(rename = "ed25519")]
    Ed25519,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DenialForm {
    Compact,
    Nsec3,
}

impl Default for DnssecForm {
    fn default() -> Self {
        Self::from(&Dnssec::default())
    }
}

impl From<&Dnssec> for DnssecForm {
    fn from(dnssec: &Dnssec) -> Self {
        Self {
            algorithm: match dnssec.algorithm {
                KeyAlgorithm::EcdsaP256 => AlgorithmForm::EcdsaP256,
                KeyAlgorithm::Ed25519 => AlgorithmForm::Ed25519,
            },
            denial: match dnssec.denial {
                Denial::Compact => DenialForm::Compact,
                Denial::Nsec3 => DenialForm::Nsec3,
            },
            validity: Span(dnssec.validity),
            zone_propagation_delay: Span(dnssec.delays.zone),
            parent_propagation_delay: Span(dnssec.delays.parent),
        }
    }
}

impl From<DnssecForm> for Dnssec {
    fn from(form: DnssecForm) -> Self {
        Self {
            algorithm: match form.algorithm {
                AlgorithmForm::EcdsaP256 => KeyAlgorithm::EcdsaP256,
                AlgorithmForm::Ed25519 => KeyAlgorithm::Ed25519,
            },
            denial: match form.denial {
                DenialForm::Compact => Denial::Compact,
                DenialForm::Nsec3 => Denial::Nsec3,
            },
            validity: form.validity.0,
            delays: PropagationDelays {
                zone: form.zone_propagation_delay.0,
                parent: form.parent_propagation_delay.0,
            },
        }
    }
}
