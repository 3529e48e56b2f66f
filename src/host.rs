//! What the host lends the engine while it runs: time, ears, and a way to stop.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;

use crate::apply::Outcome;
use crate::model::Timestamp;

/// A run that is under way, whatever adapters it speaks to.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Time, as the host has it. The core reads no clock, spawns nothing and has no randomness but for the keys of its hash tables (rules S3, X3).
#[async_trait]
pub trait Timer: Send + Sync {
    /// Waits.
    async fn sleep(&self, wait: Duration);

    /// The time now.
    fn now(&self) -> Timestamp;

    /// A number from 0 up to 1, evenly spread, so that retries of many runners do not fall together. A wait that the other side asks for is not stretched.
    fn jitter(&self) -> f64;
}

/// What happens while the engine runs (rule X6).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// So many objects or records of one read have come in.
    Read {
        /// What is read: `source users`, `store groups`, …
        what: &'static str,
        /// How many so far.
        rows: usize,
    },
    /// Writing starts.
    Started {
        /// How many operations there are.
        operations: usize,
    },
    /// An operation has its outcome.
    Outcome {
        /// Its position in the plan.
        operation: usize,
        /// What came of it.
        outcome: &'a Outcome,
    },
    /// Writing has ended.
    Finished {
        /// How many operations were applied.
        applied: usize,
    },
}

/// Hears what happens. Called between writes: be quick.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

/// Stops a run between two batches of writes, or two pages of a read (rule X6). Clones share the same switch.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Asks the run to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked to.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The host's parts. The default has none: no retry, no progress, no cancellation, no deadline.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct Host<'a> {
    timer: Option<&'a dyn Timer>,
    progress: Option<&'a dyn Progress>,
    cancellation: Option<&'a Cancellation>,
    read_deadline: Option<Duration>,
    reading: Option<&'a Reading>,
}

/// What is being read just now, to be named where it takes too long.
#[derive(Debug, Default)]
pub(crate) struct Reading(Mutex<&'static str>);

impl Reading {
    pub(crate) fn what(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Host<'a> {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a timer: transient errors are tried again.
    #[must_use]
    pub fn timer(mut self, timer: &'a dyn Timer) -> Self {
        self.timer = Some(timer);
        self
    }

    /// With a listener.
    #[must_use]
    pub fn progress(mut self, progress: &'a dyn Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// With a switch that stops the run.
    #[must_use]
    pub fn cancellation(mut self, cancellation: &'a Cancellation) -> Self {
        self.cancellation = Some(cancellation);
        self
    }

    /// The longest that all reads of one [`reconcile`](crate::reconcile) together may take, with the waits between their tries; for
    /// a [`sign_in`](crate::sign_in) those before its writes, and again that after them. A directory that never answers, or
    /// sends its pages ever more slowly, ends in [`ReadError::DeadlineExceeded`](crate::ReadError) then, and there is no plan.
    ///
    /// It is measured by the [`Timer`]: without one there is no deadline. An adapter that blocks its thread instead of waiting
    /// cannot be interrupted. Writes have no deadline: the future of [`apply`](crate::apply) may be dropped at any time (rule X4).
    #[must_use]
    pub fn read_deadline(mut self, most: Duration) -> Self {
        self.read_deadline = Some(most);
        self
    }

    /// With a place to note what is read.
    pub(crate) fn noting<'b>(self, reading: &'b Reading) -> Host<'b>
    where
        'a: 'b,
    {
        Host { reading: Some(reading), ..self }
    }

    pub(crate) fn reads(&self, what: &'static str) {
        if let Some(reading) = self.reading {
            *reading.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
        }
    }

    /// Who measures the deadline of reads, and how long that is.
    pub(crate) fn deadline(&self) -> Option<(&'a dyn Timer, Duration)> {
        self.timer.zip(self.read_deadline)
    }

    /// Gives whoever measures the deadline a turn: an adapter whose answers are always there already would leave it none.
    pub(crate) async fn give_way(&self) {
        let mut given = self.deadline().is_none();
        poll_fn(|context| {
            if std::mem::replace(&mut given, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn tell(&self, event: Event<'_>) {
        if let Some(progress) = self.progress {
            progress.event(event);
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancellation.is_some_and(Cancellation::is_cancelled)
    }

    pub(crate) fn clock(&self) -> Option<&'a dyn Timer> {
        self.timer
    }
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("timer", &self.timer.is_some())
            .field("progress", &self.progress.is_some())
            .field("cancellation", &self.cancellation)
            .field("read_deadline", &self.read_deadline)
            .finish()
    }
}

/// How often and how long to try again what may work later (rule X3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// Tries of one operation in all. Default 3. A call that fails after it has done some of its writes counts for none of the
    /// others, which may not have been sent at all.
    pub attempts: u32,
    /// Wait before the second try; doubled for each further one. Default 200 ms.
    pub first_wait: Duration,
    /// Longest wait, also where the other side asks for more. Default 5 minutes.
    pub longest_wait: Duration,
    /// Most retries in a run, each of one operation, or of one call that failed as a whole; none: the larger of 10 and 1 % of
    /// the operations.
    pub budget: Option<u32>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(300),
            budget: None,
        }
    }
}

impl Retry {
    /// The wait before try number `attempt` (from 2): doubled each time, jittered between half and whole, at least what the
    /// other side asked for, never above the longest wait.
    pub(crate) fn wait(&self, attempt: u32, asked: Option<Duration>, jitter: f64) -> Duration {
        let doubled = self.first_wait.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(2)));
        let capped = doubled.min(self.longest_wait);
        // Out-of-range jitter is the host's slip, not a reason to wait for ever.
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 1.0 };
        let own = capped.mul_f64(0.5 + jitter / 2.0);
        own.max(asked.unwrap_or_default()).min(self.longest_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_jittered_and_stay_below_the_cap() {
        // rule X3
        let retry = Retry::default();
        let ms = |attempt, asked, jitter| retry.wait(attempt, asked, jitter).as_millis();
        assert_eq!(ms(2, None, 1.0), 200);
        assert_eq!(ms(3, None, 1.0), 400);
        assert_eq!(ms(2, None, 0.0), 100);
        assert_eq!(ms(2, Some(Duration::from_secs(2)), 0.0), 2_000);
        assert_eq!(ms(2, Some(Duration::MAX), 0.5), 300_000);
        assert_eq!(ms(u32::MAX, None, f64::NAN), 300_000);
    }
}
