//! The predicted recovery of clients, put into words: every part at its worst and in the median, which part is the
//! longest, and what makes it shorter. The arithmetic is [`crate::recovery`]'s.

use alloc::format;
use alloc::string::String;

use super::Reason;
use crate::recovery::{GroupTimes, Part, Recovery, Term, predict};
use crate::time::Timestamp;
use crate::time::spelled;
use crate::view::ServiceStatus;

/// How long clients would be without the service if what it serves died at `now`.
pub fn predicted_recovery(status: &ServiceStatus, group: GroupTimes, now: Timestamp) -> Reason {
    let recovery = predict(&status.spec, status.ttl.longest_at(now), group);
    let (total, longest) = (recovery.total(), recovery.dominant());
    let part = |(part, term): (Part, &Term)| {
        let text = format!("{}: {}{}", part.label(), told(term), why(part, &recovery));
        Reason::new("recovery_part", part.label(), text)
            .fact("worst_ms", term.worst.as_millis())
            .fact("median_ms", term.median.as_millis())
    };
    let text = format!(
        "clients recover within {}; {} takes longest, and {} makes it shorter",
        told(&total),
        longest.label(),
        longest.remedy()
    );
    Reason::new("recovery", longest.label(), text)
        .fact("worst_ms", total.worst.as_millis())
        .fact("median_ms", total.median.as_millis())
        .with(Part::ALL.into_iter().zip(&recovery.terms).map(part))
}

fn told(term: &Term) -> String {
    let (worst, median) = (spelled(term.worst), spelled(term.median));
    format!("{worst} at the worst, {median} in the median")
}

fn why(part: Part, recovery: &Recovery) -> String {
    match (part, &recovery.check) {
        (Part::Detection, Some(check)) => format!(", by check {check}"),
        (Part::Commit, _) => ", with an election at the worst".into(),
        (Part::Ttl, _) => ", for resolvers that keep to it".into(),
        (Part::Detection | Part::Publish, _) => String::new(),
    }
}
