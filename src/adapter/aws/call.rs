//! Calls to AWS: at their pace, in time, tried again where that may help.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use aws_sdk_identitystore::error::{ProvideErrorMetadata, SdkError};
use tokio::time::Instant;

use super::fault;
use super::pace::AwsPace;
use crate::adapter::rate::jittered;
use crate::error::AdapterError;
use crate::trace;

/// How often one call goes out at most. A read of the engine is made of hundreds of calls: were each error handed on, a service that
/// throttles some of them would let no read through.
const MOST_TRIES: u32 = 8;

/// How often at most where no answer came, or no connection: each of those may take the whole time of an answer.
const MOST_UNANSWERED: u32 = 3;

/// Once a try has failed this long after the first one began, there is no further one: the engine is told, and decides.
const PATIENCE: Duration = Duration::from_secs(120);

/// The wait after the first failed try, doubled with each further one …
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// … up to this: a budget of requests a second has filled again by then.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Calls that change nothing, so that each may be repeated.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    pub(super) pace: AwsPace,
    pub(super) timeout: Timeout,
}

/// How long one answer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeout(pub(super) Duration);

impl Default for Timeout {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

impl Caller {
    /// Asks until there is an answer, an error that another try will not mend, or no try left.
    pub(super) async fn ask<T, E, F>(&self, what: &str, call: impl Fn() -> F) -> Result<T, AdapterError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let (begun, mut tries, mut unanswered) = (Instant::now(), 1, 0);
        loop {
            self.pace.take().await;
            let error = match tokio::time::timeout(self.timeout.0, call()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => {
                    let is_unanswered =
                        matches!(error, SdkError::TimeoutError(_) | SdkError::DispatchFailure(_));
                    unanswered += u32::from(is_unanswered);
                    fault::of(what, &error)
                }
                Err(_) => {
                    unanswered += 1;
                    fault::no_answer(what)
                }
            };
            let is_last = tries >= MOST_TRIES || unanswered >= MOST_UNANSWERED || begun.elapsed() >= PATIENCE;
            if is_last || !error.is_transient() {
                return Err(error);
            }
            trace::sent_again("aws", tries + 1, error.kind());
            match error.wait() {
                // AWS said how long: nobody who shares the budget asks before.
                Some(wait) => self.pace.pause(wait),
                None => {
                    let wait = FIRST_WAIT * 2_u32.pow(tries - 1);
                    tokio::time::sleep(jittered(wait.min(LONGEST_WAIT))).await;
                }
            }
            tries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use aws_sdk_identitystore::operation::list_users::ListUsersError;

    use super::*;
    use crate::error::ErrorKind;

    /// How often it was asked, and for how long.
    async fn asked(answer: impl AsyncFn() -> Result<(), SdkError<ListUsersError>>) -> (u32, Duration) {
        let (calls, begun) = (Cell::new(0), Instant::now());
        let call = || {
            calls.set(calls.get() + 1);
            answer()
        };
        let error = Caller::default().ask("asking", call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient);
        (calls.get(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_asked_three_times() {
        // rules S1, X3: whoever keeps the time, this adapter or the client of the SDK
        let (calls, took) = asked(async || std::future::pending().await).await;
        assert_eq!(calls, 3);
        assert!((90..95).contains(&took.as_secs()), "{took:?}");
        let (calls, _) = asked(async || Err(SdkError::timeout_error("no answer"))).await;
        assert_eq!(calls, 3);
    }
}
