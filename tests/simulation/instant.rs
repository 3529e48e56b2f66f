//! A timer without time: waiting is over at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use identity_sync::{Timer, Timestamp};

#[derive(Debug, Default)]
pub struct Instant {
    waited: AtomicU64,
}

impl Instant {
    /// Seconds that were to be waited in all.
    pub fn waited(&self) -> u64 {
        self.waited.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Timer for Instant {
    async fn sleep(&self, wait: Duration) {
        self.waited.fetch_add(wait.as_secs(), Ordering::SeqCst);
    }

    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.waited.load(Ordering::SeqCst)).unwrap_or(i64::MAX))
    }

    fn jitter(&self) -> f64 {
        0.5
    }
}
