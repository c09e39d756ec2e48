//! Agents that are replaced while clients ask them at a constant rate: no answer is lost, and none is wrong.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use holdfast_tests::process::run;
use holdfast_tests::scenario::NAME;
use holdfast_tests::{Scene, binary, scenario};
use tokio::time::Instant;

/// So many client sockets: the kernel spreads them over the sockets of the server.
const SOCKETS: usize = 16;
/// Between two datagrams: less than what the answers of one prefix may take (`dns.rate_limit_per_prefix`).
const DATAGRAM_EVERY: Duration = Duration::from_millis(5);
/// Between two connections, and two queries of the one that stays.
const QUERY_EVERY: Duration = Duration::from_millis(10);
/// An answer that has not come by then is lost.
const PATIENCE: Duration = Duration::from_secs(5);

fn query(id: u16) -> Result<Vec<u8>> {
    let mut query = Message::query();
    query.metadata.id = id;
    query.add_query(Query::query(Name::from_ascii(format!("{NAME}."))?, RecordType::A));
    Ok(query.to_vec()?)
}

/// The id of a reply, which has to be the expected answer.
fn check(reply: &[u8], expected: Ipv4Addr) -> Result<u16> {
    let reply = Message::from_vec(reply)?;
    let code = reply.metadata.response_code;
    let right = |data: &RData| matches!(data, RData::A(address) if address.0 == expected);
    let good = code == ResponseCode::NoError
        && reply.answers.len() == 1
        && reply.answers.iter().all(|record| right(&record.data));
    ensure!(good, "a wrong answer: {reply}");
    Ok(reply.metadata.id)
}

/// What a client asks, whom, and until when.
#[derive(Clone, Copy)]
struct Load<'a> {
    server: SocketAddr,
    expected: Ipv4Addr,
    over: &'a AtomicBool,
}

impl Load<'_> {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// Sends each query once, waits for none of them, and wants an answer to each; says how many there were.
    fn datagrams(&self) -> Result<usize> {
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(self.server)?;
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
        let mut answered = vec![false; usize::from(u16::MAX) + 1];
        let mut sent = 0;
        while self.goes_on() {
            ensure!(sent < answered.len(), "more queries than ids");
            sockets[sent % SOCKETS].send(&query(u16::try_from(sent)?)?)?;
            sent += 1;
            self.collect(&sockets, &mut answered)?;
            std::thread::park_timeout(DATAGRAM_EVERY);
        }
        let deadline = Instant::now() + PATIENCE;
        while answered[..sent].contains(&false) && Instant::now() < deadline {
            self.collect(&sockets, &mut answered)?;
            std::thread::park_timeout(DATAGRAM_EVERY);
        }
        let lost: Vec<usize> = (0..sent).filter(|id| !answered[*id]).collect();
        ensure!(lost.is_empty(), "of {sent} datagrams {} are lost: {lost:?}", lost.len());
        Ok(sent)
    }

    fn collect(&self, sockets: &[UdpSocket], answered: &mut [bool]) -> Result<()> {
        let mut reply = [0; 4096];
        for socket in sockets {
            loop {
                let length = match socket.recv(&mut reply) {
                    Ok(length) => length,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                };
                let id = usize::from(check(&reply[..length], self.expected)?);
                ensure!(!answered[id], "query {id} is answered twice");
                answered[id] = true;
            }
        }
        Ok(())
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn ask(&self, stream: &mut TcpStream, id: u16) -> Result<()> {
        let wire = query(id)?;
        stream.write_all(&[&u16::try_from(wire.len())?.to_be_bytes()[..], &wire].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply)?;
        ensure!(check(&reply, self.expected)? == id, "an answer to another query");
        Ok(())
    }

    /// Asks one query on each connection; says how many.
    fn connections(&self) -> Result<usize> {
        let mut count: usize = 0;
        while self.goes_on() {
            let id = u16::try_from(count % 60_000)?;
            self.connect()
                .and_then(|mut stream| self.ask(&mut stream, id))
                .with_context(|| format!("connection {count}"))?;
            count += 1;
            std::thread::park_timeout(QUERY_EVERY);
        }
        Ok(count)
    }

    /// Asks all on one connection, and where the server closes it on a new one, as RFC 7766 (6.2.4) asks of clients; a
    /// query that two connections do not answer is lost. Says how many there were, and on how many connections.
    fn one_connection(&self) -> Result<(usize, usize)> {
        let mut stream = self.connect()?;
        let (mut count, mut connections) = (0, 1);
        while self.goes_on() {
            let id = u16::try_from(count % 60_000)?;
            if self.ask(&mut stream, id).is_err() {
                stream = self.connect()?;
                connections += 1;
                self.ask(&mut stream, id).with_context(|| format!("query {count}, asked again"))?;
            }
            count += 1;
            std::thread::park_timeout(QUERY_EVERY);
        }
        Ok((count, connections))
    }
}

