//! `holdfast dns ttl …`: a lower TTL for a while, before a change, and the moment from which the change reaches everybody.
//!
//! A resolver that was told the old TTL keeps its answer for as long. So the old TTL is over when the last agent began to
//! tell the new one, and as long again has passed. `lower` asks every agent when that was, and waits until it is over.

use std::time::Duration;

use holdfast_core::time::millis;
use holdfast_core::ttl::FLOOR;
use holdfast_core::{DnsName, ServiceId, Timestamp};
use holdfast_wire::pb::v1 as pb;
use serde_json::json;

use crate::client::{Client, overrides};
use crate::clock;
use crate::command::dns::preview;
use crate::command::service::{consistency, get, or_stale};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Page, Table, note};
use crate::session::{Outcome, Session};
use crate::survey::leader_view;
use crate::words::{self, parse_duration};

/// The pause between two looks at an agent that has not applied the order yet.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long one agent may take to say that it tells the new TTL.
const PATIENCE: Duration = Duration::from_secs(5);

/// Commands of `dns ttl`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Tell a lower TTL for a while, and wait until the old one is over.
    Lower(LowerArgs),
    /// Show the orders for a lower TTL.
    List,
    /// End the orders for a lower TTL of a service.
    Restore(RestoreArgs),
}

/// Arguments of `dns ttl lower`.
#[derive(Debug, clap::Args)]
pub(crate) struct LowerArgs {
    /// The service, or its DNS name.
    name: String,
    /// For how long: 1s to 30d.
    #[arg(long = "for", value_parser = parse_duration, value_name = "DURATION")]
    lasting: Duration,
    /// The TTL to tell; the least that the service allows (`dns.ttl_min`) where absent.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    to: Option<Duration>,
    /// Why; stands in the audit chain.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new(), value_name = "TEXT")]
    reason: String,
    /// Say when the old TTL is over, and do not wait for it.
    #[arg(long)]
    detach: bool,
}

/// Arguments of `dns ttl restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The service, or its DNS name.
    name: String,
    /// Why; stands in the audit chain.
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

/// Runs a command about TTLs.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    match args {
        Args::Lower(args) => lower(args, session).await,
        Args::List => list(session).await,
        Args::Restore(args) => restore(args, session).await,
    }
}

/// The service of this id, or the one whose name this is.
async fn service_of(client: &Client, text: &str) -> Result<ServiceId, Failure> {
    if let Ok(id) = text.parse::<ServiceId>() {
        return Ok(id);
    }
    let name: DnsName = text.parse().map_err(|error| {
        Failure::usage(format!("{text:?} is neither a service nor a DNS name: {error}"))
    })?;
    let answer = preview(client, name.as_str(), "A", 0).await?;
    answer.service.parse().map_err(|_| {
        Failure::error(format!("{name} is no service's name"))
            .next("holdfast service list shows services and their names")
    })
}

/// The orders for a lower TTL, of one service or of all.
async fn orders(client: &Client, service: &str) -> Result<Vec<pb::Override>, Failure> {
    let message =
        pb::ListOverridesRequest { consistency: consistency(false), service: service.to_owned() };
    let answer = client.call("list overrides", async |channel| {
        overrides(channel).list_overrides(client.request(message.clone())).await
    });
    let mut orders = answer.await.map_err(or_stale)?.value.overrides;
    orders.retain(|order| lowered_to(order).is_some());
    Ok(orders)
}

fn lowered_to(order: &pb::Override) -> Option<u64> {
    match order.order.as_ref()?.order {
        Some(pb::order::Order::LowerTtlMs(to)) => Some(to),
        _ => None,
    }
}

async fn lower(args: LowerArgs, session: &Session) -> Outcome {
    let mut client = session.client()?;
    let service = service_of(&client, &args.name).await?;
    let before = get(&client, &service, false).await?;
    let dns = before.service.and_then(|entry| entry.spec).and_then(|spec| spec.dns);
    let dns = dns.ok_or_else(|| Failure::error(format!("service {service} has no DNS name")))?;
    let to = args.to.map_or(dns.ttl_min_ms.unwrap_or(millis(FLOOR)), millis);
    let order = set(&client, &service, to, &args).await?;
    client.renew();
    let published_at = published(&client, &dns.name, order.index).await?;
    client.renew();
    let after = get(&client, &service, false).await?;
    let ttl = after.service.and_then(|entry| entry.status).and_then(|status| status.ttl);
    let ttl = ttl.ok_or_else(|| Failure::error(format!("service {service} tells no TTL")))?;
    let set_at = Timestamp(order.expires_at_ms).before(args.lasting);
    let safe_at = safe_at(&ttl, set_at, published_at);
    let text = format!(
        "service {service} tells {} until {} (override {})\nsafe to cut over at {}",
        words::seconds(to),
        words::moment(order.expires_at_ms),
        order.id,
        words::moment(safe_at.0)
    );
    let data = json!({
        "id": order.id, "service": service.to_string(), "ttl_ms": to, "safe_at_ms": safe_at.0,
        "published_at_ms": published_at.0, "expires_at_ms": order.expires_at_ms,
    });
    session.out.page(&Page::line(data, text))?;
    if !args.detach {
        wait_until(safe_at).await;
        note("the old TTL is over: every resolver that keeps to TTLs asks again");
    }
    Ok(Exit::Success)
}

async fn set(
    client: &Client,
    service: &ServiceId,
    to: u64,
    args: &LowerArgs,
) -> Result<pb::SetOverrideResponse, Failure> {
    let message = pb::SetOverrideRequest {
        request_id: client.request_id(),
        service: service.to_string(),
        order: Some(pb::Order { order: Some(pb::order::Order::LowerTtlMs(to)) }),
        reason: args.reason.clone(),
        lasting_ms: millis(args.lasting),
    };
    let answer = client.call(format!("lower the TTL of service {service}"), async |channel| {
        overrides(channel).set_override(client.request(message.clone())).await
    });
    Ok(answer.await?.value)
}

