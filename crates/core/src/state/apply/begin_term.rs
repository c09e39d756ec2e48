//! `BeginTerm`: a leader took office. Nothing moves by itself until its observers have had time to report.

use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::AgentId;
use crate::state::{State, Work};

impl State {
    pub(in crate::state) fn begin_term(
        &mut self,
        work: &mut Work<'_>,
        term: u64,
        leader: AgentId,
    ) -> Result<Reply, Rejection> {
        self.check_term(term)?;
        if self.data.term == Some((term, leader)) {
            return Ok(Reply::Done);
        }
        if let Some((latest, known)) = self.data.term
            && latest == term
        {
            return Err(Rejection::Superseded(alloc::format!(
                "term {term} was begun by agent {known}"
            )));
        }
        self.data.term = Some((term, leader));
        self.data.warm_up_until = self.data.at + self.data.settings.warm_up;
        self.settle_transfer(leader);
        work.say(None, Event::TermBegan { term, leader });
        Ok(Reply::Done)
    }
}
