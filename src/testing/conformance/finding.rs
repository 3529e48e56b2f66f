//! How a check ends, and how one is run: what is wrong with an adapter must never end the suite.

use std::any::Any;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use super::builder::BuildError;
use super::report::{Failure, Report, Verdict};
use crate::error::AdapterError;

/// Why a check did not pass.
#[derive(Debug)]
pub(super) enum Finding {
    Wrong(Failure),
    NotApplicable(String),
}

pub(super) type Outcome = Result<(), Finding>;

/// The adapter does not do what its contract demands.
pub(super) fn wrong(
    expected: impl Into<String>,
    found: impl Into<String>,
    risk: impl Into<String>,
) -> Finding {
    Finding::Wrong(Failure { expected: expected.into(), found: found.into(), risk: risk.into() })
}

/// Fails unless the condition holds.
pub(super) fn demand(
    holds: bool,
    expected: impl Into<String>,
    found: impl FnOnce() -> String,
    risk: &str,
) -> Outcome {
    if holds { Ok(()) } else { Err(wrong(expected, found(), risk)) }
}

/// Nothing can be learned here.
pub(super) fn not_applicable(reason: impl Into<String>) -> Finding {
    Finding::NotApplicable(reason.into())
}

/// A read or a write that has no reason to fail has failed.
pub(super) fn refused(what: impl Display, error: &AdapterError) -> Finding {
    wrong(
        format!("{what} works: nothing stands in its way"),
        format!("error of kind {:?}: {error}", error.kind()),
        "no plan can be made or applied while it fails (rules C1, X1)",
    )
}

impl From<BuildError> for Finding {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Cannot(reason) => not_applicable(reason),
            BuildError::Failed(error) => wrong(
                "the builder makes what the check needs, or says that it cannot",
                format!("the builder failed: {error}"),
                "nothing is known about the adapter in this regard",
            ),
        }
    }
}

/// Runs one check and notes its verdict.
pub(super) async fn run(report: &mut Report, name: &'static str, check: impl Future<Output = Outcome>) {
    let verdict = match guarded(check).await {
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(Finding::Wrong(failure))) => Verdict::Failed(failure),
        Ok(Err(Finding::NotApplicable(reason))) => Verdict::NotApplicable(reason),
        Err(message) => Verdict::Failed(Failure {
            expected: "the adapter answers, if need be with an error".into(),
            found: format!("it panicked: {message}"),
            risk: "a panic takes the host's process or task with it, in the middle of a run (rules S1, X4)"
                .into(),
        }),
    };
    report.add(name, verdict);
}

/// Runs a future to its end; `Err` with the message where it panics. It is not polled again then.
async fn guarded<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(message(payload.as_ref()))),
    })
    .await
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// A few of many, for a message.
pub(super) fn some<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 5;
    let mut items = items.into_iter();
    let first: Vec<String> = items.by_ref().take(SHOWN).map(|item| format!("`{item}`")).collect();
    match items.count() {
        _ if first.is_empty() => "nothing".to_owned(),
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_that_panics_fails_its_check_and_the_next_one_runs() {
        // rule S1
        let mut report = Report::new("a store");
        pollster::block_on(async {
            run(&mut report, "one", async { panic!("on purpose") }).await;
            run(&mut report, "two", async { Ok(()) }).await;
        });
        assert_eq!(report.passed(), 1);
        let (name, failure) = report.failures().next().unwrap();
        assert_eq!((name, failure.found.as_str()), ("one", "it panicked: on purpose"));
    }

    #[test]
    fn a_few_of_many_are_shown() {
        assert_eq!(some([1, 2]), "`1`, `2`");
        assert_eq!(some(0..7), "`0`, `1`, `2`, `3`, `4` and 2 more");
        assert_eq!(some::<u8>([]), "nothing");
    }
}
