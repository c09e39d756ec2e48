//! Manifests: services and zones as files, in YAML or, with the same keys, in TOML.
//!
//! ```text
//! text ─▶ serde: shape, names, durations, addresses (line and column)
//!      ─▶ form ─▶ defaults ─▶ core spec ─▶ the core's own validation (field)
//! ```
//!
//! Unknown keys are refused, so that a typing error never becomes a default. A YAML file may hold several
//! documents; a TOML file holds one. Exporting writes every value out, defaults included, and reads back to the same
//! specification. Nothing is sent from here.

mod check;
mod dnssec;
pub(crate) mod duration;
mod policy;
mod primaries;
mod service;
mod text;
mod transfer;
mod updates;
mod zone;

use std::fmt;
use std::path::{Path, PathBuf};

use holdfast_core::spec::{Service, SpecError, Zone};
use holdfast_core::{DnsName, ServiceId};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::service::ServiceForm;
use self::zone::ZoneForm;

/// The only version there is.
const API_VERSION: &str = "holdfast/v1";
/// The keys of a document.
const KEYS: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];
/// The largest manifest file.
const MAX_BYTES: usize = 32 << 20;
/// Nodes of a YAML file: a zone of 100,000 records fits.
const MAX_NODES: usize = 4_000_000;

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Manifest {
    /// `kind: Service`.
    Service(Service),
    /// `kind: Zone`.
    Zone(Zone),
}

/// The language of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// YAML 1.2, one or more documents.
    Yaml,
    /// TOML, one document.
    Toml,
}

/// Why a manifest cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ManifestError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file's name does not say what it is.
    #[error("{}: the name must end in .yaml, .yml or .toml", path.display())]
    UnknownFormat { path: PathBuf },
    /// The file is too large.
    #[error("{bytes} bytes, at most {MAX_BYTES} are read; split the file")]
    TooLarge { bytes: usize },
    /// There is nothing in the file.
    #[error("there is no document; begin with apiVersion: {API_VERSION} and kind: Service or Zone")]
    Empty,
    /// The text is not of the right shape.
    #[error("{place}{message}")]
    Shape { place: Place, message: String },
    /// The shape is right, and what it says is not possible.
    #[error("document {number} ({what}): {error}")]
    Impossible { number: usize, what: String, error: SpecError },
    /// The specification cannot be written in this language.
    #[error("cannot be written: {0}")]
    Export(String),
    /// In which file it is.
    #[error("{}: {error}", path.display())]
    In { path: PathBuf, error: Box<ManifestError> },
}

/// Where in a text; a document that lacks a key as a whole has no line to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(Option<(u64, u64)>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((line, column)) => write!(f, "line {line}, column {column}: "),
            None => Ok(()),
        }
    }
}

/// The manifests of a file; its name says the language.
pub(crate) fn read(path: &Path) -> Result<Vec<Manifest>, ManifestError> {
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => Format::Yaml,
        Some("toml") => Format::Toml,
        Some(_) | None => return Err(ManifestError::UnknownFormat { path: path.to_path_buf() }),
    };
    let text = std::fs::read_to_string(path)
        .map_err(|source| ManifestError::Read { path: path.to_path_buf(), source })?;
    let base = path.parent().unwrap_or(Path::new(""));
    parse(&text, format, base)
        .map_err(|error| ManifestError::In { path: path.to_path_buf(), error: Box::new(error) })
}

/// The manifests in a text; files that it names are looked for beside `base`.
pub(crate) fn parse(
    text: &str,
    format: Format,
    base: &Path,
) -> Result<Vec<Manifest>, ManifestError> {
    if text.len() > MAX_BYTES {
        return Err(ManifestError::TooLarge { bytes: text.len() });
    }
    let documents = match format {
        Format::Yaml => parse_yaml(text)?,
        Format::Toml => vec![toml::from_str(text).map_err(|e| toml_error(text, &e))?],
    };
    if documents.is_empty() {
        return Err(ManifestError::Empty);
    }
    let numbered = documents.into_iter().enumerate();
    numbered.map(|(i, document)| document.into_manifest(i + 1, base)).collect()
}

/// The text that reads back to `manifests`, every value written out.
pub(crate) fn export(manifests: &[Manifest], format: Format) -> Result<String, ManifestError> {
    let failed = |e: &dyn fmt::Display| ManifestError::Export(e.to_string());
    let documents: Vec<Document> = manifests.iter().map(Document::from).collect();
    match (format, documents.as_slice()) {
        (Format::Yaml, documents) => {
            let texts: Result<Vec<String>, _> =
                documents.iter().map(serde_saphyr::to_string).collect();
            Ok(texts.map_err(|e| failed(&e))?.join("---\n"))
        }
        (Format::Toml, [document]) => toml::to_string_pretty(document).map_err(|e| failed(&e)),
        (Format::Toml, documents) => Err(failed(&format_args!(
            "a TOML file holds one document, not {}; use YAML",
            documents.len()
        ))),
    }
}

