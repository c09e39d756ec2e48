//! `holdfast endpoint …`: endpoints that come, report and go by themselves.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::spec::{Address, Endpoint};
use holdfast_core::time::millis;
use holdfast_core::{CheckName, DnsName, EndpointName, PoolName, ServiceId};
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::client::{Client, registry};
use crate::context::split_address;
use crate::exit::Exit;
use crate::failure::{Failure, causes};
use crate::output::{Page, json, note};
use crate::session::{Outcome, Session};
use crate::words::{self, parse_duration};

/// Beats go out this many times per TTL where no interval is given.
const BEATS_PER_TTL: u32 = 3;
/// Beats under way at once.
const BEATS_IN_FLIGHT: usize = 4;
/// Time before another member is tried, once a stream has broken.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The least time between beats.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);
const CLOSED: &str = "the member closed the stream";

/// Commands of `endpoint`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Add an endpoint to a pool, or replace it.
    Register(RegisterArgs),
    /// Remove an endpoint.
    Deregister(DeregisterArgs),
    /// Say that an endpoint works, again and again, for a heartbeat check.
    Heartbeat(HeartbeatArgs),
}

/// Arguments of `endpoint register`.
#[derive(Debug, clap::Args)]
pub(crate) struct RegisterArgs {
    /// The service.
    service: ServiceId,
    /// The pool.
    pool: PoolName,
    /// The endpoint's name, unique in the service.
    name: EndpointName,
    /// An IP address or a domain name, and the port; IPv6 in brackets.
    #[arg(value_name = "ADDRESS:PORT")]
    address: Place,
    /// Share within its pool, for weighted answers.
    #[arg(long, default_value_t = 1)]
    weight: u16,
}

/// Arguments of `endpoint deregister`.
#[derive(Debug, clap::Args)]
pub(crate) struct DeregisterArgs {
    /// The service.
    service: ServiceId,
    /// The endpoint's name.
    name: EndpointName,
}

/// Arguments of `endpoint heartbeat`.
#[derive(Debug, clap::Args)]
pub(crate) struct HeartbeatArgs {
    /// The service.
    service: ServiceId,
    /// The endpoint's name.
    name: EndpointName,
    /// The heartbeat check's name.
    check: CheckName,
    /// Time between beats [default: a third of the check's TTL].
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    every: Option<Duration>,
    /// Send one beat and end.
    #[arg(long)]
    once: bool,
}

/// An address with its port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    address: Address,
    port: u16,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = split_address(text).ok_or_else(|| {
            format!("{text:?} is not ADDRESS:PORT, such as 192.0.2.10:80 or [2001:db8::1]:80")
        })?;
        let address = match host.parse::<IpAddr>() {
            Ok(ip) => Address::Ip(ip),
            Err(_) => Address::Name(DnsName::new(host).map_err(|error| error.to_string())?),
        };
        Ok(Self { address, port })
    }
}

/// Runs a command about endpoints.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    match args {
        Args::Register(args) => register(args, session).await,
        Args::Deregister(args) => deregister(&args, session).await,
        Args::Heartbeat(args) => heartbeat(&args, session).await,
    }
}

async fn register(args: RegisterArgs, session: &Session) -> Outcome {
    let client = session.client()?;
    let Place { address, port } = args.address;
    let endpoint = Endpoint { name: args.name, address, port, weight: args.weight };
    let message = pb::RegisterEndpointRequest {
        request_id: client.request_id(),
        service: args.service.to_string(),
        pool: args.pool.to_string(),
        endpoint: Some(endpoint.to_proto()),
    };
    let answer = client.call(
        format!("register endpoint {} of {}", endpoint.name, args.service),
        async |channel| registry(channel).register_endpoint(client.request(message.clone())).await,
    );
    let answer = answer.await?.value;
    let verb = if answer.changed { "registered" } else { "unchanged" };
    let text = format!(
        "endpoint {} of {} {verb} (revision {})",
        endpoint.name, args.service, answer.revision
    );
    session.out.page(&Page::line(json::of(&answer), text))?;
    Ok(Exit::Success)
}

