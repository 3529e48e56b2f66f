//! Futures that are dropped half-way, and futures that run at once, whatever runtime polls the suite.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

/// Polls a future at most so many times and drops it then; `None`: it was dropped.
///
/// It is polled when its waker asks for it, not in a loop: adapters that wait for a runtime are checked, too.
pub(super) async fn polled<F: Future>(future: F, most: usize) -> Option<F::Output> {
    if most == 0 {
        return None;
    }
    let mut future = pin!(future);
    let mut left = most;
    poll_fn(|context| {
        left = left.saturating_sub(1);
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Runs all at once, by turns, and answers what came of each.
pub(super) async fn together<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<Option<Pin<Box<F>>>> =
        futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut outputs: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (slot, output) in running.iter_mut().zip(&mut outputs) {
            let Some(future) = slot else { continue };
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
                *slot = None;
            }
        }
        if running.iter().any(Option::is_some) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::executor::give_way;
    use super::*;

    async fn steps(count: usize) -> usize {
        for _ in 0..count {
            give_way().await;
        }
        count
    }

    /// As [`give_way`], but it asks to be polled again, as a real adapter does.
    async fn woken(count: usize) -> usize {
        for _ in 0..count {
            let mut first = true;
            poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        }
        count
    }

    #[test]
    fn a_future_is_dropped_after_as_many_polls_as_were_allowed() {
        assert_eq!(pollster::block_on(polled(steps(0), 0)), None);
        assert_eq!(pollster::block_on(polled(woken(2), 2)), None);
        assert_eq!(pollster::block_on(polled(woken(2), 3)), Some(2));
    }

    #[test]
    fn all_run_at_once_and_answer_in_their_order() {
        assert_eq!(pollster::block_on(together(vec![woken(3), woken(0), woken(1)])), [3, 0, 1]);
        assert!(pollster::block_on(together(Vec::<std::future::Ready<u8>>::new())).is_empty());
    }
}
