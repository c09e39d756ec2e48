//! S8: a registered name is never unknown, and the name of a service with endpoints is never empty unless the
//! service is fail-closed and refuses.
//!
//! Source: the safety page, "rules that incidents taught": a cleanup that deleted the active plan, a cached NXDOMAIN
//! that outlived the incident. Asked of the same projection that the DNS server answers from.

use alloc::format;
use alloc::string::String;

use super::{Property, Violation, broken};
use crate::answer::{Answer, Code, Kind, answer};
use crate::id::ServiceId;
use crate::name::DnsName;
use crate::spec::{Address, AllDown};
use crate::steer::Client;
use crate::view::{ServiceStatus, View};

/// Asks for every registered name. Errors: one that is unknown, or empty without right.
pub fn check_never_empty(view: &View) -> Result<(), Violation> {
    for (id, status) in view.services.iter() {
        check_service(view, status)
            .map_err(|what| broken(Property::S8, format!("service {id}: {what}")))?;
        check_endpoints(view, id, status)?;
    }
    Ok(())
}

fn check_service(view: &View, status: &ServiceStatus) -> Result<(), String> {
    let (spec, selection) = (&status.spec, &status.selection);
    let answer = answer(&view.answers, &spec.dns.name, Kind::ANY, &Client::anybody(0));
    if selection.refused {
        return match (&spec.failover.all_down, answer.code) {
            (AllDown::FailClosed, Code::ServerFailure) => Ok(()),
            _ => Err(format!("it refuses without being fail-closed: {:?}", answer.code)),
        };
    }
    check_found(&spec.dns.name, &answer)?;
    if spec.endpoints().next().is_none() {
        return Ok(());
    }
    if selection.served.is_empty() || answer.answers.is_empty() {
        return Err(format!("it has endpoints and answers nothing: {selection:?}"));
    }
    let gone = selection.served.iter().find(|one| {
        spec.endpoint(&one.endpoint).is_none_or(|(pool, endpoint)| {
            pool.name != one.pool || endpoint.address != one.address || endpoint.port != one.port
        })
    });
    match gone {
        Some(gone) => Err(format!("it serves {} as it is no longer declared", gone.endpoint)),
        None => Ok(()),
    }
}

fn check_endpoints(view: &View, id: &ServiceId, status: &ServiceStatus) -> Result<(), Violation> {
    for (_, endpoint) in status.spec.endpoints() {
        let Ok(name) = status.spec.dns.name.child(endpoint.name.as_str()) else { continue };
        let kind = match endpoint.address {
            Address::Ip(core::net::IpAddr::V4(_)) => Kind::A,
            Address::Ip(core::net::IpAddr::V6(_)) => Kind::AAAA,
            Address::Name(_) => Kind::CNAME,
        };
        let answer = answer(&view.answers, &name, kind, &Client::anybody(0));
        let found = check_found(&name, &answer).and_then(|()| {
            if answer.answers.is_empty() { Err(format!("{name} is empty")) } else { Ok(()) }
        });
        found.map_err(|what| broken(Property::S8, format!("service {id}: {what}")))?;
    }
    Ok(())
}

fn check_found(name: &DnsName, answer: &Answer) -> Result<(), String> {
    match answer.code {
        Code::NoError => Ok(()),
        code @ (Code::NameError | Code::NameTooLong | Code::Refused | Code::ServerFailure) => {
            Err(format!("{name} is registered and answered with {code:?}"))
        }
    }
}
