//! Both sides of a handover in one process, each of them dying or hanging at each step.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::message::{Message, PAGE};
use super::*;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the other side is to hang.
const SHORT: Waits = Waits {
    greeting: Duration::from_millis(50),
    free: Duration::from_millis(50),
    release: Duration::from_millis(50),
    serving: Duration::from_millis(50),
};

fn uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn no_sockets() -> io::Result<Vec<OwnedFd>> {
    Ok(Vec::new())
}

/// A directory, and a running agent that is asked for its place with these waits.
fn stage(waits: Waits) -> (TempDir, JoinHandle<(Station, Successor)>) {
    let dir = tempfile::tempdir().expect("a directory");
    let station = Station::open(dir.path(), waits).expect("it takes a socket");
    let asked = tokio::spawn(async move {
        let successor = station.next(no_sockets).await;
        (station, successor)
    });
    (dir, asked)
}

fn connect(dir: &TempDir) -> UnixStream {
    running(dir.path()).expect("an agent runs")
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("in time")
}

#[tokio::test]
async fn sockets_and_place_go_to_the_agent_that_starts() {
    let dir = tempfile::tempdir().expect("a directory");
    let station = Station::open(dir.path(), Waits::default()).expect("it takes a socket");
    let file = socket_in(dir.path());
    let mode = file.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else can connect");
    let bind = |_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let sockets: Vec<UdpSocket> = (0..2 * PAGE + 3).map(bind).collect();
    let addresses = |sockets: &[UdpSocket]| -> Vec<SocketAddr> {
        sockets.iter().map(|socket| socket.local_addr().expect("bound")).collect()
    };
    let expected = addresses(&sockets);
    let given = move || sockets.iter().map(|one| one.try_clone().map(OwnedFd::from)).collect();
    let running_side = tokio::spawn(async move {
        let successor = station.next(given).await;
        successor.succeed(Some((2, 77))).await.expect("the other answers");
        drop(station);
        successor.give_place().await.expect("the other waits");
    });
    let asked = Predecessor::ask(connect(&dir), vec![uid()], Waits::default());
    let (predecessor, (descriptors, at)) = in_time(asked).await.expect("given");
    let sockets: Vec<UdpSocket> = descriptors.into_iter().map(UdpSocket::from).collect();
    assert_eq!((addresses(&sockets), at), (expected, Some((2, 77))));
    assert!(file.exists(), "the place is not given before DNS is answered");
    in_time(predecessor.take_over()).await.expect("the place");
    assert!(!file.exists(), "the place is free");
    in_time(running_side).await.expect("ends");
}

#[tokio::test]
async fn a_starting_agent_that_dies_leaves_the_running_one_in_charge() {
    for step in ["connected", "greeted", "given"] {
        let (dir, asked) = stage(Waits::default());
        let stream = connect(&dir);
        if step == "connected" {
            drop(stream);
            let next = connect(&dir);
            Message::Hello.send(&next).expect("the next one is heard");
            in_time(asked).await.expect("the one before is forgotten");
            continue;
        }
        Message::Hello.send(&stream).expect("heard");
        let (_station, successor) = in_time(asked).await.expect("asked");
        let stream = (step == "given").then_some(stream);
        let succeeding = tokio::spawn(async move { successor.succeed(None).await });
        if let Some(stream) = stream {
            let heard = tokio::task::spawn_blocking(move || {
                let sockets = Message::receive(&stream);
                (sockets, Message::receive(&stream))
            });
            let heard = in_time(heard).await.expect("no panic");
            assert!(matches!(heard, (Ok(Message::Sockets { .. }), Ok(Message::Free(None)))));
        }
        let error = in_time(succeeding).await.expect("no panic").expect_err(step);
        assert!(matches!(error, HandoverError::Broken { .. }), "{step}: {error}");
    }
}

