//! Arbitrary values of the core, as far as bytes can tell: possible or not is `apply`'s business.

mod command;
mod event;
mod lookup;
mod service;
mod zone;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use holdfast_core::audit::{Content, Head, Record as AuditRecord};
use holdfast_core::copied::Fetched;
use holdfast_core::decision::{Basis, BlockReason, Cause, Selection, Served};
use holdfast_core::event::Event;
use holdfast_core::membership::{Member, MembershipChange};
use holdfast_core::observation::{Extent, Observation, ObserverState, Report, Target};
use holdfast_core::overrides::{Order, Override, Pause, Scope};
use holdfast_core::propagation::{
    Asked, Convergence, Delegation, Ending, Fault, Figures, ParentSighting, Seen, Sighting, Unasked,
};
use holdfast_core::quorum::{Evidence, Verdict};
use holdfast_core::sample::{Failure, FailureKind, Phase};
use holdfast_core::sealed::SealingKeyId;
use holdfast_core::signing::{Ds, ParentDs, Signing, SigningChange, ZoneKey};
use holdfast_core::spec::*;
use holdfast_core::tsig::{TsigAlgorithm, TsigKey};
use holdfast_core::ttl::{Tier, TtlCause};
use holdfast_core::update::{
    Action, Change, Condition, Prerequisite, UpdateCode, UpdateRefusal, ZoneUpdate,
};
use holdfast_core::{
    Actor, ActorKind, AgentId, AgentName, BootId, CheckName, Command, DnsName, EndpointName, Entry,
    Epoch, Outcome, OverrideId, PoolName, RegionName, Rejection, Reply, RequestId, Sealed,
    ServiceId, Timestamp,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

pub(super) use self::command::*;
pub(super) use self::event::*;
pub(super) use self::lookup::*;
pub(super) use self::service::*;
pub(super) use self::zone::*;

macro_rules! names {
    ($($function:ident: $type:ident;)+) => {
        $(fn $function() -> impl Strategy<Value = $type> {
            label().prop_map(|text| $type::new(&text).expect("a label is a name"))
        })+
    };
}

names! {
    agent_name: AgentName;
    region: RegionName;
    pool_name: PoolName;
    endpoint_name: EndpointName;
    check_name: CheckName;
}

fn label() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "\\PC{0,20}"]
}

fn service_id() -> impl Strategy<Value = ServiceId> {
    (label(), label()).prop_map(|(namespace, name)| {
        ServiceId::new(&format!("{namespace}/{name}")).expect("labels make an id")
    })
}

pub(super) fn dns_name() -> impl Strategy<Value = DnsName> {
    vec("[a-z_]([a-z0-9_-]{0,8}[a-z0-9])?", 1..5)
        .prop_map(|labels| DnsName::new(&labels.join(".")).expect("labels make a name"))
}

pub(crate) fn sealed() -> impl Strategy<Value = Sealed> {
    (any::<[u8; 8]>(), any::<[u8; 12]>(), vec(any::<u8>(), 0..=Sealed::MAX_CIPHERTEXT))
        .prop_map(|(key, nonce, ciphertext)| Sealed { key: SealingKeyId(key), nonce, ciphertext })
}

fn ms() -> impl Strategy<Value = Duration> {
    (0..=u64::MAX).prop_map(Duration::from_millis)
}

/// A TTL of zero stands for that of the tier.
fn some_ms() -> impl Strategy<Value = Duration> {
    (1..=u64::MAX).prop_map(Duration::from_millis)
}

fn stamp() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![any::<IpAddr>().prop_map(Address::Ip), dns_name().prop_map(Address::Name)]
}
