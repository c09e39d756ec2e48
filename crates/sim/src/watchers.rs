//! What looks at one running agent from outside: every view that it publishes, and what its DNS would answer.
//!
//! ```text
//! view ──▶ collect ──┐
//!                    ├─ bounded queue ─▶ check ─▶ oracle (a view once its records are in the audit store)
//! answers ─▶ ask ────┘                            (an answer once the view that it stems from was checked)
//! ```
//!
//! After a restart an agent works its way up from its disk; views older than what it has shown before are passed
//! over, its answers never are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use holdfast_agent::world::{AnswersSource, AuditLog};
use holdfast_consensus::Group;
use holdfast_core::answer::{AnswerData, Code, Kind, answer};
use holdfast_core::audit::{Hash, Record};
use holdfast_core::invariant::Observed;
use holdfast_core::spec::{Address, RecordData, Service};
use holdfast_core::steer::Client;
use holdfast_core::view::Answers;
use holdfast_core::{AgentId, Epoch, ServiceId, View};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::disk::Disk;
use crate::oracle::Oracle;
use crate::trace::{Trace, note};

/// What waits to be checked, of one agent.
const QUEUE: usize = 65_536;
/// How often every service is asked for, whether or not anything changed.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How long records may take to reach the audit store once a view names them; a back-fill needs a living peer.
const RECORDS_PATIENCE: Duration = Duration::from_secs(30);
/// How often the audit store is looked at meanwhile.
const RECORDS_PAUSE: Duration = Duration::from_millis(20);

/// What was seen of an agent.
enum Seen {
    View(Arc<View>, Option<Hash>),
    /// An answer, and the index of the view that it stems from.
    Answer(u64, Observed),
}

/// One agent as its watchers see it.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) agent: AgentId,
    pub(crate) group: Group,
    pub(crate) audit: AuditLog,
    pub(crate) answers: AnswersSource,
    pub(crate) disk: Arc<Disk>,
    pub(crate) services: Arc<Vec<Service>>,
    pub(crate) oracle: Oracle,
    pub(crate) trace: Trace,
    pub(crate) dice: Arc<Dice>,
}

/// Watches an agent until the returned set is dropped.
pub(crate) fn watch(watched: &Watched) -> JoinSet<()> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let mut tasks = JoinSet::new();
    tasks.spawn(watched.clone().collect(sender.clone()));
    tasks.spawn(watched.clone().ask(sender));
    tasks.spawn(watched.clone().check(receiver));
    tasks
}

impl Watched {
    async fn collect(self, sender: mpsc::Sender<Seen>) {
        let mut views = self.group.view();
        loop {
            let view = views.borrow_and_update().clone();
            let (index, hash, _) = self.group.state_hash();
            let hash = (index == view.answers.index).then_some(hash);
            self.send(&sender, Seen::View(view, hash));
            if views.changed().await.is_err() {
                return;
            }
        }
    }

    async fn ask(self, sender: mpsc::Sender<Seen>) {
        let mut changes = self.answers.changes();
        let mut served: BTreeMap<ServiceId, Epoch> = BTreeMap::new();
        loop {
            if let Some(published) = self.answers.current() {
                let (answers, index) = (published.answers(), published.position().index);
                self.disk.keep(answers.clone());
                for (epoch, observed) in self.questions(answers) {
                    let before = served.insert(observed.service.clone(), epoch);
                    self.note_served(before, epoch, &observed);
                    self.send(&sender, Seen::Answer(index, observed));
                }
            } else if self.disk.kept().is_some() {
                self.oracle.fail(format!("L4: agent {} no longer answers DNS", self.agent));
            }
            tokio::select! {
                biased;
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(ASK_EVERY) => {}
            }
        }
    }

    /// Asks for every service's name that is registered.
    fn questions(&self, answers: &Answers) -> Vec<(Epoch, Observed)> {
        self.services.iter().filter_map(|service| self.question(answers, service)).collect()
    }

    fn note_served(&self, before: Option<Epoch>, epoch: Epoch, observed: &Observed) {
        if before == Some(epoch) {
            return;
        }
        let addresses: Vec<String> = observed.addresses.iter().map(ToString::to_string).collect();
        let (agent, service) = (self.agent, &observed.service);
        note!(self.trace, "serve {agent} {service} epoch {epoch} {}", addresses.join(","));
    }

    /// Asks for one service's name.
    fn question(&self, answers: &Answers, service: &Service) -> Option<(Epoch, Observed)> {
        let epoch = answers.names.get(&service.dns.name)?.epoch;
        let turn = u32::try_from(self.dice.below(1 << 16)).expect("16 bits");
        let reply = answer(answers, &service.dns.name, Kind::A, &Client::anybody(turn));
        let addresses = reply.answers.iter().filter_map(|record| match &record.data {
            AnswerData::Record(RecordData::A(ip)) => Some(Address::Ip((*ip).into())),
            AnswerData::Record(_) | AnswerData::Soa { .. } => None,
        });
        let observed = Observed {
            server: self.agent,
            service: service.id.clone(),
            addresses: addresses.collect(),
            refused: reply.code == Code::ServerFailure,
        };
        Some((epoch, observed))
    }

    async fn check(self, mut receiver: mpsc::Receiver<Seen>) {
        let mut held: VecDeque<(u64, Observed)> = VecDeque::new();
        while let Some(seen) = receiver.recv().await {
            match seen {
                Seen::View(view, hash) => self.check_view(&view, hash).await,
                Seen::Answer(index, observed) => held.push_back((index, observed)),
            }
            let (shown, _) = self.oracle.progress(self.agent);
            while let Some((_, observed)) = held.pop_front_if(|(index, _)| *index <= shown) {
                self.oracle.answered(&observed);
            }
        }
    }

    async fn check_view(&self, view: &View, hash: Option<Hash>) {
        let (shown, length) = self.oracle.progress(self.agent);
        if view.answers.index < shown {
            return;
        }
        let wanted = view.audit.map_or(0, |head| head.length);
        match self.records(length + 1, wanted).await {
            Ok(records) => self.oracle.witness(self.agent, view, &records, hash),
            Err(why) => self.oracle.fail(format!("agent {}: {why}", self.agent)),
        }
    }

    /// The records of this range, once the audit store holds them.
    async fn records(&self, from: u64, to: u64) -> Result<Vec<Record>, String> {
        let until = Instant::now() + RECORDS_PATIENCE;
        let mut records = Vec::new();
        loop {
            let next = from + records.len() as u64;
            if next > to {
                return Ok(records);
            }
            let more = self.audit.read(next..=to, usize::MAX).map_err(|error| error.to_string())?;
            if more.is_empty() {
                if Instant::now() > until {
                    let health = self.audit.health();
                    return Err(format!("audit records {next} to {to} do not arrive: {health:?}"));
                }
                tokio::time::sleep(RECORDS_PAUSE).await;
            }
            records.extend(more);
        }
    }

    fn send(&self, sender: &mpsc::Sender<Seen>, seen: Seen) {
        // The checking task ends only together with this one.
        if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(seen) {
            self.oracle.fail(format!("agent {}: the checks do not keep up", self.agent));
        }
    }
}
