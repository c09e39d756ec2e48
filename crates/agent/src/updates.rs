//! The way of dynamic updates from DNS into the group: proposed like any change, by whichever agent was asked.
//!
//! A proposal carries the number that DNS made of the message's signature, so a retransmission is done once. The reply
//! waits until this agent itself answers with the change, so that a client sees what it did where it did it.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use holdfast_consensus::Group;
use holdfast_core::update::{UpdateCode, ZoneUpdate};
use holdfast_core::{Actor, ActorKind, Command, Rejection, RequestId};
use holdfast_dns::{Agreement, AnswersSource, Decided, UpdatePlace};
use holdfast_wire::command::Proposal;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// How long an update may take to be agreed on: an election and a retry.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long it may take beyond that to be answered with here.
const PUBLISHING: Duration = Duration::from_secs(2);

/// Has updates agreed on by a group.
pub(crate) struct Updates {
    group: Group,
    answers: AnswersSource,
    runtime: Handle,
}

impl Updates {
    /// Works on the caller's runtime.
    pub(crate) fn new(group: Group, answers: AnswersSource) -> Self {
        Self { group, answers, runtime: Handle::current() }
    }
}

impl Agreement for Updates {
    fn decide(
        &self,
        update: ZoneUpdate,
        request: RequestId,
        place: UpdatePlace,
    ) -> BoxFuture<'static, Decided> {
        let deciding = decide(self.group.clone(), self.answers.clone(), update, request);
        let deciding = self.runtime.spawn(deciding.inspect(move |_| drop(place)));
        // A task that is no more has decided nothing.
        deciding.map(|decided| decided.unwrap_or(Decided::Unavailable)).boxed()
    }
}

async fn decide(
    group: Group,
    answers: AnswersSource,
    update: ZoneUpdate,
    request: RequestId,
) -> Decided {
    let (zone, key) = (update.zone.clone(), update.key.clone());
    let actor = Actor { kind: ActorKind::Workload, name: format!("tsig:{key}") };
    let command = Command::UpdateZone(update);
    let proposal = Proposal { request_id: Some(request), actor, command };
    let outcome = match group.propose_within(proposal, PATIENCE).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::warn!(%zone, %key, %error, "update not agreed on");
            return Decided::Unavailable;
        }
    };
    match outcome.result {
        Ok(_) => {
            await_served(&answers, outcome.index).await;
            Decided::Done
        }
        Err(Rejection::Update(refusal)) => {
            tracing::info!(%zone, %key, %refusal, "update refused");
            Decided::Refused(refusal.code)
        }
        Err(rejection) => {
            tracing::warn!(%zone, %key, %rejection, "update refused");
            Decided::Refused(UpdateCode::Refused)
        }
    }
}

/// Waits until this agent answers from the log up to an index; an agent that lags answers so a little later.
async fn await_served(answers: &AnswersSource, index: u64) {
    let until = Instant::now() + PUBLISHING;
    let mut changes = answers.changes();
    let served = changes.wait_for(|position| position.is_some_and(|at| at.index >= index));
    if timeout_at(until, served).await.is_err() {
        tracing::debug!(index, "an update is agreed on and not served here yet");
    }
}

#[cfg(test)]
mod tests {
    use holdfast_dns::{UpdatePlaces, channel};

    use super::*;
    use crate::testing::leaderless_group;

    fn update() -> ZoneUpdate {
        let [zone, key] = ["example.test", "key.test"].map(|name| name.parse().expect("a name"));
        ZoneUpdate { zone, key, prerequisites: Vec::new(), changes: Vec::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_update_keeps_its_place_until_it_is_decided_though_nobody_waits_for_it() {
        let (_publisher, answers) = channel();
        let updates = Updates::new(leaderless_group().await, answers);
        let places = UpdatePlaces::default();
        for number in 0..256 {
            let place = places.take().expect("there are 256");
            drop(updates.decide(update(), RequestId(number), place));
        }
        tokio::time::sleep(PATIENCE / 2).await;
        assert!(places.take().is_none(), "each is still proposed, with a client or without");
        tokio::time::sleep(PATIENCE).await;
        let free = std::iter::from_fn(|| places.take()).collect::<Vec<_>>();
        assert_eq!(free.len(), 256, "nobody led, and they were given up");
    }
}
