//! What came of a failover outside, in one line:
//! `epoch 88 converged: name servers 9/9 t50 310ms t95 420ms t100 420ms; resolvers 2/3 t50 4.1s, late 192.0.2.53:53`.

use holdfast_wire::pb::v1 as pb;

use crate::words;

/// The line's end.
pub(super) fn told(e: &pb::FailoverConverged) -> String {
    let mut text = format!(
        "epoch {} {}: {}",
        e.epoch,
        words::convergence_ending(e.ending).replace('_', " "),
        figures("name servers", e.servers.as_ref())
    );
    if e.resolvers.as_ref().is_some_and(|resolvers| resolvers.asked > 0) {
        text = format!("{text}; {}", figures("resolvers", e.resolvers.as_ref()));
    }
    let faults = e.faults.iter().map(|one| format!("{} {}", one.subject, one.fault));
    let skew = e.serial_skew_ms.map(|at| format!("serials differed until {}", words::duration(at)));
    let unfollowed = (e.unfollowed > 0).then(|| format!("{} before it not followed", e.unfollowed));
    let late = e.stragglers.iter().map(|who| format!("late {who}"));
    for part in late.chain(faults).chain(skew).chain(unfollowed) {
        text = format!("{text}, {part}");
    }
    text
}

fn figures(whose: &str, figures: Option<&pb::ConvergenceFigures>) -> String {
    let none = pb::ConvergenceFigures::default();
    let figures = figures.unwrap_or(&none);
    let mut text = format!("{whose} {}/{}", figures.agreed, figures.asked);
    let times = [("t50", figures.t50_ms), ("t95", figures.t95_ms), ("t100", figures.t100_ms)];
    for (name, at) in times {
        if let Some(at) = at {
            text = format!("{text} {name} {}", words::duration(at));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stragglers_and_faults_are_told_as_far_as_there_are_any() {
        let servers = pb::ConvergenceFigures {
            asked: 9,
            agreed: 9,
            t50_ms: Some(310),
            t95_ms: Some(420),
            t100_ms: Some(420),
        };
        let resolvers = pb::ConvergenceFigures {
            asked: 3,
            agreed: 2,
            t50_ms: Some(4100),
            ..pb::ConvergenceFigures::default()
        };
        let mut e = pb::FailoverConverged {
            epoch: 88,
            ending: pb::ConvergenceEnding::Converged as i32,
            servers: Some(servers),
            ..pb::FailoverConverged::default()
        };
        let well = "epoch 88 converged: name servers 9/9 t50 310ms t95 420ms t100 420ms";
        assert_eq!(told(&e), well);
        e.ending = pb::ConvergenceEnding::NotWithin as i32;
        e.resolvers = Some(resolvers);
        e.stragglers = vec!["192.0.2.53:53".into()];
        e.faults = vec![pb::ConvergenceFault {
            fault: "kept_too_long".into(),
            subject: "192.0.2.53:53".into(),
        }];
        (e.serial_skew_ms, e.unfollowed) = (Some(250), 2);
        assert_eq!(
            told(&e),
            "epoch 88 not within: name servers 9/9 t50 310ms t95 420ms t100 420ms; resolvers 2/3 t50 4.1s, \
             late 192.0.2.53:53, 192.0.2.53:53 kept_too_long, serials differed until 250ms, 2 before it not followed"
        );
    }
}