/// Writes the first agent's configuration anew with so many threads, and more lines.
fn configure(scene: &Scene, threads: usize, listen: Option<&str>) -> Result<()> {
    let node = &scene.cluster.nodes()[0];
    let set = format!("[dns]\nthreads = {threads}\n");
    let mut text = scene.cluster.config_text(node).replace("[dns]\n", &set);
    if let Some(more) = listen {
        text = text.replace(":53\"]", &format!(":53\", \"{more}\"]"));
    }
    ensure!(text.contains(&set), "the configuration has no [dns] to set threads in");
    Ok(std::fs::write(node.config(), text)?)
}

/// What happens while the clients ask.
fn replacements(scene: &mut Scene) -> Result<()> {
    for threads in [3, 1, 2] {
        configure(scene, threads, None)?;
        let old = scene.cluster.nodes()[0].pid()?;
        ensure!(scene.cluster.replace_node(0)?, "the agent that ran was not replaced");
        let new = scene.cluster.nodes()[0].pid()?;
        ensure!(new != old, "another process runs");
        let told = std::fs::read_to_string(format!("/proc/{new}/cmdline"))?;
        ensure!(told.contains("--replace"), "process {new} is the one that replaced: {told:?}");
        scene.cluster.await_ready_of(0)?;
    }
    Ok(())
}

/// An agent that would replace, and cannot answer where it is told to; and one that is not told to replace.
fn refusals(scene: &mut Scene) -> Result<()> {
    let old = scene.cluster.nodes()[0].pid()?;
    configure(scene, 2, Some("10.99.99.99:53"))?;
    ensure!(!scene.cluster.replace_node(0)?, "an address of another host is not answered at");
    ensure!(scene.cluster.nodes()[0].pid()? == old, "the old agent goes on");
    scene.cluster.await_ready_of(0)?;
    configure(scene, 2, None)?;
    let node = &scene.cluster.nodes()[0];
    let mut alone = node.host.command(binary::holdfast()?);
    let said = run(alone.arg("agent").arg("--config").arg(node.config()))?;
    ensure!(said.code != 0 && said.stderr.contains("--replace"), "it names the flag: {said:?}");
    Ok(())
}

/// Asks in three ways while `story` is told.
fn asked(scene: &mut Scene, story: impl FnOnce(&mut Scene) -> Result<()>) -> Result<usize> {
    let over = AtomicBool::new(false);
    let server = (scene.cluster.nodes()[0].address(), 53).into();
    let load = Load { server, expected: scene.eu.address(), over: &over };
    let client = scene.cluster.client.clone();
    std::thread::scope(|scope| {
        let datagrams = scope.spawn(|| client.inside(|| load.datagrams()));
        let connections = scope.spawn(|| client.inside(|| load.connections()));
        let one = scope.spawn(|| client.inside(|| load.one_connection()));
        let told = story(scene);
        over.store(true, Ordering::Relaxed);
        let ended = "the clients do not panic";
        let counts = (
            datagrams.join().expect(ended)?,
            connections.join().expect(ended)?,
            one.join().expect(ended)?,
        );
        println!(
            "datagrams, connections, (queries, connections of the one that stays): {counts:?}"
        );
        told.map(|()| counts.2.1)
    })
}

#[test]
fn no_answer_is_lost_while_an_agent_is_replaced_three_times() -> Result<()> {
    scenario(|scene| {
        let connections = asked(scene, replacements)?;
        ensure!(connections > 1, "the first agent ended, and its connection with it");
        Ok(())
    })
}

#[test]
fn an_agent_that_is_not_replaced_after_all_goes_on() -> Result<()> {
    scenario(|scene| asked(scene, refusals).map(drop))
}
