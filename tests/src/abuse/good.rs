//! Clients as they should be: they ask as resolvers do, and count what they are answered.
//!
//! A question goes out over UDP, and again when nothing comes; a truncated reply, or no reply to the second, sends the
//! client to TCP, and a lost connection once more. With cookies, the server's is learnt and shown from then on.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{RData, RecordType};
use tokio::time::Instant;

use super::wire;
use crate::lab::Host;

const DNS: u16 = 53;
/// How long the replies to the first and the second question over UDP are awaited.
const PATIENCE: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(800)];
/// How long each step over TCP may take.
const TCP_PATIENCE: Duration = Duration::from_secs(3);
/// Connections that are tried.
const TCP_TRIES: usize = 3;

/// Clients that are not done by then have lost what they did not ask.
const LIMIT: Duration = Duration::from_secs(60);

/// How a host's clients ask.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The name.
    pub name: &'a str,
    /// Every address that is a right answer.
    pub right: &'a [Ipv4Addr],
    /// How many clients ask at a time.
    pub clients: usize,
    /// Questions of each.
    pub questions: u32,
    /// The time from one question of a client to the next.
    pub gap: Duration,
    /// Whether they use cookies.
    pub cookies: bool,
}

/// What clients were answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Questions.
    pub asked: u64,
    /// Right answers over UDP.
    pub by_udp: u64,
    /// Right answers over TCP.
    pub by_tcp: u64,
}

impl Tally {
    /// Errors: fewer than 999 of 1000 questions had a right answer, or too few were asked to tell.
    pub fn ensure_999_of_1000(&self) -> Result<()> {
        let answered = self.by_udp + self.by_tcp;
        ensure!(self.asked >= 1000, "too few questions to tell: {self:?}");
        ensure!(answered * 1000 >= self.asked * 999, "not 99.9 % were answered: {self:?}");
        Ok(())
    }

    fn add(self, other: Self) -> Self {
        Self {
            asked: self.asked + other.asked,
            by_udp: self.by_udp + other.by_udp,
            by_tcp: self.by_tcp + other.by_tcp,
        }
    }
}

