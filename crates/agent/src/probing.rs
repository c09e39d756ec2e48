//! The prober of this agent: one digest for good, and a scheduler that can be begun again.

use std::sync::{Arc, Mutex, PoisonError};

use holdfast_consensus::Group;
use holdfast_core::AgentName;
use holdfast_core::observation::Target;
use holdfast_core::seam::Clock;
use holdfast_probe::{ConfirmHandle, Digest, Prober, Scheduler, SchedulerConfig, Sentinels};
use tokio_util::sync::CancellationToken;

/// The prober of one agent.
pub(crate) struct Probing {
    agent: AgentName,
    config: SchedulerConfig,
    prober: Arc<dyn Prober>,
    clock: Arc<dyn Clock>,
    group: Group,
    digest: Arc<Digest>,
    confirm: Mutex<Option<ConfirmHandle>>,
}

impl std::fmt::Debug for Probing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probing").field("agent", &self.agent).finish_non_exhaustive()
    }
}

/// The other members of the group: whoever hears none of them is not fit to judge.
struct OtherMembers(Group);

impl Sentinels for OtherMembers {
    fn reachable(&self) -> bool {
        self.0.status().borrow().quorum_ok
    }
}

impl Probing {
    /// A prober that does not run yet.
    pub(crate) fn new(
        agent: AgentName,
        config: SchedulerConfig,
        prober: Arc<dyn Prober>,
        clock: Arc<dyn Clock>,
        group: Group,
    ) -> Self {
        let (digest, confirm) = (Arc::default(), Mutex::default());
        Self { agent, config, prober, clock, group, digest, confirm }
    }

    /// What it observes.
    pub(crate) fn digest(&self) -> Arc<Digest> {
        self.digest.clone()
    }

    /// Looks at these targets at once.
    pub(crate) fn confirm(&self, targets: &[Target]) {
        let handle = self.confirm.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(handle) = handle {
            handle.confirm(targets);
        }
    }

    /// Probes what the view declares, until cancelled.
    pub(crate) async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let scheduler = Scheduler::new(
            self.config,
            self.agent.clone(),
            self.prober.clone(),
            self.clock.clone(),
            self.digest.clone(),
        )
        .with_sentinels(Arc::new(OtherMembers(self.group.clone())));
        let handle = scheduler.confirm_handle();
        *self.confirm.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        scheduler.run(self.group.view(), cancel).await;
    }
}
