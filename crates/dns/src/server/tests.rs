//! A stop ends even where something of the server does not.

use std::future::pending;

use tokio::time::Instant;

use super::*;

fn server(shutdown: &CancellationToken) -> DnsServer {
    DnsServer {
        geo: Geo::default(),
        addresses: Vec::new(),
        encrypted: Vec::new(),
        kept: Kept::of(&[], None, &crate::publish::channel().1).expect("nothing is kept"),
        tasks: TaskTracker::new(),
        threads: Vec::new(),
        parts: Parts::default(),
        shutdown: shutdown.clone(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_never_ends_does_not_hold_up_a_stop() {
    let shutdown = CancellationToken::new();
    let server = server(&shutdown);
    server.tasks.spawn(server.parts.task("stuck", pending()));
    shutdown.cancel();
    let begun = Instant::now();
    server.stopped().await;
    assert!(begun.elapsed() >= STOP_PATIENCE, "it was waited for");
}

#[tokio::test]
async fn a_runtime_that_died_is_named_and_does_not_hold_up_a_stop() {
    let shutdown = CancellationToken::new();
    let mut server = server(&shutdown);
    let part = Part::new("dns-tcp", Precedence::First).expect("a runtime");
    let task = server.parts.task("tcp at 192.0.2.1:53", pending());
    server.tasks.spawn_on(task, part.runtime.handle());
    let died =
        server.parts.thread(part.name, move || part.runtime.block_on(async { panic!("as told") }));
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let lives = server.parts.thread("dns-udp-0".to_owned(), move || {
        stopped.recv().unwrap_or_default();
    });
    server.threads = vec![died.expect("a thread"), lives.expect("a thread")];
    while !server.threads[0].is_finished() {
        tokio::task::yield_now().await;
    }
    let mut ended = server.parts.ended();
    ended.sort();
    assert_eq!(ended, ["dns-tcp", "tcp at 192.0.2.1:53"]);
    drop(stop);
    shutdown.cancel();
    server.stopped().await;
}