/// Asks a server, from a host, as planned.
pub fn ask_much(host: &Host, server: Ipv4Addr, plan: Plan<'_>) -> Result<Tally> {
    host.inside(|| {
        std::thread::scope(|scope| {
            // A thread starts in the namespace of the one that starts it.
            let clients: Vec<_> = (0..plan.clients)
                .map(|_| scope.spawn(|| Client::new(server)?.ask_all(plan)))
                .collect();
            clients.into_iter().try_fold(Tally::default(), |sum, client| match client.join() {
                Ok(tally) => Ok(sum.add(tally?)),
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    })
}

/// Asks a server so many questions over TCP from a host, on a connection each, one after the other.
pub fn ask_over_tcp(
    host: &Host,
    server: Ipv4Addr,
    (name, right, questions): (&str, &[Ipv4Addr], u32),
) -> Result<Tally> {
    let plan = Plan { name, right, clients: 1, questions, gap: Duration::ZERO, cookies: false };
    host.inside(|| {
        let mut client = Client::new(server)?;
        let mut tally = Tally { asked: u64::from(questions), ..Tally::default() };
        let deadline = Instant::now() + LIMIT;
        for _ in (0..questions).take_while(|_| Instant::now() < deadline) {
            let mut tries = 0..TCP_TRIES;
            tally.by_tcp +=
                u64::from(tries.any(|_| client.is_right_over_tcp(plan).unwrap_or(false)));
        }
        Ok(tally)
    })
}

struct Client {
    server: SocketAddr,
    socket: UdpSocket,
    id: u16,
    /// Ours, and the server's behind it once it is known.
    cookie: Vec<u8>,
}

/// What one try led to.
enum Reply {
    Addresses(Vec<Ipv4Addr>),
    Truncated,
}

impl Client {
    fn new(server: Ipv4Addr) -> Result<Self> {
        let server = SocketAddr::from((server, DNS));
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(server)?;
        let port = socket.local_addr()?.port();
        let cookie = [port.to_be_bytes(), [0x5a; 2], [0xa5; 2], port.to_le_bytes()].concat();
        Ok(Self { server, socket, id: port, cookie })
    }

    fn ask_all(&mut self, plan: Plan<'_>) -> Result<Tally> {
        let mut tally = Tally { asked: u64::from(plan.questions), ..Tally::default() };
        let mut due = Instant::now();
        let deadline = due + LIMIT;
        for _ in 0..plan.questions {
            if Instant::now() >= deadline {
                break;
            }
            while let Some(left) = due.checked_duration_since(Instant::now()) {
                if left.is_zero() {
                    break;
                }
                std::thread::park_timeout(left);
            }
            due = Instant::now() + plan.gap;
            if self.is_right_over_udp(plan)? {
                tally.by_udp += 1;
            } else if (0..TCP_TRIES).any(|_| self.is_right_over_tcp(plan).unwrap_or(false)) {
                tally.by_tcp += 1;
            }
        }
        Ok(tally)
    }

    fn query(&mut self, plan: Plan<'_>) -> Result<Vec<u8>> {
        self.id = self.id.wrapping_add(1);
        if plan.cookies {
            wire::query_with_cookie(self.id, plan.name, &self.cookie)
        } else {
            wire::query(self.id, plan.name, RecordType::A)
        }
    }

    fn is_right_over_udp(&mut self, plan: Plan<'_>) -> Result<bool> {
        for patience in PATIENCE {
            let query = self.query(plan)?;
            self.socket.send(&query)?;
            let deadline = Instant::now() + patience;
            while let Some(left) = deadline.checked_duration_since(Instant::now()) {
                if left.is_zero() {
                    break;
                }
                self.socket.set_read_timeout(Some(left))?;
                let mut buffer = [0; 4096];
                let Ok(size) = self.socket.recv(&mut buffer) else { break };
                match self.read(&buffer[..size]) {
                    Ok(Some(Reply::Addresses(addresses))) => return Ok(is_right(plan, &addresses)),
                    Ok(Some(Reply::Truncated)) => return Ok(false),
                    Ok(None) => {}
                    Err(error) => return Err(error.context("a reply over UDP")),
                }
            }
        }
        Ok(false)
    }

    fn is_right_over_tcp(&mut self, plan: Plan<'_>) -> Result<bool> {
        let mut stream = TcpStream::connect_timeout(&self.server, TCP_PATIENCE)?;
        stream.set_read_timeout(Some(TCP_PATIENCE))?;
        stream.set_write_timeout(Some(TCP_PATIENCE))?;
        let query = self.query(plan)?;
        let length = u16::try_from(query.len())?;
        stream.write_all(&[&length.to_be_bytes()[..], &query].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply)?;
        match self.read(&reply)?.context("a reply to another question")? {
            Reply::Addresses(addresses) => Ok(is_right(plan, &addresses)),
            Reply::Truncated => bail!("truncated over TCP"),
        }
    }

    /// Reads a reply; none where it is to an earlier question. Errors: neither an answer nor truncated.
    fn read(&mut self, reply: &[u8]) -> Result<Option<Reply>> {
        let message = Message::from_vec(reply)?;
        if message.metadata.id != self.id {
            return Ok(None);
        }
        let edns = message.edns.as_ref();
        if let Some(EdnsOption::Unknown(_, cookie)) =
            edns.and_then(|edns| edns.option(EdnsCode::Cookie))
        {
            cookie.clone_into(&mut self.cookie);
        }
        if message.metadata.truncation {
            return Ok(Some(Reply::Truncated));
        }
        let code = message.metadata.response_code;
        if code == ResponseCode::BADCOOKIE {
            // The cookie that came with it is good: the next try shows it.
            return Ok(None);
        }
        ensure!(code == ResponseCode::NoError, "{code} was answered");
        let addresses = message.answers.iter().filter_map(|record| match record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        });
        Ok(Some(Reply::Addresses(addresses.collect())))
    }
}

fn is_right(plan: Plan<'_>, addresses: &[Ipv4Addr]) -> bool {
    !addresses.is_empty() && addresses.iter().all(|address| plan.right.contains(address))
}
