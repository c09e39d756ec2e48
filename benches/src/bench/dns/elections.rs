//! What elections cost those who ask: three agents hand leadership round while questions are asked of one of them.
//!
//! Each handover is a command in the replicated log, durable on a majority, and then an election, durable there as well:
//! the agent that is asked leads, follows and votes in turn. The elections that are told are terms that began.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::figures::Waits;
use super::kind::Kind;
use super::pairs::Load;
use super::server::Field;
use super::{Args, pace};
use crate::api::Api;
use crate::load::Question;

/// How many agents there are.
pub(super) const AGENTS: usize = 3;

/// Agents that lead in turn.
#[derive(Debug)]
pub(super) struct Elections<'a> {
    args: &'a Args,
    field: &'a Field,
    questions: Arc<Vec<Question>>,
}

impl<'a> Elections<'a> {
    /// Among the agents of this field.
    pub(super) fn among(args: &'a Args, field: &'a Field, names: usize) -> Result<Self> {
        Ok(Self { args, field, questions: Arc::new(Kind::A.questions(names)?) })
    }

    /// The term that the agent that is asked is in, once somebody leads.
    async fn term(&self) -> Result<u64> {
        let cluster = &self.field.cluster;
        cluster.leader().await?;
        Ok(cluster.api.standing(cluster.agents[0].addresses.api).await?.term)
    }
}

impl Load for Elections<'_> {
    const NAME: &'static str = "elections";

    async fn quiet(&mut self) -> Result<Waits> {
        pace(self.field.own(), &self.questions, self.args.span()).await
    }

    async fn loaded(&mut self) -> Result<(Waits, f64)> {
        let (before, began) = (self.term().await?, Instant::now());
        let leader = self.field.cluster.leader().await?;
        let (api, span) = (self.field.cluster.api.clone(), self.args.span());
        let handovers = tokio::spawn(hand_round(api, leader, self.args.elections, span));
        let waits = pace(self.field.own(), &self.questions, span).await?;
        let took = handovers.await??;
        let elections = self.term().await?.saturating_sub(before);
        if elections == 0 {
            bail!("nobody was elected in {:?}", began.elapsed());
        }
        Ok((waits, elections as f64 / took.as_secs_f64()))
    }
}

/// Has one agent after the other lead, beginning after the one at this place; returns how long that took.
async fn hand_round(api: Api, leader: usize, rate: u32, span: Duration) -> Result<Duration> {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = Instant::now();
    for heir in heirs(leader) {
        ticks.tick().await;
        if began.elapsed() >= span {
            break;
        }
        api.transfer_leadership(heir).await?;
    }
    Ok(began.elapsed())
}

/// The ids, which begin at 1, of those who lead after the agent at this place, without end.
fn heirs(leader: usize) -> impl Iterator<Item = u64> {
    (1..=AGENTS as u64).cycle().skip(leader + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_to_take_over_from_himself() {
        for leader in 0..AGENTS {
            let mut led = leader as u64 + 1;
            for heir in heirs(leader).take(2 * AGENTS) {
                assert!((1..=AGENTS as u64).contains(&heir) && heir != led, "{heir} after {led}");
                led = heir;
            }
        }
    }
}
