//! Requests that wait for nothing but their answers, several under way at once.

use std::collections::VecDeque;

use tokio::task::JoinHandle;

use super::error::Fault;
use crate::trace;

/// Answers in the order of the questions, of which so many are under way: the next ones while the first is worked on. What
/// nobody waits for any more is given up: a write that has begun must go on in a task of its own.
pub(super) struct Ahead<I, T> {
    questions: I,
    most: usize,
    under_way: VecDeque<Asked<T>>,
}

impl<I, F, T> Ahead<I, T>
where
    I: Iterator<Item = F>,
    F: Future<Output = Result<T, Fault>> + Send + 'static,
    T: Send + 'static,
{
    pub(super) fn new(most: usize, questions: I) -> Self {
        Self { questions, most, under_way: VecDeque::new() }
    }

    /// The next answer; `None` where there is no question left.
    pub(super) async fn next(&mut self) -> Option<Result<T, Fault>> {
        while self.under_way.len() < self.most.max(1) {
            let Some(question) = self.questions.next() else { break };
            self.under_way.push_back(Asked(tokio::spawn(trace::here(question))));
        }
        let mut asked = self.under_way.pop_front()?;
        // The runtime is shutting down.
        Some((&mut asked.0).await.unwrap_or(Err(Fault::NoAnswer("the request was not seen to its end"))))
    }

    /// All answers, or the first error.
    pub(super) async fn all(mut self) -> Result<Vec<T>, Fault> {
        let mut answers = Vec::new();
        while let Some(answer) = self.next().await {
            answers.push(answer?);
        }
        Ok(answers)
    }
}

struct Asked<T>(JoinHandle<Result<T, Fault>>);

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_come_in_order_and_no_more_are_under_way_than_allowed() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let question = |number: u64| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // The later ones answer first.
                tokio::time::sleep(Duration::from_millis(100 - number)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(number)
            }
        };
        let begun = tokio::time::Instant::now();
        let answers = Ahead::new(8, (0..40).map(question)).all().await.unwrap();
        assert_eq!(answers, (0..40).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), 8);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_ends_it_and_what_was_under_way_is_given_up() {
        let done = Arc::new(AtomicUsize::new(0));
        let question = |number: u64| {
            let done = Arc::clone(&done);
            async move {
                if number == 0 {
                    return Err(Fault::NotFound);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                done.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        };
        assert!(matches!(Ahead::new(4, (0..9).map(question)).all().await, Err(Fault::NotFound)));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(done.load(Ordering::SeqCst), 0);
    }
}
