//! Zones that somebody says have changed, on their way to whoever looks after them.
//!
//! A notice is a hint: one that finds no room is lost, since the zone is looked at again without it.

use holdfast_core::DnsName;
use tokio::sync::{Mutex, mpsc};

/// The most notices that wait.
const MAX_WAITING: usize = 256;

/// Notices that wait to be taken.
#[derive(Debug)]
pub struct Notices {
    sender: mpsc::Sender<DnsName>,
    receiver: Mutex<mpsc::Receiver<DnsName>>,
}

impl Default for Notices {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        Self { sender, receiver: Mutex::new(receiver) }
    }
}

impl Notices {
    /// Notes that a zone may have changed; waits for nothing.
    pub fn note(&self, zone: DnsName) {
        if self.sender.try_send(zone).is_err() {
            tracing::debug!("a notice is lost: too many wait");
        }
    }

    /// The next zone that may have changed; one task takes them.
    pub async fn next(&self) -> DnsName {
        match self.receiver.lock().await.recv().await {
            Some(zone) => zone,
            None => std::future::pending().await,
        }
    }
}
