//! An audit store in trouble does not stop the group: leadership goes where changes can be taken, failovers are
//! decided all the while, and afterwards every chain is whole and equal.

mod cluster;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use holdfast_agent::world::Health;
use holdfast_consensus::ProposeError;
use holdfast_core::quorum::Verdict;
use holdfast_core::spec::{
    Address, Check, CheckKind, Endpoint, Failback, FailoverRules, NameServer, Policy, Pool, Quorum,
    Service, ServiceDns, SettingsChange, Soa, TcpCheck, Zone,
};
use holdfast_core::{AgentId, CheckName, Command, DnsName, EndpointName, PoolName, ServiceId};

use tokio::time::Instant;

use cluster::{Cluster, Member};

/// Entries between snapshots that a test does not reach.
const NEVER: u64 = 100_000;
/// Within this, a handing over or an election is over, with the default timings.
const ELECTION: Duration = Duration::from_secs(1);

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("a domain name")
}

fn pool_name(number: u8) -> PoolName {
    PoolName::new(&format!("pool-{number}")).expect("a pool's name")
}

fn address(pool: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, pool, 1).into()
}

fn zone() -> Zone {
    let second = Duration::from_secs;
    Zone::new(
        name("test.example"),
        Soa { negative_ttl: second(5), ..Soa::new(name("ops.test.example")) },
        vec![NameServer {
            name: name("ns.test.example"),
            addresses: vec![Ipv4Addr::new(10, 9, 0, 1).into()],
        }],
        second(300),
    )
}

/// A service with two pools of one endpoint each, and a text that makes one version differ from another.
fn shop(version: u32) -> Service {
    let pool = |number: u8| Pool {
        name: pool_name(number),
        region: None,
        priority: number.into(),
        weight: 10,
        min_up: 1,
        endpoints: vec![Endpoint {
            name: EndpointName::new(&format!("e{number}")).expect("an endpoint's name"),
            address: Address::Ip(address(number)),
            port: 80,
            weight: 10,
        }],
    };
    Service {
        id: ServiceId::new("shop").expect("a service's id"),
        dns: ServiceDns {
            txt: vec![format!("version {version}")],
            ..ServiceDns::new(name("shop.test.example"), Duration::from_secs(5))
        },
        policy: Policy::Failover,
        pools: vec![pool(0), pool(1)],
        checks: vec![Check {
            name: CheckName::new("tcp").expect("a check's name"),
            kind: CheckKind::Tcp(TcpCheck { port: None, send: Vec::new(), expect: Vec::new() }),
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(300),
            rise: 2,
            fall: 2,
            confirm: Duration::from_millis(150),
        }],
        quorum: Quorum::default(),
        failover: FailoverRules {
            failback: Failback::Manual,
            hold_down: Duration::from_secs(2),
            cooldown: Duration::from_secs(1),
            max_moves: 200,
            window: Duration::from_secs(30),
            ..FailoverRules::default()
        },
    }
}

fn version(number: u32) -> Command {
    Command::ApplyService { service: shop(number), if_revision: None }
}

/// Three members with the service in its first pool.
async fn serving(snapshot_every: u64) -> Cluster {
    let cluster = Cluster::start(snapshot_every).await;
    cluster.change(&Command::ApplyZone { zone: zone(), if_revision: None }).await;
    cluster.change(&version(0)).await;
    cluster.until("the first pool is served", |c| c.members.iter().all(|m| serves(m, 0))).await;
    cluster
}

/// Whether a member serves from this pool, and knows all endpoints' verdicts.
fn serves(member: &Member, pool: u8) -> bool {
    let view = member.agent.group.view().borrow().clone();
    let Some(shop) = view.services.get(&shop(0).id) else { return false };
    let judged = shop.endpoints.iter().all(|endpoint| endpoint.verdict != Verdict::Unknown);
    judged && shop.selection.active == Some(pool_name(pool))
}

fn is_halted(member: &Member) -> bool {
    matches!(member.agent.audit.health(), Health::Halted { mendable: true, .. })
}

/// Fills the leader's audit disk, and makes it notice.
async fn fill_up_leader(cluster: &Cluster) -> AgentId {
    let leader = cluster.leader().expect("somebody leads");
    leader.audit_disk.fill_up(true);
    leader.propose(version(1)).await.expect("it is not noticed yet");
    cluster.until("it is noticed", |_| is_halted(leader)).await;
    leader.id
}

