//! The kinds of check, one plain `async fn` each: it returns when the answer is judged, or at the first reason to
//! stop. None of them knows about deadlines; whoever calls them cuts them off.

pub(crate) mod dns;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod tcp;
pub(crate) mod tls;
