//! Replies over UDP that take a while: sent from the socket that was asked at, by a task, when they are there.
//!
//! The thread that serves the socket goes on at once. What is on its way is bounded by whoever makes such replies. One
//! that the socket does not take is dropped and counted: the client asks again.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt as _, StreamExt as _};
use metrics::counter;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metric;
use crate::streams::Messages;
use crate::udp_thread::DRAIN;

/// Where the tasks run, and until when.
#[derive(Debug, Clone)]
pub(crate) struct Later {
    pub(crate) runtime: Handle,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl Later {
    /// Sends the first message when it is there.
    pub(crate) fn send(&self, socket: &impl AsFd, to: SocketAddr, mut messages: Messages) {
        let Ok(socket) = own(socket.as_fd()) else { return count_error() };
        let shutdown = self.shutdown.clone();
        let sending = async move {
            let stopped = async {
                shutdown.cancelled().await;
                sleep(DRAIN).await;
            };
            tokio::select! {
                reply = AssertUnwindSafe(messages.next()).catch_unwind() => match reply {
                    Ok(Some(reply)) => if socket.send_to(&reply, to).is_err() { count_error() },
                    Ok(None) => {}
                    Err(_) => counter!(metric::PANICS).increment(1),
                },
                () = stopped => {}
            }
        };
        self.tasks.spawn_on(sending, &self.runtime);
    }
}

/// The same socket under a descriptor of its own.
fn own(socket: BorrowedFd<'_>) -> std::io::Result<UdpSocket> {
    socket.try_clone_to_owned().map(UdpSocket::from)
}

fn count_error() {
    counter!(metric::SOCKET_ERRORS, "transport" => "udp", "operation" => "send").increment(1);
}
