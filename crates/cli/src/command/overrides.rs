//! `holdfast override …`: orders that outrank the automatic decision, each with an owner, a reason and an expiry.

use std::str::FromStr;
use std::time::Duration;

use holdfast_core::time::millis;
use holdfast_core::{EndpointName, PoolName, ServiceId};
use holdfast_wire::pb::v1 as pb;

use crate::client::overrides;
use crate::clock;
use crate::command::service::{consistency, or_stale};
use crate::exit::Exit;
use crate::output::{Cell, Column, Page, Table, json};
use crate::session::{Outcome, Session};
use crate::words::{self, parse_duration};

/// Commands of `override`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Order something about a service, for a while.
    Set(SetArgs),
    /// Show the orders in force.
    List(ListArgs),
    /// End an order.
    Clear(ClearArgs),
}

/// Arguments of `override set`.
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// The service.
    service: ServiceId,
    #[command(flatten)]
    order: OrderArgs,
    /// For how long: 1s to 30d.
    #[arg(long = "for", value_parser = parse_duration, value_name = "DURATION")]
    lasting: Duration,
    /// Why; stands in the audit chain.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new(), value_name = "TEXT")]
    reason: String,
}

/// What is ordered: one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct OrderArgs {
    /// Answer with this pool, whatever its verdict.
    #[arg(long, value_name = "POOL")]
    pin: Option<PoolName>,
    /// Count endpoint/NAME or pool/NAME as up, whatever observers say.
    #[arg(long, value_name = "WHAT")]
    force_up: Option<Scope>,
    /// Count endpoint/NAME or pool/NAME as down, whatever observers say.
    #[arg(long, value_name = "WHAT")]
    force_down: Option<Scope>,
    /// Take endpoint/NAME or pool/NAME out of the answers while anything else is left.
    #[arg(long, value_name = "WHAT")]
    drain: Option<Scope>,
}

/// Arguments of `override list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<ServiceId>,
    /// What the member asked knows, without asking the leader.
    #[arg(long)]
    stale: bool,
}

/// Arguments of `override clear`.
#[derive(Debug, clap::Args)]
pub(crate) struct ClearArgs {
    /// Its number, as `override list` shows.
    id: u64,
    /// Why; stands in the audit chain.
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

/// What of a service an order touches.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    Endpoint(EndpointName),
    Pool(PoolName),
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some(("endpoint", name)) => {
                name.parse().map(Self::Endpoint).map_err(|error| format!("{error}"))
            }
            Some(("pool", name)) => {
                name.parse().map(Self::Pool).map_err(|error| format!("{error}"))
            }
            _ => Err(format!(
                "{text:?} does not say what it touches; write endpoint/NAME or pool/NAME"
            )),
        }
    }
}

impl Scope {
    fn to_proto(&self) -> pb::Scope {
        let scope = match self {
            Self::Endpoint(name) => pb::scope::Scope::Endpoint(name.to_string()),
            Self::Pool(name) => pb::scope::Scope::Pool(name.to_string()),
        };
        pb::Scope { scope: Some(scope) }
    }
}

impl OrderArgs {
    fn to_proto(&self) -> pb::Order {
        use pb::order::Order;
        let scoped = |scope: &Option<Scope>| scope.as_ref().map(Scope::to_proto);
        let order = self.pin.as_ref().map(|pool| Order::Pin(pool.to_string()));
        let order = order.or_else(|| scoped(&self.force_up).map(Order::ForceUp));
        let order = order.or_else(|| scoped(&self.force_down).map(Order::ForceDown));
        pb::Order { order: order.or_else(|| scoped(&self.drain).map(Order::Drain)) }
    }

    /// Whether observers are overruled: an answer may then be wrong for sure.
    fn overrules_observers(&self) -> bool {
        self.force_up.is_some() || self.force_down.is_some()
    }
}

/// Runs a command about orders.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    match args {
        Args::Set(args) => set(args, session).await,
        Args::List(args) => list(args, session).await,
        Args::Clear(args) => clear(args, session).await,
    }
}

