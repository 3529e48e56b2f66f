//! Time and signals of a program that runs for long.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use async_trait::async_trait;
use identity_sync::{Timer, Timestamp};

use super::{Trouble, time};

/// Time for the library: sleep of the runtime, the machine's clock, and chance without a crate for it.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    /// Seconds by which `--now` is ahead of the machine.
    ahead: i64,
}

impl Clock {
    pub(crate) fn starting_at(now: Option<Timestamp>) -> Self {
        Self { ahead: now.map_or(0, |now| now.0.saturating_sub(time::system().0)) }
    }
}

#[async_trait]
impl Timer for Clock {
    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }

    fn now(&self) -> Timestamp {
        Timestamp(time::system().0.saturating_add(self.ahead))
    }

    fn jitter(&self) -> f64 {
        // Each state hashes with other keys, which the standard library draws at random.
        let drawn = RandomState::new().hash_one(0_u8);
        (drawn >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ctrl-C, and SIGTERM where there is such a thing.
pub(crate) struct Signals {
    pub(crate) arrived: bool,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn listen() -> Result<Self, Trouble> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { arrived: false, interrupt, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(not(unix))]
    pub(crate) fn listen() -> Result<Self, Trouble> {
        Ok(Self { arrived: false })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            // It can be listened for no more: wait for ever.
            std::future::pending::<()>().await;
        }
        self.arrived = true;
    }
}
