//! The way of an update into the group, and what comes back.
//!
//! The group may be there or not: DNS starts before it and ends after it. Without it every update is told SERVFAIL.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use hickory_proto::op::ResponseCode;
use holdfast_core::audit::Hash;
use holdfast_core::update::{UpdateCode, ZoneUpdate};
use holdfast_core::{DnsName, Entry, RequestId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::tsig::FUDGE;

/// The most updates that wait for the group at a time.
pub(crate) const MAX_UNDER_WAY: usize = 256;

/// What the group made of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// It is done, and served here where that could be waited for.
    Done,
    /// It is refused.
    Refused(UpdateCode),
    /// Nobody knows, or nobody leads: the client may ask again.
    Unavailable,
}

/// Has updates agreed on.
pub trait Agreement: Send + Sync {
    /// Hands an update over, and returns at once; the answer comes within 8 s, on any thread. Asked twice under one
    /// request id, it is done once. The place is given back when the update is decided, whether or not anybody waits for
    /// it any more.
    fn decide(
        &self,
        update: ZoneUpdate,
        request: RequestId,
        place: UpdatePlace,
    ) -> BoxFuture<'static, Decided>;
}

/// The places of updates under way. Clones share them.
#[derive(Debug, Clone)]
pub struct UpdatePlaces(Arc<Semaphore>);

/// One of the places of updates under way; free again when this is dropped.
#[derive(Debug)]
pub struct UpdatePlace {
    _permit: OwnedSemaphorePermit,
}

impl Default for UpdatePlaces {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_UNDER_WAY)))
    }
}

impl UpdatePlaces {
    /// One that is free, if any is: there are 256.
    pub fn take(&self) -> Option<UpdatePlace> {
        Arc::clone(&self.0).try_acquire_owned().ok().map(|permit| UpdatePlace { _permit: permit })
    }
}

/// The group, while there is one, and the places of updates that wait for it.
#[derive(Default)]
pub(crate) struct Path {
    agreement: ArcSwapOption<Box<dyn Agreement>>,
    places: UpdatePlaces,
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Path").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Path {
    /// Lets updates go this way from now on; `None` closes it.
    pub(crate) fn lead(&self, to: Option<Box<dyn Agreement>>) {
        self.agreement.store(to.map(Arc::new));
    }

    /// Begins with an update; `None` where there is no way, or no place on it.
    pub(crate) fn decide(
        &self,
        update: ZoneUpdate,
        request: RequestId,
    ) -> Option<BoxFuture<'static, Decided>> {
        let agreement = self.agreement.load_full()?;
        Some(agreement.decide(update, request, self.places.take()?))
    }
}

impl Decided {
    /// How it is told.
    pub(crate) fn code(&self) -> ResponseCode {
        match self {
            Self::Done => ResponseCode::NoError,
            Self::Unavailable => ResponseCode::ServFail,
            Self::Refused(code) => match code {
                UpdateCode::NameExists => ResponseCode::YXDomain,
                UpdateCode::SetExists => ResponseCode::YXRRSet,
                UpdateCode::NameMissing => ResponseCode::NXDomain,
                UpdateCode::SetMissing => ResponseCode::NXRRSet,
                UpdateCode::NotOurs => ResponseCode::NotAuth,
                UpdateCode::NotInZone => ResponseCode::NotZone,
                UpdateCode::Refused => ResponseCode::Refused,
            },
        }
    }
}

const _: () = assert!(
    Entry::UPDATE_REPLAY_WINDOW.as_secs() >= 4 * FUDGE as u64,
    "a signed update that is sent again is known for as long as its signature counts, by clocks that differ"
);

/// The number of a request: the same for the same message signed with the same key, and no other.
pub(crate) fn request_id(key: &DnsName, mac: &[u8]) -> RequestId {
    let Hash(hash) = Hash::of(&[key.as_str().as_bytes(), &[0], mac].concat());
    RequestId(u128::from_be_bytes(*hash.first_chunk().expect("a hash has 32 bytes")))
}
