//! The types in which the seams of [`AgentSeams`](crate::AgentSeams) speak, for whoever brings a world of their own:
//! the simulation does, and so needs no edge to the rooms behind them. Nothing is decided here.

pub use holdfast_audit::{AuditLog, AuditStore, Health, MemoryStore, Order, StoreError, Visit};
pub use holdfast_dns::{AnswersSource, Publisher, channel};
pub use holdfast_wire::peer::{
    Message, PeerAddress, PeerHandler, Refusal, Sender, Wire, WireError,
};
