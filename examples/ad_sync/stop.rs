//! To be asked to stop, at any time.

use std::sync::Arc;
use std::time::Duration;

use identity_sync::Cancellation;
use tokio::sync::Notify;

use crate::common::Trouble;
use crate::common::clock::Signals;

#[derive(Clone)]
pub(crate) struct Stop {
    pub(crate) cancellation: Cancellation,
    asked: Arc<Notify>,
}

impl Stop {
    /// From now on a signal ends the program cleanly, and a second one at once.
    pub(crate) fn listen() -> Result<Self, Trouble> {
        let stop = Self { cancellation: Cancellation::default(), asked: Arc::default() };
        let (heard, mut signals) = (stop.clone(), Signals::listen()?);
        tokio::spawn(async move {
            signals.next().await;
            eprintln!("stopping after the write at hand; once more to stop at once");
            heard.cancellation.cancel();
            heard.asked.notify_one();
            signals.next().await;
            std::process::exit(1);
        });
        Ok(stop)
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Waits so long, or until it is asked to stop.
    pub(crate) async fn wait(&self, wait: Duration) {
        if !self.is_asked() {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.asked.notified() => {}
            }
        }
    }

    /// What comes of this, or nothing where it is asked to stop before.
    pub(crate) async fn or<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        if self.is_asked() {
            return None;
        }
        tokio::select! {
            done = what => Some(done),
            () = self.asked.notified() => None,
        }
    }
}
