//! The groups of one process, and who of them a message is for.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use holdfast_core::GroupId;
use holdfast_wire::peer::{
    Message, MessageKind, PeerHandler, Refusal, RefusalReason, Sender, WireError,
};

use crate::group::{Group, is_served};

/// The groups that this agent is in; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Groups(Arc<RwLock<BTreeMap<GroupId, Group>>>);

impl Groups {
    /// Adds a group, or replaces the one with its number.
    pub fn insert(&self, group: Group) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(group.id(), group);
    }

    /// Takes a group out; its messages are refused from then on.
    pub fn remove(&self, id: GroupId) -> Option<Group> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// The group with this number.
    pub fn get(&self, id: GroupId) -> Option<Group> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// All groups, by number.
    pub fn all(&self) -> Vec<Group> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether messages of this kind are for groups; the others are the agent's own.
    pub fn serves(kind: MessageKind) -> bool {
        is_served(kind)
    }

    fn find(&self, id: GroupId) -> Result<Group, Refusal> {
        self.get(id).ok_or_else(|| {
            Refusal::new(RefusalReason::UnknownGroup, format!("this agent is not in group {id}"))
        })
    }
}

#[async_trait]
impl PeerHandler for Groups {
    async fn handle(&self, sender: &Sender, message: Message) -> Result<Bytes, Refusal> {
        self.find(message.group)?.handle(sender, message).await
    }

    async fn handle_snapshot(
        &self,
        sender: &Sender,
        head: Message,
        chunks: BoxStream<'static, Result<Bytes, WireError>>,
    ) -> Result<Bytes, Refusal> {
        self.find(head.group)?.handle_snapshot(sender, head, chunks).await
    }
}
