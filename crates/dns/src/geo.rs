//! Where addresses are, by databases in MaxMind's format: read whole into memory, looked up without allocating, replaced at once.
//!
//! A file that changes on disk is read anew within [`LOOK`] and takes the place of the one before; one that cannot be read
//! leaves the one before in place and says so. Lookups wait for nothing: they take what is loaded at that moment.
//!
//! What it deliberately does not decide: what follows from a place. Agents whose databases differ answer differently.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use holdfast_core::spec::Code;
use holdfast_core::steer::Place;
use maxminddb::{MaxMindDbError, Reader};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio_util::sync::CancellationToken;

use crate::metric;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// The largest database.
const MAX_FILE: u64 = 1 << 30;

/// The databases of places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GeoConfig {
    /// Files in MaxMind's format, such as GeoLite2-City and GeoLite2-ASN: what the first does not know of an address is
    /// asked of the next; at most 4.
    pub databases: Vec<PathBuf>,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// The file cannot be read.
    #[error("cannot read the database {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is too large.
    #[error("the database {} has {size} bytes, at most {MAX_FILE} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// The file is no database.
    #[error("{} is no MaxMind database, or a damaged one; download it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: MaxMindDbError,
    },
}

/// What is loaded; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Geo(Arc<ArcSwap<Vec<Database>>>);

struct Database {
    path: PathBuf,
    stamp: Stamp,
    reader: Arc<Reader<Vec<u8>>>,
}

/// By which a file is told from its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Geo {
    /// Loads the databases. Blocks on the disk. Errors: one of them cannot be used.
    pub fn load(config: &GeoConfig) -> Result<Self, GeoError> {
        let databases = config.databases.iter().map(|path| Database::load(path));
        let databases = databases.collect::<Result<Vec<_>, _>>()?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(databases))))
    }

    /// One database from memory, which is never read anew. Errors: it is no database.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, GeoError> {
        let stamp = Stamp { modified: None, length: bytes.len() as u64 };
        let database = Database::of(PathBuf::new(), stamp, bytes)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(vec![database]))))
    }

    /// Whether there is no database.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// Where an address is, as far as any database knows; `None` without databases.
    pub fn place(&self, address: IpAddr) -> Option<Place> {
        let databases = self.0.load();
        if databases.is_empty() {
            return None;
        }
        let mut place = Place::default();
        for database in databases.iter() {
            database.tell(address, &mut place);
        }
        Some(place)
    }

    /// Reads anew what has changed on disk. Blocks on the disk. Returns the errors of those that stay as they were.
    pub fn refresh(&self) -> Vec<GeoError> {
        let present = self.0.load_full();
        let mut errors = Vec::new();
        let mut changed = false;
        let next = present.iter().map(|database| match database.renewed() {
            Ok(None) => database.share(),
            Ok(Some(renewed)) => {
                changed = true;
                renewed
            }
            Err(error) => {
                errors.push(error);
                database.share()
            }
        });
        let next: Vec<Database> = next.collect();
        if changed {
            self.0.store(Arc::new(next));
        }
        errors
    }

    /// Keeps what is loaded as the files are, until `shutdown`.
    pub(crate) async fn follow(self, shutdown: CancellationToken) {
        let mut known = Vec::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let geo = self.clone();
            let refreshed = tokio::task::spawn_blocking(move || geo.refresh()).await;
            let errors: Vec<String> = refreshed
                .unwrap_or_default()
                .iter()
                .map(|error| format!("{error}: {}", cause(error)))
                .collect();
            metrics::gauge!(metric::GEO_BROKEN).set(errors.len() as f64);
            for error in errors.iter().filter(|error| !known.contains(*error)) {
                tracing::warn!(%error, "a database of places cannot be read: the one before it stays");
            }
            known = errors;
        }
    }
}

fn cause(error: &GeoError) -> String {
    std::error::Error::source(error).map_or_else(String::new, ToString::to_string)
}

