//! `holdfast export`: every zone and service as a manifest that `apply` takes.

use holdfast_core::spec::{Service, Zone};
use holdfast_wire::Convert;
use holdfast_wire::pb::v1 as pb;

use crate::command::{service, zone};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::manifest::{self, Format, Manifest};
use crate::session::{Outcome, Session};

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only services of this namespace, and no zones.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
}

/// The language of a manifest that is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// YAML.
    Yaml,
    /// TOML.
    Toml,
}

/// Prints the manifests.
pub(crate) async fn run(args: &Args, session: &Session) -> Outcome {
    let mut client = session.client()?;
    let mut manifests = Vec::new();
    if args.namespace.is_none() {
        for entry in zone::list(&client, false).await?.zones {
            client.renew();
            manifests.push(zone_manifest(zone::get(&client, &entry.name, false).await?.zone)?);
        }
    }
    client.renew();
    let namespace = args.namespace.clone().unwrap_or_default();
    for entry in service::list(&mut client, &namespace, false).await?.services {
        manifests.push(service_manifest(entry.spec)?);
    }
    print(session, &manifests, Language::Yaml)
}

/// Prints manifests in a language.
pub(crate) fn print(session: &Session, manifests: &[Manifest], language: Language) -> Outcome {
    let format = match language {
        Language::Yaml => Format::Yaml,
        Language::Toml => Format::Toml,
    };
    let text =
        manifest::export(manifests, format).map_err(|error| Failure::error(error.to_string()))?;
    session.out.raw(&text)?;
    Ok(Exit::Success)
}

/// The manifest of a service as the API tells it.
pub(crate) fn service_manifest(spec: Option<pb::Service>) -> Result<Manifest, Failure> {
    decode::<Service>("service", spec).map(Manifest::Service)
}

/// The manifest of a zone as the API tells it.
pub(crate) fn zone_manifest(spec: Option<pb::Zone>) -> Result<Manifest, Failure> {
    decode::<Zone>("zone", spec).map(Manifest::Zone)
}

/// What the API told, as the core's own type. Errors: this version does not understand it.
pub(crate) fn decode<T: Convert>(what: &str, told: Option<T::Proto>) -> Result<T, Failure> {
    let next = "compare the versions: holdfast version, holdfast cluster status";
    let told =
        told.ok_or_else(|| Failure::error(format!("the answer holds no {what}")).next(next))?;
    T::from_proto(told).map_err(|error| {
        Failure::error(format!("cannot read the {what} in the answer: {error}")).next(next)
    })
}