async fn deregister(args: &DeregisterArgs, session: &Session) -> Outcome {
    let what = format!("deregister endpoint {} of {}", args.name, args.service);
    session.confirm(&what)?;
    let client = session.client()?;
    let message = pb::DeregisterEndpointRequest {
        request_id: client.request_id(),
        service: args.service.to_string(),
        endpoint: args.name.to_string(),
    };
    let answer = client.call(&what, async |channel| {
        registry(channel).deregister_endpoint(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    let text = format!(
        "endpoint {} of {} deregistered (revision {})",
        args.name, args.service, answer.revision
    );
    session.out.page(&Page::line(json::of(&answer), text))?;
    Ok(Exit::Success)
}

/// Beats until stopped; a stream that breaks is opened again at another member for as long as any of them answers.
async fn heartbeat(args: &HeartbeatArgs, session: &Session) -> Outcome {
    let message = pb::HeartbeatRequest {
        service: args.service.to_string(),
        endpoint: args.name.to_string(),
        check: args.check.to_string(),
    };
    let mut client = session.client()?;
    loop {
        client.renew();
        let mut beats = open(&client, &message).await?;
        let problem = loop {
            match beats.answer(args, session).await? {
                Answered::Accepted(_) if args.once => return Ok(Exit::Success),
                Answered::Accepted(wait) => tokio::time::sleep(wait).await,
                Answered::Broken(problem) => break problem,
            }
            if beats.send.send(message.clone()).await.is_err() {
                break CLOSED.to_owned();
            }
        };
        note(&format!("! {problem}; trying again"));
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// A stream of beats and its answers.
struct Beats {
    send: mpsc::Sender<pb::HeartbeatRequest>,
    answers: tonic::Streaming<pb::HeartbeatResponse>,
}

/// What came of one beat.
enum Answered {
    /// It was taken; the next is due after this.
    Accepted(Duration),
    /// The stream broke.
    Broken(String),
}

/// Opens a stream with the first beat in it: a member may wait for that before it answers.
async fn open(client: &Client, first: &pb::HeartbeatRequest) -> Result<Beats, Failure> {
    let sender = Mutex::new(None);
    let answers = client.call("send heartbeats", async |channel| {
        let (send, receive) = mpsc::channel(BEATS_IN_FLIGHT);
        send.try_send(first.clone()).map_err(|error| Status::internal(error.to_string()))?;
        let beats = client.request(ReceiverStream::new(receive));
        let answer = registry(channel).heartbeat(beats).await?;
        *sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(send);
        Ok(answer)
    });
    let answers = answers.await?.value;
    let send = sender.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Beats { send: send.expect("the attempt that answered left its sender"), answers })
}

impl Beats {
    /// The answer to the beat that was sent last.
    async fn answer(
        &mut self,
        args: &HeartbeatArgs,
        session: &Session,
    ) -> Result<Answered, Failure> {
        let received = tokio::time::timeout(session.options.timeout, self.answers.message()).await;
        let answer = match received {
            Ok(Ok(Some(answer))) => answer,
            Ok(Ok(None)) => return Ok(Answered::Broken(CLOSED.to_owned())),
            Ok(Err(status)) if Exit::of_status(status.code()) == Exit::Unavailable => {
                return Ok(Answered::Broken(causes(&status)));
            }
            Ok(Err(status)) => return Err(Failure::refused("send heartbeats", &status)),
            Err(_) => return Ok(Answered::Broken("the member does not answer".to_owned())),
        };
        if !answer.accepted {
            return Err(Failure::new(
                Exit::Blocked,
                format!("the beat was not accepted: {}", answer.problem),
            )
            .next(format!("holdfast service get {}", args.service)));
        }
        let ttl = Duration::from_millis(answer.ttl_ms);
        let wait = args.every.unwrap_or(ttl / BEATS_PER_TTL).max(LEAST_INTERVAL);
        let next = words::duration(millis(wait));
        let text =
            format!("{} {} {}: accepted, next beat in {next}", args.service, args.name, args.check);
        session.out.event(&text, &json::of(&answer))?;
        Ok(Answered::Accepted(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_addresses_or_names_with_a_port() {
        let place =
            |text: &str| Place::from_str(text).map(|place| (place.address.to_string(), place.port));
        assert_eq!(place("192.0.2.10:80"), Ok(("192.0.2.10".into(), 80)));
        assert_eq!(place("[2001:db8::1]:443"), Ok(("2001:db8::1".into(), 443)));
        assert_eq!(place("Host.example.test:1"), Ok(("host.example.test".into(), 1)));
        for bad in ["192.0.2.10", "2001:db8::1:443", "host:0", ":80", "a b:80", "host:99999"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
