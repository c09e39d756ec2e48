//! Turns: a peer that always has more to say, and replies that always have a next message.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, ready};

use tokio::io::ReadBuf;
use tokio::task::coop::poll_proceed;
use tokio::time::advance;

use super::*;
use crate::admission::Admission;
use crate::config::TcpConfig;
use crate::handler::Settings;
use crate::publish::{Published, channel};
use crate::respond::Transport;
use crate::streams::{Special, Streams};

/// Far more than anybody has to wait for.
const MOST: usize = 20_000;
/// How much of one kind there is, beside as much as there can be of the other.
const FEW: usize = 200;

const AXFR_IN: [u8; 4] = [0, 252, 0, 1];
const SOA_IN: [u8; 4] = [0, 6, 0, 1];

/// How far the two sides are, and how far the one was when the other ended.
#[derive(Debug, Default)]
struct Progress {
    reads: AtomicUsize,
    messages: AtomicUsize,
    reads_at_last_message: AtomicUsize,
    messages_at_last_read: AtomicUsize,
}

/// One that asks for a transfer and then has a query whenever it is read from, up to a last one, takes every reply at
/// once, and lets others run no sooner than a socket does.
struct Restless {
    progress: Arc<Progress>,
    queries: usize,
}

impl AsyncRead for Restless {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(poll_proceed(cx)).made_progress();
        let Progress { reads, messages, messages_at_last_read, .. } = &*self.progress;
        if reads.load(Ordering::Relaxed) == self.queries {
            return Poll::Ready(Ok(()));
        }
        let first = reads.fetch_add(1, Ordering::Relaxed) == 0;
        messages_at_last_read.store(messages.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut query = b"\0\x1d\0\x07\0\0\0\x01\0\0\0\0\0\0\x07example\x04test\0".to_vec();
        query.extend(if first { AXFR_IN } else { SOA_IN });
        query[1] = u8::try_from(query.len() - 2).expect("short");
        buffer.put_slice(&query);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Restless {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(poll_proceed(cx)).made_progress();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Answers a transfer with messages that are there at once.
#[derive(Debug)]
struct Transfer {
    progress: Arc<Progress>,
    messages: usize,
}

impl Streams for Transfer {
    fn reply(&self, query: &[u8], _: Peer, _: Option<&Arc<Published>>) -> Option<Messages> {
        let progress = Arc::clone(&self.progress);
        let next = move |_| {
            let Progress { reads, messages, reads_at_last_message, .. } = &*progress;
            messages.fetch_add(1, Ordering::Relaxed);
            reads_at_last_message.store(reads.load(Ordering::Relaxed), Ordering::Relaxed);
            vec![0_u8; 64]
        };
        let asked = query.ends_with(&AXFR_IN);
        asked.then(|| Box::pin(stream::iter(0..self.messages).map(next)) as Messages)
    }

    fn special(&self, _: &[u8], _: Peer, _: Option<&Arc<Published>>) -> Special {
        Special::Reply(Vec::new())
    }
}

/// A connection to a peer with so many queries, whose transfer has so many messages.
fn connection(queries: usize, messages: usize) -> (Connection<Restless>, Arc<Progress>) {
    let progress = Arc::new(Progress::default());
    let transfer = Transfer { progress: Arc::clone(&progress), messages };
    let settings = Settings { streams: Some(Arc::new(transfer)), ..Settings::default() };
    let (_, source) = channel();
    let responder = Responder::new(source, Arc::new(settings), Arc::default());
    let client = Ipv4Addr::new(192, 0, 2, 1);
    let place = Admission::new(TcpConfig::default(), Transport::Tcp).admit(client.into());
    let peer = Peer { address: (client, 4000).into(), transport: Transport::Tcp };
    let stream = Restless { progress: Arc::clone(&progress), queries };
    (Connection::new(stream, peer, SharedResponder::new(responder), place), progress)
}

fn counted(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_always_asks_more_does_not_keep_back_its_transfer() {
    let (connection, progress) = connection(MOST, FEW);
    connection.run(&CancellationToken::new()).await.expect("answers to its end");
    assert_eq!((counted(&progress.reads), counted(&progress.messages)), (MOST, FEW));
    let passed = counted(&progress.reads_at_last_message);
    assert!(passed < MOST / 2, "{passed} queries passed {FEW} messages");
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_always_has_more_does_not_keep_back_queries() {
    let (connection, progress) = connection(FEW, MOST);
    connection.run(&CancellationToken::new()).await.expect("answers to its end");
    assert_eq!((counted(&progress.reads), counted(&progress.messages)), (FEW, MOST));
    let passed = counted(&progress.messages_at_last_read);
    assert!(passed < MOST / 2, "{passed} messages passed {FEW} queries");
}

#[tokio::test(start_paused = true)]
async fn neither_outlasts_the_stop() {
    const ENDLESS: usize = 10 * MOST;
    for (queries, messages) in [(ENDLESS, 0), (ENDLESS, ENDLESS)] {
        let (connection, progress) = connection(queries, messages);
        let stop = CancellationToken::new();
        let begun = Instant::now();
        stop.cancel();
        let passing = tokio::spawn(async {
            loop {
                advance(Duration::from_millis(50)).await;
            }
        });
        connection.run(&stop).await.expect("is stopped");
        passing.abort();
        assert!(counted(&progress.reads) < queries, "{messages}: it was answered to its end");
        assert!(begun.elapsed() < 2 * DRAIN_MAX, "{messages}: {:?}", begun.elapsed());
    }
}
