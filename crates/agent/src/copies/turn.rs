//! Asks a zone's primaries in turn, within the time of one attempt.
//!
//! Each may take an equal share of what is left of it, so what one does not use is the others': where all but the last
//! refuse at once, that one has nearly all. The first that has something newer ends the attempt, for those before it may
//! lag behind.
//!
//! What is deliberately not here: what it means to ask one.

use std::net::SocketAddr;
use std::time::Duration;

use holdfast_core::copied::LONGEST_PROBLEM;
use tokio::time::{Instant, timeout};

/// How long one attempt may take.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(240);

/// What primaries had for the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A newer copy, which is taken.
    Newer,
    /// Nothing newer.
    Nothing,
    /// Something newer for a term, a declaration or a copy that is past: whoever asks next begins with what there is.
    Superseded,
}

/// Who knows how to ask one.
pub(super) trait Ask: Send {
    /// What it has. Errors: why it gave nothing, or nothing that could be taken.
    fn ask(&mut self, server: SocketAddr) -> impl Future<Output = Result<Found, String>> + Send;
}

/// Asks each until one has something newer. Errors: why none answered.
pub(super) async fn in_turn(servers: &[SocketAddr], asker: &mut impl Ask) -> Result<Found, String> {
    let until = Instant::now() + LONGEST_ATTEMPT;
    let mut problems = Vec::new();
    let mut answered = false;
    for (server, remaining) in servers.iter().zip((1..=servers.len()).rev()) {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(remaining).unwrap_or(u32::MAX);
        match timeout(share, asker.ask(*server)).await {
            Ok(Ok(Found::Nothing)) => answered = true,
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(problem)) => problems.push(problem),
            Err(_) => problems.push(format!("{server}: not done in {} s", share.as_secs())),
        }
    }
    if answered {
        return Ok(Found::Nothing);
    }
    let mut problem = problems.join("; ");
    while problem.len() > LONGEST_PROBLEM {
        problem.pop();
    }
    Err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers that take so long, in seconds, and then say this.
    struct Script<'a>(std::slice::Iter<'a, (u64, Result<Found, &'static str>)>);

    impl Ask for Script<'_> {
        async fn ask(&mut self, _: SocketAddr) -> Result<Found, String> {
            let (takes, says) = self.0.next().expect("each is asked once");
            tokio::time::sleep(Duration::from_secs(*takes)).await;
            says.map_err(str::to_owned)
        }
    }

    /// What they come to, and after how many seconds.
    async fn ask(servers: &[(u64, Result<Found, &'static str>)]) -> (Result<Found, String>, u64) {
        let addresses = (1..).map(|last| SocketAddr::from(([192, 0, 2, last], 53)));
        let addresses: Vec<SocketAddr> = addresses.take(servers.len()).collect();
        let begun = Instant::now();
        let found = in_turn(&addresses, &mut Script(servers.iter())).await;
        (found, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_primary_has_the_time_that_others_did_not_use() {
        let refused = Err("refused");
        let mut servers = vec![(0, refused); 7];
        servers.push((200, Ok(Found::Newer)));
        assert_eq!(ask(&servers).await, (Ok(Found::Newer), 200));
        servers.reverse();
        assert_eq!(ask(&servers).await.1, 30, "those behind it have their shares");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_ends_in_time_with_what_was_said() {
        let silent = (u64::MAX, Ok(Found::Newer));
        let (none, after) = ask(&[silent; 8]).await;
        assert_eq!(after, 240);
        assert!(none.expect_err("none answered").contains("192.0.2.8:53: not done in 30 s"));
        assert_eq!(ask(&[silent, (1, Ok(Found::Nothing))]).await, (Ok(Found::Nothing), 121));
        assert_eq!(ask(&[(0, Err("no")), (0, Err("nor I"))]).await, (Err("no; nor I".into()), 0));
        assert_eq!(
            ask(&[(0, Ok(Found::Nothing)), (3, Ok(Found::Newer)), silent]).await,
            (Ok(Found::Newer), 3)
        );
        let past = Ok(Found::Superseded);
        assert_eq!(ask(&[(1, past), silent]).await, (past.map_err(str::to_owned), 1));
    }
}
