//! How fast AWS is asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::adapter::rate::Bucket;

/// How many requests go out in a second. Clones share one budget: give the same pace to all that share a quota.
///
/// The Identity Store API allows 20 requests a second for each operation and store, the API of Identity Center 20 a second for
/// all of its operations together; both can be raised by a support case. Other programs use the same quota up: what is
/// throttled is asked again, later and slower.
#[derive(Clone)]
pub struct AwsPace(Arc<Bucket>);

impl AwsPace {
    /// So many requests a second; none counts as one.
    pub fn per_second(requests: u32) -> Self {
        Self(Arc::new(Bucket::per_second(requests.max(1))))
    }

    /// Waits until one more request may go out.
    pub(super) async fn take(&self) {
        self.0.take().await;
    }

    /// Lets no request out for this long.
    pub(super) fn pause(&self, wait: Duration) {
        self.0.pause(wait);
    }
}

impl Default for AwsPace {
    /// 20 a second.
    fn default() -> Self {
        Self::per_second(20)
    }
}

impl fmt::Debug for AwsPace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsPace")
    }
}
