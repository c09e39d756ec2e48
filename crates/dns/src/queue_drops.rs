//! Counts the datagrams that a full queue cost before anybody saw them.
//!
//! The kernel counts for each socket what it dropped (`/proc/net/udp`, `/proc/net/udp6`); a task looks there once a
//! second, so that threads that answer pay nothing for it. What a socket lost before the first look is not told: if it
//! was inherited, another process has told that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use metrics::counter;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::metric;
use crate::respond::Transport;

/// Where the kernel tells of all UDP sockets of our network namespace.
const TABLES: [&str; 2] = ["/proc/net/udp", "/proc/net/udp6"];
/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);

/// What each socket, by its inode, had lost at the last look; `None` before the first.
#[derive(Debug)]
pub(crate) struct QueueDrops(BTreeMap<u64, Option<u32>>);

impl QueueDrops {
    /// Of these sockets, which need not stay open for it. Errors: the process has no descriptor left.
    pub(crate) fn of<'a>(sockets: impl Iterator<Item = &'a UdpSocket>) -> io::Result<Self> {
        let inode = |socket: &UdpSocket| {
            File::from(OwnedFd::from(socket.try_clone()?)).metadata().map(|socket| socket.ino())
        };
        sockets.map(|socket| Ok((inode(socket)?, None))).collect::<io::Result<_>>().map(Self)
    }

    /// Counts until `shutdown`.
    pub(crate) async fn follow(mut self, shutdown: CancellationToken) {
        let dropped =
            counter!(metric::DROPPED, "why" => "queue", "transport" => Transport::Udp.name());
        let mut looks = interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
            dropped.increment(self.look().await);
        }
    }

    /// How many were lost since the last look.
    async fn look(&mut self) -> u64 {
        let mut lost = 0;
        for table in TABLES {
            match tokio::fs::read_to_string(table).await {
                Ok(told) => lost += self.lost(&told),
                Err(error) => tracing::debug!(%error, table, "lost datagrams cannot be counted"),
            }
        }
        lost
    }

    fn lost(&mut self, table: &str) -> u64 {
        let mut lost = 0;
        for (inode, drops) in table.lines().filter_map(socket) {
            if let Some(known) = self.0.get_mut(&inode) {
                // The kernel's counter begins anew after 2^32.
                lost += u64::from(known.map_or(0, |known| drops.wrapping_sub(known)));
                *known = Some(drops);
            }
        }
        lost
    }
}

/// The inode and the count of a line; `None` for the heading.
fn socket(line: &str) -> Option<(u64, u32)> {
    let mut fields = line.split_whitespace().skip(9);
    let inode = fields.next()?.parse().ok()?;
    Some((inode, fields.nth(2)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    async fn what_a_full_queue_loses_is_counted_once() {
        const SENT: u64 = 1000;
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(address).expect("a socket");
            socket.set_nonblocking(true).expect("possible");
            SockRef::from(&socket).set_recv_buffer_size(4096).expect("possible");
            let client = UdpSocket::bind(address).expect("a socket");
            client.connect(socket.local_addr().expect("bound")).expect("connects");
            let mut drops = QueueDrops::of([&socket].into_iter()).expect("a descriptor");
            assert_eq!(drops.look().await, 0);
            for _ in 0..SENT {
                client.send(b"query").expect("sends");
            }
            let received = std::iter::from_fn(|| socket.recv(&mut [0; 16]).ok()).count() as u64;
            assert!(received < SENT, "the queue was not full");
            assert_eq!(drops.look().await, SENT - received);
            assert_eq!(drops.look().await, 0);
        }
    }

    #[test]
    fn a_counter_that_begins_anew_is_followed() {
        let line = |drops: u32| {
            format!("  7: 0100007F:0035 00000000:0000 07 0:0 00:0 0 0 0 42 2 00000000 {drops}\n")
        };
        let mut drops = QueueDrops([(42, None)].into());
        let told = [u32::MAX - 1, 3, 3].map(|count| drops.lost(&format!("sl x\n{}", line(count))));
        assert_eq!(told, [0, 5, 0]);
    }
}