/// When the last agent was seen to answer from `index` or later. An agent that cannot be asked is named.
async fn published(client: &Client, name: &str, index: u64) -> Result<Timestamp, Failure> {
    let cluster = leader_view(client).await?;
    let seen = cluster.members.iter().map(async |member| {
        let Ok(only) = client.only(&member.api_address, PATIENCE) else { return None };
        tokio::time::timeout(PATIENCE, seen_at(&only, name, index)).await.ok().flatten()
    });
    let seen = futures_util::future::join_all(seen).await;
    for (member, seen) in cluster.members.iter().zip(&seen) {
        if seen.is_none() {
            note(&format!(
                "{} could not be asked: it may still tell the old TTL (holdfast cluster status)",
                member.name
            ));
        }
    }
    Ok(seen.into_iter().flatten().max().unwrap_or_else(clock::now))
}

async fn seen_at(client: &Client, name: &str, index: u64) -> Option<Timestamp> {
    loop {
        if preview(client, name, "A", 0).await.ok()?.index >= index {
            return Some(clock::now());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// When the last resolver that was told a longer TTL has forgotten it: what was left of it when it was ordered, counted
/// from the moment at which the last agent had taken the order.
fn safe_at(ttl: &pb::Ttl, set_at: Timestamp, published_at: Timestamp) -> Timestamp {
    published_at + Timestamp(ttl.forgotten_at_ms).since(set_at)
}

async fn wait_until(moment: Timestamp) {
    let left = moment.since(clock::now());
    tokio::time::sleep(left).await;
}

async fn list(session: &Session) -> Outcome {
    let orders = orders(&session.client()?, "").await?;
    session.out.page(&list_page(&orders, clock::now()))?;
    Ok(Exit::Success)
}

fn list_page(orders: &[pb::Override], now: Timestamp) -> Page {
    let columns = ["ID", "SERVICE", "TTL", "BY", "LEFT", "REASON"].map(Column::new);
    let mut table = Table::new(columns);
    let mut data = Vec::new();
    for order in orders {
        let to = lowered_to(order).unwrap_or_default();
        let left = Timestamp(order.expires_at_ms).since(now);
        table.row([
            Cell::new(order.id),
            order.service.as_str().into(),
            words::seconds(to).into(),
            order.actor.as_str().into(),
            words::duration(millis(left)).into(),
            order.reason.as_str().into(),
        ]);
        data.push(json!({
            "id": order.id, "service": order.service, "ttl_ms": to, "actor": order.actor,
            "reason": order.reason, "set_at_ms": order.set_at_ms, "expires_at_ms": order.expires_at_ms,
        }));
    }
    let page = Page::new(json!({ "orders": data }));
    if table.is_empty() { page.text("no TTL is lowered") } else { page.table(table) }
}

async fn restore(args: RestoreArgs, session: &Session) -> Outcome {
    let mut client = session.client()?;
    let service = service_of(&client, &args.name).await?;
    let orders = orders(&client, &service.to_string()).await?;
    if orders.is_empty() {
        return Err(Failure::error(format!("the TTL of service {service} is not lowered"))
            .next("holdfast dns ttl list"));
    }
    for (part, order) in orders.iter().enumerate() {
        client.renew();
        let message = pb::ClearOverrideRequest {
            request_id: client.request_id_of_part(part),
            id: order.id,
            reason: args.reason.clone(),
        };
        let clearing = &client;
        let cleared = clearing.call(format!("clear override {}", order.id), async |channel| {
            overrides(channel).clear_override(clearing.request(message.clone())).await
        });
        cleared.await?;
    }
    let ids: Vec<u64> = orders.iter().map(|order| order.id).collect();
    let text = format!("the TTL of service {service} is as declared again, unless it is doubted");
    session.out.page(&Page::line(json!({ "service": service.to_string(), "ended": ids }), text))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1000;

    fn ttl(forgotten_at_ms: u64) -> pb::Ttl {
        pb::Ttl { served_ms: 5 * SECOND, forgotten_at_ms, ..pb::Ttl::default() }
    }

    #[test]
    fn the_old_ttl_counts_from_the_last_agent_that_told_it() {
        // Ordered at 100 s with 300 s told, so the group forgets at 400 s; the last agent was seen at 102 s.
        let safe = safe_at(&ttl(400 * SECOND), Timestamp(100 * SECOND), Timestamp(102 * SECOND));
        assert_eq!(safe, Timestamp(402 * SECOND));
    }

    #[test]
    fn what_was_short_for_long_is_safe_at_once() {
        let safe = safe_at(&ttl(90 * SECOND), Timestamp(100 * SECOND), Timestamp(102 * SECOND));
        assert_eq!(safe, Timestamp(102 * SECOND));
    }

    #[test]
    fn orders_are_listed_with_their_ttl() {
        let order = pb::Override {
            id: 7,
            service: "shop".into(),
            order: Some(pb::Order { order: Some(pb::order::Order::LowerTtlMs(5000)) }),
            actor: "ada".into(),
            reason: "move".into(),
            set_at_ms: 0,
            expires_at_ms: 60_000,
        };
        let page = list_page(&[order], Timestamp(30_000));
        let text = page.render(crate::output::Format::Table, false).expect("printable");
        assert_eq!(
            text,
            "ID  SERVICE  TTL  BY   LEFT   REASON\n7   shop     5s   ada  30.0s  move\n"
        );
    }
}
