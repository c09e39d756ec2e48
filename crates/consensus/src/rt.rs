//! The runtime that openraft runs on: tokio, with randomness that a simulation can own.
//!
//! Election timeouts and tick phases are drawn from [`Rt::thread_rng`](AsyncRuntime::thread_rng). Where a seed is
//! installed on the thread ([`with_seed`]), every draw comes from it in order, so that a current-thread runtime with
//! a paused clock replays bit for bit; elsewhere it comes from the operating system. One build serves both.
//!
//! It does not seed tokio's own generator: the simulation's runtime builder does that.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_tokio::TokioRuntime;
use rand_openraft::SeedableRng as _;
use rand_openraft::rngs::SmallRng;

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs `future` with every random draw of consensus on this thread derived from `seed`.
///
/// Meant for a current-thread runtime, where spawned tasks run on the same thread; the future is not `Send`, so it
/// can only be what the runtime blocks on.
pub async fn with_seed<F: Future>(seed: u64, future: F) -> F::Output {
    let _restore = Restore { before: SEED.replace(Some(seed)), _thread: PhantomData };
    future.await
}

struct Restore {
    before: Option<u64>,
    _thread: PhantomData<*const ()>,
}

impl Drop for Restore {
    fn drop(&mut self) {
        SEED.set(self.before);
    }
}

/// The next 64 bits: of the installed seed, or of the operating system.
pub(crate) fn draw() -> u64 {
    match SEED.get() {
        Some(seed) => {
            let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            SEED.set(Some(seed));
            mix(seed)
        }
        None => rand_openraft::random(),
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Tokio, with seedable randomness.
#[derive(Debug)]
pub(crate) struct Rt(TokioRuntime);

impl AsyncRuntime for Rt {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> =
        <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = SmallRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F>(duration: Duration, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        SmallRng::seed_from_u64(draw())
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }

    fn spawn_blocking<F, T>(f: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        TokioRuntime::spawn_blocking(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_openraft::Rng as _;

    fn run(seed: u64) -> Vec<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(with_seed(seed, async {
            let spawned = tokio::spawn(async { Rt::thread_rng().next_u64() }).await;
            vec![Rt::thread_rng().next_u64(), spawned.expect("no panic"), draw()]
        }))
    }

    #[test]
    fn a_seed_fixes_every_draw_and_ends_with_its_future() {
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert_eq!(SEED.get(), None);
    }
}
