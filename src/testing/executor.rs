//! Futures polled by hand: no runtime, no time, and whoever tests decides after which step a future is dropped.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// What happens before the next poll of a future that is [driven](drive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is polled.
    Poll,
    /// It is dropped, as a cancelled task is (rule X4).
    Drop,
}

/// Polls a future until it ends, asking before each poll what shall happen. `before` gets the number of polls so far, and
/// may do what somebody else would do meanwhile: write to the store, sign in, poll another run.
///
/// `None`: it was dropped. Adapters that give way at each call ([`Faulty::stepped`](super::Faulty::stepped)) make each
/// await point of the engine a poll of its own. A future that never ends is dropped after [`MOST_POLLS`].
pub fn drive<F: Future>(future: F, mut before: impl FnMut(usize) -> Next) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for polls in 0..MOST_POLLS {
        if before(polls) == Next::Drop {
            return None;
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}

/// Polls of one future by [`drive`] before it counts as one that never ends.
pub const MOST_POLLS: usize = 1_000_000;

/// Polls several futures by turns until all have ended; `choose` says whose turn it is, from the number of those that are
/// still under way. With adapters that give way at each call, every interleaving of their calls can be had.
pub fn interleave<'f, T>(
    futures: Vec<Pin<Box<dyn Future<Output = T> + 'f>>>,
    mut choose: impl FnMut(usize) -> usize,
) -> Vec<Option<T>> {
    let mut outputs: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    let mut running: Vec<(usize, _)> = futures.into_iter().enumerate().collect();
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..MOST_POLLS {
        if running.is_empty() {
            break;
        }
        let turn = choose(running.len()) % running.len();
        let Some((number, future)) = running.get_mut(turn) else { break };
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            if let Some(slot) = outputs.get_mut(*number) {
                *slot = Some(output);
            }
            drop(running.swap_remove(turn));
        }
    }
    outputs
}

/// Gives way once: the next poll goes on.
pub(super) async fn give_way() {
    let mut first = true;
    std::future::poll_fn(|_| if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn steps(count: usize) -> usize {
        for _ in 0..count {
            give_way().await;
        }
        count
    }

    #[test]
    fn each_await_point_is_a_poll_and_a_dropped_future_goes_no_further() {
        let mut polls = Vec::new();
        let whole = drive(steps(2), |at| {
            polls.push(at);
            Next::Poll
        });
        assert_eq!((whole, polls), (Some(2), vec![0, 1, 2]));
        assert_eq!(drive(steps(2), |at| if at < 2 { Next::Poll } else { Next::Drop }), None);
    }

    #[test]
    fn futures_take_turns_as_they_are_told_and_all_end() {
        let two: Vec<Pin<Box<dyn Future<Output = usize>>>> = vec![Box::pin(steps(3)), Box::pin(steps(1))];
        let mut turns = 0;
        let ended = interleave(two, |running| {
            turns += 1;
            turns % running
        });
        assert_eq!((ended, turns), (vec![Some(3), Some(1)], 6));
    }
}
