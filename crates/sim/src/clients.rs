//! Clients: each asks some agent for a change, again and again, now and then asks the same thing once more, and reads.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::overrides::{Order, Scope};
use holdfast_core::{Actor, ActorKind, AgentId, Command, RequestId};
use tokio::task::JoinSet;

use crate::catalogue::{self, LEDGERS};
use crate::dice::Dice;
use crate::history::History;
use crate::plan::AGENTS;
use crate::stage::Stage;
use crate::trace::note;

/// How many clients there are.
const CLIENTS: u64 = 3;
/// The pause between two requests of one client, in milliseconds.
const PAUSE_MS: (u64, u64) = (20, 250);
/// Requests that repeat an earlier one, in a thousand.
const REPLAYS_PERMILLE: u64 = 200;
/// Requests that read, in a thousand.
const READS_PERMILLE: u64 = 200;
/// Requests that give an order, in a thousand.
const ORDERS_PERMILLE: u64 = 60;

/// Lets clients work until the returned set is dropped.
pub(crate) fn begin(stage: &Arc<Stage>, history: &History) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client {
            number,
            asked: 0,
            dice: Dice::new(stage.plan.seed, &format!("client {number}")),
            stage: stage.clone(),
            history: history.clone(),
        };
        tasks.spawn(client.work());
    }
    tasks
}

struct Client {
    number: u64,
    asked: u64,
    dice: Dice,
    stage: Arc<Stage>,
    history: History,
}

impl Client {
    async fn work(mut self) {
        loop {
            tokio::time::sleep(self.dice.millis(PAUSE_MS.0, PAUSE_MS.1)).await;
            if self.dice.permille(READS_PERMILLE) {
                self.read().await;
                continue;
            }
            if self.asked > 0 && self.dice.permille(REPLAYS_PERMILLE) {
                let earlier = self.request(self.dice.between(1, self.asked));
                if let Some(command) = self.history.again(earlier) {
                    self.ask(earlier, command, 0).await;
                }
                continue;
            }
            self.asked += 1;
            let (id, command) = (self.request(self.asked), self.command());
            let after = self.history.ask(id, command.clone());
            self.ask(id, command, after).await;
        }
    }

    fn request(&self, number: u64) -> RequestId {
        RequestId(u128::from(self.number + 1) << 64 | u128::from(number))
    }

    fn command(&self) -> Command {
        if self.dice.permille(ORDERS_PERMILLE) {
            let pay = &self.stage.services[catalogue::PAY];
            let pool = self.dice.pick(&pay.pools);
            let scope = Scope::Endpoint(self.dice.pick(&pool.endpoints).name.clone());
            let order =
                if self.dice.permille(500) { Order::Drain(scope) } else { Order::ForceDown(scope) };
            return Command::SetOverride {
                service: pay.id.clone(),
                order,
                reason: "the simulation orders it".to_owned(),
                lasting: self.dice.millis(1000, 4000),
            };
        }
        let ledger = self.dice.between(1, LEDGERS);
        let text = format!("{ledger} {}.{}", self.number, self.asked);
        Command::ApplyService { service: catalogue::ledger(ledger, &text), if_revision: None }
    }

    /// S10: a linearizable read at any agent shows everything that was acknowledged before it began.
    async fn read(&self) {
        let agent = AgentId(self.dice.between(1, AGENTS));
        let Some(live) = self.stage.agent(agent) else { return };
        let before = self.history.newest();
        let read = tokio::select! {
            biased;
            () = live.gone.cancelled() => return,
            read = live.group.read_index() => read,
        };
        let Ok(index) = read else { return };
        let shown = live.view().answers.index;
        note!(self.stage.trace, "read at {agent} index {index} shows {shown}");
        self.history.read();
        if index < before || shown < before {
            let why = format!(
                "S10: a read at agent {agent} was confirmed at index {index} and shows {shown}; {before} was \
                 acknowledged before it began"
            );
            self.stage.oracle.fail(why);
        }
    }

    /// Asks some agent, and gives up when its machine stops.
    async fn ask(&self, id: RequestId, command: Command, after: u64) {
        let agent = AgentId(self.dice.between(1, AGENTS));
        let Some(live) = self.stage.agent(agent) else { return };
        let actor = Actor { kind: ActorKind::Workload, name: format!("client-{}", self.number) };
        let trace = &self.stage.trace;
        let answered = tokio::select! {
            biased;
            () = live.gone.cancelled() => return note!(trace, "client {id} at {agent} connection lost"),
            answered = live.group.propose(Some(id), actor, command) => answered,
        };
        match answered {
            Ok(outcome) => {
                note!(trace, "client {id} at {agent} index {}", outcome.index);
                if let Err(why) = self.history.answer(id, outcome, after) {
                    self.stage.oracle.fail(why);
                }
            }
            Err(error) => note!(trace, "client {id} at {agent} {error}"),
        }
    }
}

/// Declares something in calm times, as often as it takes. Errors: it is refused, or nobody takes it.
pub(crate) async fn declare(stage: &Stage, number: u64, command: Command) -> Result<(), String> {
    const ATTEMPTS: usize = 5;
    const PAUSE: Duration = Duration::from_millis(200);
    let actor = Actor { kind: ActorKind::Person, name: "operator".to_owned() };
    for _ in 0..ATTEMPTS {
        if let Some((_, live)) = stage.running().first() {
            let id = Some(RequestId(number.into()));
            match live.group.propose(id, actor.clone(), command.clone()).await {
                Ok(outcome) => {
                    return outcome.result.map(drop).map_err(|why| format!("a declaration: {why}"));
                }
                Err(error) => note!(stage.trace, "declaration {number}: {error}"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(format!("declaration {number} was not taken in {ATTEMPTS} attempts"))
}
