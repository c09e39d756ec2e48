//! What clients asked and what they were told, held against what the group's records say.
//!
//! S10: one request id has one outcome however often it is asked, and takes effect once. S11: what was acknowledged
//! is in the log, where the answer said. Real time: what began after an acknowledgement comes after it in the log.
//! An attempt without an answer may have taken effect; it is asked again, or never.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_core::audit::Record;
use holdfast_core::{Command, Outcome, RequestId, View};

/// The requests of all clients; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    requests: BTreeMap<RequestId, Asked>,
    /// The highest index that was acknowledged.
    newest: u64,
    replays: u64,
    reads: u64,
}

struct Asked {
    command: Command,
    outcome: Option<Outcome>,
}

/// How many requests there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) acknowledged: usize,
    pub(crate) open: usize,
    pub(crate) replays: u64,
    pub(crate) reads: u64,
}

impl History {
    /// A client asks something new; returns the index that its outcome has to exceed.
    pub(crate) fn ask(&self, id: RequestId, command: Command) -> u64 {
        let mut inner = self.lock();
        inner.requests.insert(id, Asked { command, outcome: None });
        inner.newest
    }

    /// The command of a request that is asked again.
    pub(crate) fn again(&self, id: RequestId) -> Option<Command> {
        let mut inner = self.lock();
        inner.replays += 1;
        inner.requests.get(&id).map(|asked| asked.command.clone())
    }

    /// A request is answered; `after` is what [`History::ask`] returned. Errors: the answer is not possible.
    pub(crate) fn answer(&self, id: RequestId, outcome: Outcome, after: u64) -> Result<(), String> {
        let mut inner = self.lock();
        if outcome.index <= after {
            return Err(format!(
                "S10: request {id} took effect at index {}, and began after {after} was acknowledged",
                outcome.index
            ));
        }
        inner.newest = inner.newest.max(outcome.index);
        let Some(asked) = inner.requests.get_mut(&id) else { return Ok(()) };
        match &asked.outcome {
            Some(known) if *known != outcome => Err(format!(
                "S10: request {id} was answered with {known:?}, and asked again with {outcome:?}"
            )),
            Some(_) => Ok(()),
            None => {
                let refused = outcome.result.as_ref().err().map(ToString::to_string);
                asked.outcome = Some(outcome);
                match refused {
                    Some(why) => Err(format!("request {id} is possible and was refused: {why}")),
                    None => Ok(()),
                }
            }
        }
    }

    /// The highest index that was acknowledged.
    pub(crate) fn newest(&self) -> u64 {
        self.lock().newest
    }

    /// A linearizable read was answered.
    pub(crate) fn read(&self) {
        self.lock().reads += 1;
    }

    /// Holds everything against the group's records and its state at the end. Errors: what contradicts.
    pub(crate) fn check(&self, chain: &[Record], view: &View) -> Result<(), String> {
        let inner = self.lock();
        let mut effects: BTreeMap<RequestId, u64> = BTreeMap::new();
        for record in chain {
            let Some(id) = record.content.request_id else { continue };
            let index = record.content.index;
            let first = *effects.entry(id).or_insert(index);
            if first != index {
                return Err(format!("S10: request {id} took effect at {first} and at {index}"));
            }
        }
        let mut last: BTreeMap<&str, (u64, &Command)> = BTreeMap::new();
        for (id, asked) in &inner.requests {
            let effect = effects.get(id).copied();
            let acknowledged = asked.outcome.as_ref().map(|outcome| outcome.index);
            if acknowledged.is_some() && acknowledged != effect {
                return Err(format!(
                    "S11: request {id} was acknowledged at index {acknowledged:?}, the records say {effect:?}"
                ));
            }
            if let (Some(effect), Some(text)) = (effect, text_of(&asked.command)) {
                let ledger = text.split(' ').next().unwrap_or(text);
                let newest = last.entry(ledger).or_insert((effect, &asked.command));
                if effect > newest.0 {
                    *newest = (effect, &asked.command);
                }
            }
        }
        last.values().try_for_each(|(index, command)| check_stored(view, *index, command))
    }

    pub(crate) fn count(&self) -> Count {
        let inner = self.lock();
        let acknowledged = inner.requests.values().filter(|asked| asked.outcome.is_some()).count();
        let open = inner.requests.len() - acknowledged;
        Count { acknowledged, open, replays: inner.replays, reads: inner.reads }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a write to a ledger wrote.
fn text_of(command: &Command) -> Option<&str> {
    match command {
        Command::ApplyService { service, .. } => service.dns.txt.first().map(String::as_str),
        _ => None,
    }
}

/// Whether the last write to a ledger is what the group holds.
fn check_stored(view: &View, index: u64, command: &Command) -> Result<(), String> {
    let Command::ApplyService { service, .. } = command else { return Ok(()) };
    match view.services.get(&service.id) {
        Some(status) if status.revision == index && *status.spec == *service => Ok(()),
        Some(status) => Err(format!(
            "S11: {} is {:?} of index {}, its last write was {:?} at {index}",
            service.id, status.spec.dns.txt, status.revision, service.dns.txt
        )),
        None => Err(format!("S11: {} is gone; it was written at index {index}", service.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_core::Reply;

    fn outcome(index: u64) -> Outcome {
        Outcome { index, result: Ok(Reply::Stored { revision: index, changed: true }) }
    }

    #[test]
    fn two_outcomes_of_one_request_and_an_effect_before_its_cause_are_noticed() {
        let history = History::default();
        let service = crate::catalogue::ledger(1, "1 a");
        let command = Command::ApplyService { service, if_revision: None };
        let after = history.ask(RequestId(1), command.clone());
        history.answer(RequestId(1), outcome(5), after).expect("the first answer");
        history.answer(RequestId(1), outcome(5), 0).expect("the same answer");
        assert!(history.answer(RequestId(1), outcome(6), 0).is_err(), "another answer");
        let after = history.ask(RequestId(2), command);
        assert!(history.answer(RequestId(2), outcome(4), after).is_err(), "an effect in the past");
    }

    #[test]
    fn an_acknowledged_write_that_the_records_lack_is_noticed() {
        let history = History::default();
        let service = crate::catalogue::ledger(1, "1 a");
        let command = Command::ApplyService { service, if_revision: None };
        history.ask(RequestId(1), command);
        assert_eq!(
            history.check(&[], &View::default()),
            Ok(()),
            "an open request may have no effect"
        );
        history.answer(RequestId(1), outcome(5), 0).expect("an answer");
        assert!(history.check(&[], &View::default()).is_err());
    }
}