#[tokio::test]
async fn a_running_agent_that_dies_gives_nothing() {
    for step in ["greeted", "given", "free"] {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(socket_in(dir.path())).expect("listens");
        let dying = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("asked");
            Message::receive(&stream).expect("a greeting");
            if step != "greeted" {
                let sockets = Message::Sockets { sockets: Vec::new(), pages_left: 0 };
                sockets.send(&stream).expect("heard");
            }
            if step == "free" {
                Message::Free(None).send(&stream).expect("heard");
            }
        });
        let asked = in_time(Predecessor::ask(connect(&dir), vec![uid()], Waits::default())).await;
        let error = match asked {
            Ok((predecessor, _)) if step == "free" => {
                in_time(predecessor.take_over()).await.expect_err(step)
            }
            asked => asked.map(drop).expect_err(step),
        };
        assert!(matches!(error, HandoverError::Broken { .. }), "{step}: {error}");
        dying.join().expect("no panic");
    }
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let (dir, asked) = stage(SHORT);
    let silent = connect(&dir);
    let stream = connect(&dir);
    Message::Hello.send(&stream).expect("it waits its turn");
    let (_station, successor) = in_time(asked).await.expect("the silent one is passed over");
    let error = in_time(successor.succeed(None)).await.expect_err("no answer comes");
    assert!(matches!(error, HandoverError::Silent { waited, .. } if waited == SHORT.serving));
    drop(silent);

    let dir = tempfile::tempdir().expect("a directory");
    let _listener = UnixListener::bind(socket_in(dir.path())).expect("listens");
    let asked = in_time(Predecessor::ask(connect(&dir), vec![uid()], SHORT)).await;
    let error = asked.map(drop).expect_err("no answer comes");
    assert!(matches!(error, HandoverError::Silent { .. }), "{error}");
}

#[tokio::test]
async fn other_versions_and_other_bytes_are_refused_in_words() {
    let long = [&[1, 0, 4, 1][..], &[0; 1025]].concat();
    for bytes in [&[2, 0, 0, 0][..], &[1, 9, 0, 0], &[1, 4, 0, 0], &[1, 3, 0, 1, 7], &long] {
        let (dir, _asked) = stage(Waits::default());
        let mut stream = connect(&dir);
        stream.write_all(bytes).expect("heard");
        let refused = tokio::task::spawn_blocking(move || {
            let refused = Message::receive(&stream);
            let mut rest = Vec::new();
            // What was not read makes the end a reset.
            let _ = stream.read_to_end(&mut rest);
            refused
        });
        match in_time(refused).await.expect("no panic") {
            Ok(Message::Refused(why)) => assert!(why.contains("without `--replace`"), "{why}"),
            other => panic!("{bytes:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn only_trusted_users_are_asked() {
    let (dir, _asked) = stage(Waits::default());
    let asked = Predecessor::ask(connect(&dir), vec![uid() + 1], Waits::default()).await;
    let error = asked.map(drop).expect_err("another user");
    assert!(matches!(error, HandoverError::Stranger { uid: found } if found == uid()), "{error}");
}

#[tokio::test]
async fn a_file_that_a_crash_left_is_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(running(dir.path()).is_none());
    drop(UnixListener::bind(socket_in(dir.path())).expect("listens"));
    assert!(socket_in(dir.path()).exists() && running(dir.path()).is_none());
    let station = Station::open(dir.path(), Waits::default()).expect("it takes the place");
    assert!(running(dir.path()).is_some());
    drop(station);
    assert!(running(dir.path()).is_none() && !socket_in(dir.path()).exists());
}

#[tokio::test]
async fn a_directory_is_released_when_its_locks_are() {
    let dir = tempfile::tempdir().expect("a directory");
    in_time(released(dir.path())).await.expect("there is nothing to release");
    std::fs::create_dir(dir.path().join("raft")).expect("made");
    let log = File::create(dir.path().join("raft/log.redb")).expect("made");
    log.lock().expect("locked");
    assert!(timeout(SHORT.release, released(dir.path())).await.is_err(), "it is in use");
    drop(log);
    in_time(released(dir.path())).await.expect("released");
}