fn member(cluster: &Cluster, id: AgentId) -> &Member {
    cluster.members.iter().find(|member| member.id == id).expect("it is one of three")
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_audit_disk_is_full_hands_over_and_is_filled_again() {
    let cluster = serving(NEVER).await;
    cluster.endpoints.refuse(address(0));
    let hurt = fill_up_leader(&cluster).await;
    let took = cluster.change(&version(2)).await;
    assert!(took < ELECTION, "changes were refused for {took:?}");
    assert!(is_halted(member(&cluster, hurt)), "another one took the change");
    let (heir, term) = {
        let heir = cluster.leader().expect("somebody leads");
        (heir.id, heir.agent.group.status().borrow().term)
    };
    assert_ne!(heir, hurt);
    cluster.until("no failover is lost", |c| c.members.iter().all(|m| serves(m, 1))).await;

    // Leadership stays where it is: through a minute of trouble, and after it.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(is_halted(member(&cluster, hurt)), "it is full still");
    member(&cluster, hurt).audit_disk.fill_up(false);
    cluster.until_chains_agree().await;
    cluster.change(&version(3)).await;
    cluster.until_chains_agree().await;
    let status = member(&cluster, heir).agent.group.status().borrow().clone();
    assert_eq!((status.leader, status.term), (Some(heir), term));
}

#[tokio::test(start_paused = true)]
async fn where_no_store_is_well_the_leader_stays_and_decides() {
    let cluster = serving(NEVER).await;
    cluster.members.iter().for_each(|member| member.audit_disk.fill_up(true));
    let leader = fill_up_leader(&cluster).await;
    cluster.until("all notice", |c| c.members.iter().all(is_halted)).await;
    let term = member(&cluster, leader).agent.group.status().borrow().term;
    let refused = member(&cluster, leader).propose(version(2)).await;
    match refused {
        Err(ProposeError::AuditRefused(why)) => assert!(why.contains("is full"), "{why}"),
        other => panic!("{other:?}"),
    }
    cluster.endpoints.refuse(address(0));
    cluster.until("no failover is lost", |c| c.members.iter().all(|m| serves(m, 1))).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let status = member(&cluster, leader).agent.group.status().borrow().clone();
    assert_eq!((status.leader, status.term), (Some(leader), term));

    cluster.members.iter().for_each(|member| member.audit_disk.fill_up(false));
    cluster.until_chains_agree().await;
    cluster.change(&version(3)).await;
    cluster.until_chains_agree().await;
}

/// Whoever leads finds its disk full, and the others have room.
#[tokio::test(start_paused = true)]
async fn stores_that_ail_in_turn_do_not_keep_the_group_in_its_warm_up() {
    let cluster = serving(NEVER).await;
    let warm_up = Duration::from_secs(90);
    let change = SettingsChange { warm_up: Some(warm_up), ..SettingsChange::default() };
    cluster.change(&Command::ChangeSettings(change)).await;
    cluster.endpoints.refuse(address(0));
    let (begun, mut hurt, mut handed_over) = (Instant::now(), None, 0);
    while !cluster.members.iter().all(|member| serves(member, 1)) {
        assert!(begun.elapsed() < 4 * warm_up, "nothing moved through {handed_over} leaders");
        if let Some(leader) = cluster.leader().filter(|leader| Some(leader.id) != hurt) {
            cluster.members.iter().for_each(|m| m.audit_disk.fill_up(m.id == leader.id));
            hurt = Some(leader.id);
            handed_over += 1;
            // It is noticed with the next record, whether or not anybody waits for it.
            let _ = leader.propose(version(handed_over)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(handed_over > 1, "no store ailed");
}

/// Stops the leader for good.
async fn stop_leader(cluster: &mut Cluster) {
    let place = cluster.members.iter().position(Member::leads).expect("somebody leads");
    cluster.members.remove(place).agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_halted_member_stands_back_for_one_that_is_well() {
    let mut cluster = serving(NEVER).await;
    let hurt = fill_up_leader(&cluster).await;
    cluster.until("another leads", |c| c.leader().is_some_and(|leader| leader.id != hurt)).await;
    stop_leader(&mut cluster).await;
    cluster.change(&version(2)).await;
    assert!(is_halted(member(&cluster, hurt)));
    assert_ne!(cluster.leader().expect("somebody leads").id, hurt);
}

#[tokio::test(start_paused = true)]
async fn halted_members_stand_where_nobody_else_can() {
    let mut cluster = serving(NEVER).await;
    cluster.members.iter().for_each(|member| member.audit_disk.fill_up(true));
    fill_up_leader(&cluster).await;
    cluster.until("all notice", |c| c.members.iter().all(is_halted)).await;
    stop_leader(&mut cluster).await;
    cluster.until("one of the two leads", |c| c.leader().is_some()).await;
    cluster.endpoints.refuse(address(0));
    cluster.until("no failover is lost", |c| c.members.iter().all(|m| serves(m, 1))).await;
    assert!(cluster.members.iter().all(is_halted));
}

#[tokio::test(start_paused = true)]
async fn the_log_of_a_halted_member_does_not_grow_without_bound() {
    let every = 50;
    let cluster = serving(every).await;
    let leader = cluster.leader().expect("somebody leads").id;
    let hurt = cluster.members.iter().find(|m| m.id != leader).expect("two follow");
    hurt.audit_disk.fill_up(true);
    cluster.change(&version(1)).await;
    cluster.until("it is noticed", |_| is_halted(hurt)).await;
    let stored = hurt.agent.audit.durable().borrow().index;
    let mut versions = 2..;
    while hurt.agent.group.status().borrow().snapshot_index <= stored {
        let number = versions.next().expect("there are many");
        assert!(u64::from(number) < 6 * every, "its log is not forgotten: {stored}");
        cluster.change(&version(number)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_halted(hurt), "it has stored nothing meanwhile");
    hurt.audit_disk.fill_up(false);
    cluster.until_chains_agree().await;
}
