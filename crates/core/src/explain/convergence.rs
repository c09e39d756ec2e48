//! What came of the last failover outside, put into words. The figures are [`crate::propagation::Convergence`]'s.

use alloc::format;
use alloc::string::{String, ToString};

use super::Reason;
use crate::propagation::{Convergence, Ending, Figures};
use crate::time::spelled;
use crate::view::ServiceStatus;

/// How fast the world told the last change that was followed; `None` where none was.
pub(super) fn last_convergence(status: &ServiceStatus) -> Option<Reason> {
    let last = status.convergence.as_ref()?;
    let what = if last.epoch == status.epoch { "this answer" } else { "an answer before this one" };
    let (servers, resolvers) =
        (told("name servers", &last.servers), told("resolvers", &last.resolvers));
    let text = format!("{what} was followed outside{}: {servers}; {resolvers}", ending(last));
    let reason = Reason::new("convergence", last.ending.label(), text)
        .fact("epoch", last.epoch)
        .fact("followed_ms", last.followed.as_millis())
        .fact("unfollowed", last.unfollowed);
    let reason = facts(facts(reason, "ns", &last.servers), "resolver", &last.resolvers);
    let reason = match last.serial_skew {
        Some(skew) => reason.fact("serial_skew_ms", skew.as_millis()),
        None => reason,
    };
    let late = last
        .stragglers
        .iter()
        .map(|who| Reason::new("straggler", "late", format!("{who} did not tell it at the end")));
    let faults = last.faults.iter().map(|(fault, who)| {
        Reason::new("propagation", fault.label(), format!("{who}: {}", fault.label()))
    });
    Some(reason.with(late).with(faults))
}

fn ending(last: &Convergence) -> String {
    let followed = spelled(last.followed);
    match last.ending {
        Ending::Converged => String::new(),
        Ending::Superseded => format!(" for {followed}, until it moved again"),
        Ending::NotWithin => format!(" for {followed}, and some do not tell it"),
    }
}

fn told(whose: &str, figures: &Figures) -> String {
    let Figures { asked, agreed, t50, t100, .. } = figures;
    let ms = |at: &core::time::Duration| spelled(*at);
    match (asked, t50, t100) {
        (0, ..) => format!("no {whose} were asked"),
        (_, Some(half), Some(all)) => {
            format!("half of the {whose} told it after {}, all {asked} after {}", ms(half), ms(all))
        }
        _ => format!("{agreed} of {asked} looks at {whose} found it"),
    }
}

fn facts(mut reason: Reason, kind: &str, figures: &Figures) -> Reason {
    reason = reason.fact(&format!("{kind}_asked"), figures.asked);
    for (name, at) in [("t50", figures.t50), ("t95", figures.t95), ("t100", figures.t100)] {
        let at = at.map_or("-".to_string(), |at| at.as_millis().to_string());
        reason = reason.fact(&format!("{kind}_{name}_ms"), at);
    }
    reason
}
