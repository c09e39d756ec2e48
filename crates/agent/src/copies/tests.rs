use std::net::Ipv4Addr;
use std::sync::Mutex;

use holdfast_seal::SealingKeys;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::seams::{SystemClock, SystemEntropy};
use crate::testing::{Alone, leaderless_group, led_group};

const SOA: u16 = 6;
const AXFR: u16 = 252;
const NS: u16 = 2;
const DNSKEY: u16 = 48;
/// Name servers and mailboxes: `n.test`.
const SERVER: &[u8] = b"\x01n\x04test\0";
const APEX: &[u8] = b"\x07example\x04test\0";

fn apex() -> DnsName {
    DnsName::new("example.test").expect("a name")
}

fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short").to_be_bytes();
    let fixed = [kind.to_be_bytes(), [0, 1], [0, 0], [0, 60], length].concat();
    [APEX, &fixed, data].concat()
}

fn soa(serial: u32) -> Vec<u8> {
    let numbers = [serial, 3_600, 600, 86_400, 60].map(u32::to_be_bytes).concat();
    record(SOA, &[SERVER, SERVER, &numbers].concat())
}

/// A primary of `example.test` that keeps a note of the types that it is asked for.
struct Primary {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<u16>>>,
}

impl Primary {
    /// One whose zone has this serial and, beside a name server, these records at its apex.
    async fn with(serial: u32, more: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::<Mutex<Vec<u16>>>::default();
        let noted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let length = stream.read_u16().await.expect("a question");
                let mut question = vec![0; usize::from(length)];
                stream.read_exact(&mut question).await.expect("a question");
                let kind =
                    u16::from_be_bytes([question[12 + APEX.len()], question[13 + APEX.len()]]);
                noted.lock().expect("not poisoned").push(kind);
                let mut records = vec![soa(serial)];
                if kind == AXFR {
                    records.push(record(NS, SERVER));
                    records.extend(more.iter().cloned());
                    records.push(soa(serial));
                }
                let count = u16::try_from(records.len()).expect("few").to_be_bytes();
                let head =
                    [question[..2].to_vec(), vec![0x84, 0, 0, 1], count.to_vec(), vec![0; 4]];
                let reply = [head.concat(), question[12..].to_vec(), records.concat()].concat();
                let length = u16::try_from(reply.len()).expect("short").to_be_bytes();
                stream.write_all(&[&length, &reply[..]].concat()).await.expect("is read");
            }
        });
        Self { address, asked }
    }

    /// What it was asked for since this was looked at.
    fn asked(&self) -> Vec<u16> {
        std::mem::take(&mut *self.asked.lock().expect("not poisoned"))
    }
}

fn copies(group: &Group) -> Copies {
    Copies {
        group: group.clone(),
        peers: Peers::new("test".to_owned(), AgentId(1), group.clone(), Arc::new(Alone)),
        transfers: Arc::new(Transfers::new(SealingKeys::default(), Arc::new(SystemClock))),
        from: Arc::from([]),
        entropy: Arc::new(SystemEntropy),
        notices: Arc::default(),
    }
}

fn attempt(primary: &Primary, declared: u64, refusals: Refusals) -> Attempt {
    Attempt {
        term: 1,
        zone: apex(),
        declared,
        primaries: Primaries { addresses: vec![primary.address], key: None },
        known: None,
        stale: false,
        overdue: false,
        refusals: refusals.of(declared),
    }
}

#[tokio::test]
async fn a_serial_that_cannot_be_taken_is_fetched_once_for_a_declaration() {
    let copies = copies(&leaderless_group().await);
    let key = record(DNSKEY, &[1, 1, 3, 13, 0, 0, 0, 0]);
    let primary = Primary::with(7, vec![key]).await;
    let mut first = attempt(&primary, 5, Refusals::default());
    let told = copies.refresh(&mut first).await.expect_err("it is signed already");
    assert!(told.contains("serial 7") && told.contains("zones are signed here"), "{told}");
    assert_eq!(primary.asked(), [SOA, AXFR]);
    let mut again = attempt(&primary, 5, first.refusals);
    assert_eq!(copies.refresh(&mut again).await, Err(told.clone()), "it is told why");
    let Ended { found, refusals, .. } = copies.clone().attempt(again).await;
    assert_eq!((found, primary.asked()), (None, vec![SOA, SOA]), "and not fetched");
    let mut anew = attempt(&primary, 6, refusals);
    assert_eq!(copies.refresh(&mut anew).await, Err(told));
    assert_eq!(primary.asked(), [SOA, AXFR]);
}

#[tokio::test]
async fn what_a_former_leader_fetched_is_neither_taken_nor_refused() {
    let copies = copies(&led_group().await);
    let primary = Primary::with(7, Vec::new()).await;
    let late = Attempt { term: 0, ..attempt(&primary, 5, Refusals::default()) };
    let Ended { found, refusals, .. } = copies.attempt(late).await;
    assert_eq!((found, primary.asked()), (Some(Found::Superseded), vec![SOA, AXFR]));
    assert_eq!(refusals.at(primary.address, Instant::now()), None, "the next leader may take it");
}
