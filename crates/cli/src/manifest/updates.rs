//! `updates` of a zone's manifest, and the way there and back. `@` is the apex; `*.` and a name is everything below it.

use holdfast_core::DnsName;
use holdfast_core::PoolName;
use holdfast_core::spec::{Kind, Registers, SpecError, UpdateRule};
use serde::{Deserialize, Serialize};

/// A rule under `updates` of a zone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateForm {
    key: DnsName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    types: Vec<TypeForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registers: Option<RegistersForm>,
}

/// What addresses at the names of services are registered as.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistersForm {
    pool: PoolName,
    port: u16,
}

/// A type of records by its name, such as `TXT` or `TYPE52`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct TypeForm(Kind);

impl TryFrom<String> for TypeForm {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}
impl From<TypeForm> for String {
    fn from(form: TypeForm) -> Self {
        form.0.to_string()
    }
}

impl UpdateForm {
    /// The rule, in the zone of this apex.
    pub(super) fn into_rule(self, apex: &DnsName) -> Result<UpdateRule, SpecError> {
        let name = |text: &String| match text.as_str() {
            "@" => Ok(apex.clone()),
            text => DnsName::new(text).map_err(|error| SpecError {
                field: format!("updates.names[{text}]"),
                problem: error.to_string(),
            }),
        };
        Ok(UpdateRule {
            key: self.key,
            names: self.names.iter().map(name).collect::<Result<_, _>>()?,
            types: self.types.into_iter().map(|form| form.0).collect(),
            registers: self.registers.map(|RegistersForm { pool, port }| Registers { pool, port }),
        })
    }
}

impl From<&UpdateRule> for UpdateForm {
    fn from(rule: &UpdateRule) -> Self {
        Self {
            key: rule.key.clone(),
            names: rule.names.iter().map(ToString::to_string).collect(),
            types: rule.types.iter().copied().map(TypeForm).collect(),
            registers: rule
                .registers
                .clone()
                .map(|Registers { pool, port }| RegistersForm { pool, port }),
        }
    }
}