impl Database {
    fn load(path: &Path) -> Result<Self, GeoError> {
        let stamp = stamp(path)?;
        if stamp.length > MAX_FILE {
            return Err(GeoError::TooLarge { path: path.to_owned(), size: stamp.length });
        }
        let failed = |source| GeoError::Io { path: path.to_owned(), source };
        Self::of(path.to_owned(), stamp, fs::read(path).map_err(failed)?)
    }

    fn of(path: PathBuf, stamp: Stamp, bytes: Vec<u8>) -> Result<Self, GeoError> {
        let damaged = |source| GeoError::Damaged { path: path.clone(), source };
        let reader = Reader::from_source(bytes).map_err(damaged)?;
        reader.verify().map_err(damaged)?;
        Ok(Self { path, stamp, reader: Arc::new(reader) })
    }

    fn renewed(&self) -> Result<Option<Self>, GeoError> {
        if stamp(&self.path)? == self.stamp { Ok(None) } else { Self::load(&self.path).map(Some) }
    }

    fn share(&self) -> Self {
        let (path, stamp) = (self.path.clone(), self.stamp);
        Self { path, stamp, reader: Arc::clone(&self.reader) }
    }

    /// Adds what this database knows and the ones before did not, and makes the place as small as its network.
    fn tell(&self, address: IpAddr, place: &mut Place) {
        let Ok(found) = self.reader.lookup(address) else { return };
        let length = found.network().ok().filter(|network| network.is_ipv4() == address.is_ipv4());
        place.length = place.length.max(length.map_or(0, |network| network.prefix()));
        let Ok(Some(entry)) = found.decode::<Entry<'_>>() else { return };
        place.continent = place.continent.or_else(|| code(entry.continent.and_then(|c| c.code)));
        let country = entry.country.and_then(|country| country.iso_code);
        place.country = place.country.or_else(|| code(country));
        place.subdivision = place.subdivision.or_else(|| code(entry.subdivisions.0));
        place.coordinates =
            place.coordinates.or_else(|| entry.location.and_then(Location::hundredths));
        place.asn = place.asn.or(entry.autonomous_system_number);
    }
}

fn stamp(path: &Path) -> Result<Stamp, GeoError> {
    let metadata = fs::metadata(path);
    let metadata = metadata.map_err(|source| GeoError::Io { path: path.to_owned(), source })?;
    Ok(Stamp { modified: metadata.modified().ok(), length: metadata.len() })
}

fn code(text: Option<&str>) -> Option<Code> {
    text.and_then(|text| Code::from_bytes(text.as_bytes()))
}

/// What matters of an entry; texts are borrowed from the database.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    continent: Option<Continent<'a>>,
    #[serde(borrow, default)]
    country: Option<Country<'a>>,
    #[serde(borrow, default)]
    subdivisions: First<'a>,
    #[serde(default)]
    location: Option<Location>,
    #[serde(default)]
    autonomous_system_number: Option<u32>,
}

#[derive(Deserialize)]
struct Continent<'a> {
    #[serde(borrow, default)]
    code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Country<'a> {
    #[serde(borrow, default)]
    iso_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Location {
    #[serde(default)]
    latitude: Option<f64>,
    #[serde(default)]
    longitude: Option<f64>,
}

impl Location {
    fn hundredths(self) -> Option<(i16, i16)> {
        let (north, east) = (self.latitude?, self.longitude?);
        let on_earth = north.abs() <= 90.0 && east.abs() <= 180.0;
        // At most 18,000.
        on_earth.then(|| ((north * 100.0).round() as i16, (east * 100.0).round() as i16))
    }
}

/// The code of the first of a list of subdivisions, the largest.
#[derive(Default)]
struct First<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for First<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FirstReader)
    }
}

struct FirstReader;

impl<'de> Visitor<'de> for FirstReader {
    type Value = First<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of subdivisions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<'de>, A::Error> {
        let first = list.next_element::<Country<'de>>()?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(First(first.and_then(|first| first.iso_code)))
    }
}

#[cfg(test)]
mod tests;
