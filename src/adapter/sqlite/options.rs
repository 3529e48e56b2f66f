//! What a host may choose when it opens a store.

use std::time::Duration;

use indexmap::IndexMap;

use crate::store::AttributeSchema;

/// How to open a [`SqliteStore`](super::SqliteStore).
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    pub(super) users: Option<IndexMap<String, AttributeSchema>>,
    pub(super) groups: Option<IndexMap<String, AttributeSchema>>,
    pub(super) busy_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { users: None, groups: None, busy_timeout: Duration::from_secs(5) }
    }
}

impl SqliteOptions {
    /// The schemas that the file has, or those of [`StoreCapabilities::default`](crate::StoreCapabilities) for a new
    /// file; five seconds of patience with other connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// The attributes of users. Written into a new file; an existing file must have been created with the same.
    #[must_use]
    pub fn users(mut self, schema: IndexMap<String, AttributeSchema>) -> Self {
        self.users = Some(schema);
        self
    }

    /// The attributes of groups. Written into a new file; an existing file must have been created with the same.
    #[must_use]
    pub fn groups(mut self, schema: IndexMap<String, AttributeSchema>) -> Self {
        self.groups = Some(schema);
        self
    }

    /// How long to wait for another connection that is writing, before a call fails as
    /// [`Transient`](crate::ErrorKind::Transient). Whole milliseconds; zero does not wait.
    #[must_use]
    pub fn busy_timeout(mut self, wait: Duration) -> Self {
        self.busy_timeout = wait;
        self
    }
}
