//! How many requests a second go out (rule X3): a service that limits them answers faster when it is never asked too often.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Lets so many callers through in a second, evenly spaced, in the order in which they came.
///
/// Time is Tokio's, so tests may pause it and move it on. A caller that stops waiting gives its turn to nobody.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Between one caller and the next; zero lets everybody through.
    spacing: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// When the next turn is; `None` before the first.
    next: Option<Instant>,
    /// Nobody goes before this moment.
    paused: Option<Instant>,
}

impl Bucket {
    /// So many a second, less a little; 0 means without limit. Requests that leave evenly spaced arrive less evenly, and a
    /// server that counts strictly would refuse one every few seconds, and with it a whole second.
    pub(crate) fn per_second(most: u32) -> Self {
        let spacing = if most == 0 { Duration::ZERO } else { Duration::from_secs(1) / most };
        let spacing = spacing + spacing / 32;
        Self { spacing, state: Mutex::default() }
    }

    /// Waits for the caller's turn.
    pub(crate) async fn take(&self) {
        loop {
            let turn = self.turn();
            // A timer takes a millisecond also where there is nothing to wait for.
            if turn > Instant::now() {
                sleep_until(turn).await;
            }
            // A pause that began meanwhile holds for those as well who had their turn already.
            let paused = self.state().paused;
            if paused.is_none_or(|until| until <= turn.max(Instant::now())) {
                return;
            }
        }
    }

    /// Lets nobody through for so long: the other side has asked for it. A longer pause that goes on stays.
    pub(crate) fn pause(&self, length: Duration) {
        let Some(until) = Instant::now().checked_add(length) else { return };
        let mut state = self.state();
        state.paused = state.paused.max(Some(until));
    }

    fn turn(&self) -> Instant {
        let now = Instant::now();
        let mut state = self.state();
        let turn = [state.next, state.paused].into_iter().flatten().fold(now, Instant::max);
        state.next = Some(turn + self.spacing);
        turn
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing between lock and unlock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait between a half of this one and the whole: who was throttled at once shall not come back at once.
pub(crate) fn jittered(wait: Duration) -> Duration {
    // The keys of the standard library's hashers are random; nothing here needs better.
    let part = RandomState::new().build_hasher().finish() % 1_000;
    wait / 2 + wait.mul_f64(part as f64 / 2_000.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_wait_is_jittered_within_its_upper_half() {
        // rule X3
        let wait = Duration::from_secs(2);
        let waits: Vec<Duration> = (0..100).map(|_| jittered(wait)).collect();
        assert!(waits.iter().all(|one| (wait / 2..=wait).contains(one)));
        assert!(waits.iter().any(|one| *one != waits[0]));
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_than_allowed() {
        let (bucket, start) = (Bucket::per_second(25), Instant::now());
        let mut turns = Vec::new();
        for _ in 0..100 {
            bucket.take().await;
            turns.push(start.elapsed());
        }
        for (i, first) in turns.iter().enumerate() {
            let within = turns[i..].iter().filter(|turn| **turn - *first < Duration::from_secs(1)).count();
            assert!(within <= 25, "{within} in the second after {first:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_after_a_quiet_time_finds_no_store_of_turns() {
        let bucket = Bucket::per_second(10);
        bucket.take().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..11 {
            bucket.take().await;
        }
        assert!(start.elapsed() >= Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_for_everybody_also_for_who_waits_already() {
        let (bucket, start) = (Arc::new(Bucket::per_second(2)), Instant::now());
        bucket.take().await;
        let waiting = tokio::spawn({
            let bucket = Arc::clone(&bucket);
            async move {
                bucket.take().await;
                Instant::now()
            }
        });
        tokio::task::yield_now().await;
        bucket.pause(Duration::from_secs(30));
        bucket.pause(Duration::from_secs(1));
        bucket.take().await;
        assert!(start.elapsed() >= Duration::from_secs(30));
        assert!(waiting.await.unwrap() - start >= Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nobody_waits() {
        let (bucket, start) = (Bucket::per_second(0), Instant::now());
        for _ in 0..1_000 {
            bucket.take().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        // Nobody can be kept for longer than time lasts.
        bucket.pause(Duration::MAX);
        bucket.take().await;
    }
}