async fn set(args: SetArgs, session: &Session) -> Outcome {
    let order = args.order.to_proto();
    let told = words::order(Some(&order));
    if args.order.overrules_observers() {
        session.confirm(&format!("order {told} for service {}", args.service))?;
    }
    let client = session.client()?;
    let message = pb::SetOverrideRequest {
        request_id: client.request_id(),
        service: args.service.to_string(),
        order: Some(order),
        reason: args.reason,
        lasting_ms: millis(args.lasting),
    };
    let answer = client
        .call(format!("order {told} for service {}", args.service), async |channel| {
            overrides(channel).set_override(client.request(message.clone())).await
        });
    let answer = answer.await?.value;
    let text = format!(
        "override {} on {}: {told}, until {}\nundo: holdfast override clear {}",
        answer.id,
        args.service,
        words::moment(answer.expires_at_ms),
        answer.id
    );
    session.out.page(&Page::line(json::of(&answer), text))?;
    Ok(Exit::Success)
}

async fn list(args: ListArgs, session: &Session) -> Outcome {
    let client = session.client()?;
    let message = pb::ListOverridesRequest {
        consistency: consistency(args.stale),
        service: args.service.map(|service| service.to_string()).unwrap_or_default(),
    };
    let answer = client.call("list overrides", async |channel| {
        overrides(channel).list_overrides(client.request(message.clone())).await
    });
    let answer = answer.await.map_err(or_stale)?.value;
    session.out.page(&list_page(&answer, clock::now().0))?;
    Ok(Exit::Success)
}

fn list_page(answer: &pb::ListOverridesResponse, now: u64) -> Page {
    let mut table = Table::new([
        Column::new("ID"),
        Column::new("SERVICE"),
        Column::new("ORDER"),
        Column::new("BY"),
        Column::new("LEFT"),
        Column::new("REASON"),
        Column::wide("SET"),
        Column::wide("EXPIRES"),
    ]);
    for order in &answer.overrides {
        table.row([
            Cell::new(order.id),
            order.service.as_str().into(),
            words::order(order.order.as_ref()).into(),
            order.actor.as_str().into(),
            words::duration(order.expires_at_ms.saturating_sub(now)).into(),
            order.reason.as_str().into(),
            words::moment(order.set_at_ms).into(),
            words::moment(order.expires_at_ms).into(),
        ]);
    }
    let paused = answer.pause.as_ref().map(|pause| {
        let left = words::duration(pause.expires_at_ms.saturating_sub(now));
        format!(
            "automation is paused by {} for another {left}: {} (holdfast resume)",
            pause.actor, pause.reason
        )
    });
    let page = Page::new(json::of(answer)).warnings(paused);
    if table.is_empty() { page.text("no overrides in force") } else { page.table(table) }
}

async fn clear(args: ClearArgs, session: &Session) -> Outcome {
    let client = session.client()?;
    let message = pb::ClearOverrideRequest {
        request_id: client.request_id(),
        id: args.id,
        reason: args.reason,
    };
    let answer = client.call(format!("clear override {}", args.id), async |channel| {
        overrides(channel).clear_override(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    session.out.page(&Page::line(
        json::of(&answer),
        format!("override {} cleared (index {})", args.id, answer.index),
    ))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::output::Format;
    use clap::Parser as _;

    fn order(flags: &[&str]) -> OrderArgs {
        let line = ["holdfast", "override", "set", "shop", "--for", "30m", "--reason", "r"]
            .iter()
            .chain(flags);
        match Cli::try_parse_from(line).expect("valid").command {
            Command::Override(Args::Set(args)) => args.order,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_flag_is_its_order() {
        for (flags, told, overrules) in [
            (["--pin", "eu"], "pin eu", false),
            (["--force-up", "endpoint/e1"], "force_up endpoint/e1", true),
            (["--force-down", "pool/eu"], "force_down pool/eu", true),
            (["--drain", "endpoint/e1"], "drain endpoint/e1", false),
        ] {
            let order = order(&flags);
            assert_eq!(words::order(Some(&order.to_proto())), told);
            assert_eq!(order.overrules_observers(), overrules, "{told}");
        }
    }

    #[test]
    fn orders_are_listed_with_what_is_left() {
        let one = pb::Override {
            id: 77,
            service: "shop".into(),
            order: Some(pb::Order { order: Some(pb::order::Order::Pin("eu".into())) }),
            actor: "ada".into(),
            reason: "maintenance".into(),
            set_at_ms: 0,
            expires_at_ms: 1_800_000,
        };
        let answer = pb::ListOverridesResponse {
            overrides: vec![one],
            ..pb::ListOverridesResponse::default()
        };
        let text = list_page(&answer, 600_000).render(Format::Table, false).expect("printable");
        let expected = "ID  SERVICE  ORDER   BY   LEFT    REASON\n77  shop     pin eu  ada  20m00s  maintenance\n";
        assert_eq!(text, expected);
    }
}