fn parse_yaml(text: &str) -> Result<Vec<Document>, ManifestError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: MAX_NODES, max_events: 2 * MAX_NODES },
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        use serde_saphyr::MessageFormatter as _;
        let error = error.without_snippet();
        let place =
            error.location().map(|at| (at.line(), at.column())).filter(|(line, _)| *line > 0);
        let message = serde_saphyr::DefaultMessageFormatter.format_message(error).into_owned();
        ManifestError::Shape { place: Place(place), message }
    })
}

fn toml_error(text: &str, error: &toml::de::Error) -> ManifestError {
    let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let place = error.span().map(|_| (count(line), count(column)));
    ManifestError::Shape { place: Place(place), message: error.message().to_owned() }
}

/// A document as it is written.
#[derive(Debug, Serialize)]
struct Document {
    #[serde(rename = "apiVersion")]
    api_version: ApiVersion,
    kind: Kind,
    metadata: Metadata,
    spec: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum ApiVersion {
    #[serde(rename = "holdfast/v1")]
    V1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Service,
    Zone,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Form {
    Service(Box<ServiceForm>),
    Zone(Box<ZoneForm>),
}

/// Reads a document in one pass, so that every error keeps its place: `kind` decides how `spec` is read, and
/// therefore comes first.
impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentReader)
    }
}

struct DocumentReader;

impl<'de> Visitor<'de> for DocumentReader {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document with apiVersion, kind, metadata and spec")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let (mut version, mut kind, mut metadata, mut spec) = (None, None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match (key.as_str(), kind) {
                ("apiVersion", _) => version = Some(map.next_value()?),
                ("kind", _) => kind = Some(map.next_value()?),
                ("metadata", _) => metadata = Some(map.next_value()?),
                ("spec", Some(Kind::Service)) => spec = Some(Form::Service(map.next_value()?)),
                ("spec", Some(Kind::Zone)) => spec = Some(Form::Zone(Box::new(map.next_value()?))),
                ("spec", None) => {
                    return Err(refuse(&mut map, "kind must stand before spec".into()));
                }
                (other, _) => {
                    let known = KEYS.join(", ");
                    return Err(refuse(
                        &mut map,
                        format!("unknown key {other}, expected one of {known}"),
                    ));
                }
            }
        }
        let missing = de::Error::missing_field;
        Ok(Document {
            api_version: version.ok_or_else(|| missing("apiVersion"))?,
            kind: kind.ok_or_else(|| missing("kind"))?,
            metadata: metadata.ok_or_else(|| missing("metadata"))?,
            spec: spec.ok_or_else(|| missing("spec"))?,
        })
    }
}

/// An error at the value that comes next: one made beside the values would have no place.
fn refuse<'de, A: MapAccess<'de>>(map: &mut A, message: String) -> A::Error {
    struct Refusal(String);
    impl<'de> de::DeserializeSeed<'de> for Refusal {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            de::IgnoredAny::deserialize(deserializer)?;
            Err(de::Error::custom(self.0))
        }
    }
    match map.next_value_seed(Refusal(message.clone())) {
        Ok(()) => de::Error::custom(message),
        Err(error) => error,
    }
}

impl Document {
    fn into_manifest(self, number: usize, base: &Path) -> Result<Manifest, ManifestError> {
        let what = format!("{:?} {}", self.kind, self.metadata.name);
        let impossible = |error| ManifestError::Impossible { number, what, error };
        let manifest = match self.spec {
            Form::Service(form) => self
                .metadata
                .service_id()
                .and_then(|id| form.into_service(id, base))
                .map(Manifest::Service),
            Form::Zone(form) => {
                self.metadata.zone_name().and_then(|name| form.into_zone(name)).map(Manifest::Zone)
            }
        };
        manifest.map_err(impossible)
    }
}

impl Metadata {
    fn service_id(&self) -> Result<ServiceId, SpecError> {
        let namespace = self.namespace.as_deref().unwrap_or(ServiceId::DEFAULT_NAMESPACE);
        ServiceId::new(&format!("{namespace}/{}", self.name)).map_err(|e| in_metadata("name", &e))
    }

    fn zone_name(&self) -> Result<DnsName, SpecError> {
        if self.namespace.is_some() {
            return Err(in_metadata("namespace", &"a zone has none; remove it"));
        }
        DnsName::new(&self.name).map_err(|e| in_metadata("name", &e))
    }
}

fn in_metadata(key: &str, problem: &dyn fmt::Display) -> SpecError {
    SpecError { field: format!("metadata.{key}"), problem: problem.to_string() }
}

impl From<&Manifest> for Document {
    fn from(manifest: &Manifest) -> Self {
        let (kind, metadata, spec) = match manifest {
            Manifest::Service(service) => {
                let namespace = service.id.namespace().to_owned();
                let namespace = (namespace != ServiceId::DEFAULT_NAMESPACE).then_some(namespace);
                let metadata = Metadata { name: service.id.name().to_owned(), namespace };
                (Kind::Service, metadata, Form::Service(Box::new(ServiceForm::from(service))))
            }
            Manifest::Zone(zone) => {
                let metadata = Metadata { name: zone.name.to_string(), namespace: None };
                (Kind::Zone, metadata, Form::Zone(Box::new(ZoneForm::from(zone))))
            }
        };
        Self { api_version: ApiVersion::V1, kind, metadata, spec }
    }
}

#[cfg(test)]
mod tests;
