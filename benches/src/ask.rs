//! Asks DNS servers over UDP, as any client would.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How long one answer may take; the next question does not wait longer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);
/// Time between two questions while an answer is awaited.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// Questions under way while many names are asked.
const WINDOW: usize = 64;
/// Time between two rounds over many names.
const ROUND_PAUSE: Duration = Duration::from_millis(10);

/// Asks one server.
#[derive(Debug)]
pub(crate) struct Asker {
    socket: UdpSocket,
    server: SocketAddr,
    next_id: u16,
}

impl Asker {
    /// A socket connected to `server`.
    pub(crate) async fn new(server: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        socket.connect(server).await?;
        Ok(Self { socket, server, next_id: rand::random() })
    }

    /// The IPv4 addresses of a name. Errors: no answer in time, or not a message.
    pub(crate) async fn ask(&mut self, name: &Name) -> Result<Vec<Ipv4Addr>> {
        self.next_id = self.next_id.wrapping_add(1);
        self.socket.send(&question(self.next_id, name)?).await?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (id, addresses) =
                timeout(left, self.receive()).await.context("no answer in time")??;
            if id == self.next_id {
                return Ok(addresses);
            }
        }
    }

    /// Asks every millisecond until the answer is `expected` alone; returns when it was. Errors: not within `limit`.
    pub(crate) async fn await_answer(
        &mut self,
        name: &Name,
        expected: Ipv4Addr,
        limit: Duration,
    ) -> Result<Instant> {
        let deadline = Instant::now() + limit;
        let mut ticks = interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = String::from("nothing");
        while Instant::now() < deadline {
            ticks.tick().await;
            match self.ask(name).await {
                Ok(addresses) if addresses == [expected] => return Ok(Instant::now()),
                Ok(addresses) => last = format!("{addresses:?}"),
                Err(error) => last = error.to_string(),
            }
        }
        bail!(
            "{} did not answer {expected} for {name} within {limit:?}; its last answer was {last}",
            self.server
        )
    }

    /// Asks for all names, round after round, until each is answered with what `expected` gives for its place;
    /// returns when each was. Errors: not within `limit`.
    pub(crate) async fn await_all(
        &mut self,
        names: &[Name],
        expected: impl Fn(usize) -> Ipv4Addr,
        limit: Duration,
    ) -> Result<Vec<Instant>> {
        if names.len() > usize::from(u16::MAX) {
            bail!("at most {} names can be told apart", u16::MAX);
        }
        let deadline = Instant::now() + limit;
        let mut seen: Vec<Option<Instant>> = vec![None; names.len()];
        loop {
            let open: Vec<usize> =
                (0..names.len()).filter(|place| seen[*place].is_none()).collect();
            if open.is_empty() {
                return Ok(seen.into_iter().flatten().collect());
            }
            if Instant::now() >= deadline {
                let (count, of) = (open.len(), names.len());
                bail!(
                    "{}: {count} of {of} names have not moved within {limit:?}, such as {}",
                    self.server,
                    names[open[0]]
                );
            }
            for window in open.chunks(WINDOW) {
                self.ask_window(names, window, &expected, &mut seen).await?;
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    }

    /// Asks these names at once; an answer that does not come is asked for in the next round.
    async fn ask_window(
        &mut self,
        names: &[Name],
        window: &[usize],
        expected: &impl Fn(usize) -> Ipv4Addr,
        seen: &mut [Option<Instant>],
    ) -> Result<()> {
        for place in window {
            let id = u16::try_from(*place).expect("the caller bounds the names");
            self.socket.send(&question(id, &names[*place])?).await?;
        }
        for _ in window {
            let Ok(received) = timeout(ANSWER_TIMEOUT, self.receive()).await else { return Ok(()) };
            let (id, addresses) = received?;
            let place = usize::from(id);
            if place < names.len() && addresses == [expected(place)] && seen[place].is_none() {
                seen[place] = Some(Instant::now());
            }
        }
        Ok(())
    }

    async fn receive(&self) -> Result<(u16, Vec<Ipv4Addr>)> {
        let mut buffer = [0_u8; 4096];
        let size = self.socket.recv(&mut buffer).await?;
        let message = Message::from_vec(&buffer[..size])?;
        let addresses = message.answers.iter().filter_map(|record| match record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        });
        Ok((message.metadata.id, addresses.collect()))
    }
}

fn question(id: u16, name: &Name) -> Result<Vec<u8>> {
    let mut message = Message::query();
    message.metadata.id = id;
    message.add_query(Query::query(name.clone(), RecordType::A));
    Ok(message.to_vec()?)
}

/// Whether the server answers this name with anything.
pub(crate) async fn answers(server: SocketAddr, name: &Name) -> bool {
    match Asker::new(server).await {
        Ok(mut asker) => asker.ask(name).await.is_ok_and(|addresses| !addresses.is_empty()),
        Err(_) => false,
    }
}
