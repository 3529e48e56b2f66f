//! What a host may choose when it opens a store.

use std::time::Duration;

use indexmap::IndexMap;

use crate::store::AttributeSchema;

/// How to open a [`PostgresStore`](super::PostgresStore).
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    pub(super) schema: String,
    pub(super) users: Option<IndexMap<String, AttributeSchema>>,
    pub(super) groups: Option<IndexMap<String, AttributeSchema>>,
    pub(super) page_size: usize,
    pub(super) lock_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) call_timeout: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: "identity_sync".to_owned(),
            users: None,
            groups: None,
            page_size: crate::adapter::sql::ROWS,
            lock_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(60),
            call_timeout: Duration::from_secs(120),
        }
    }
}

impl PostgresOptions {
    /// The schema `identity_sync`; the attributes that it has, or those of
    /// [`StoreCapabilities::default`](crate::StoreCapabilities) for a new one; pages of 1,000 records; five seconds of
    /// patience for a lock, one minute for a statement, two for a call.
    pub fn new() -> Self {
        Self::default()
    }

    /// The schema of the database (`CREATE SCHEMA`) that holds the tables, and nothing else. Up to 63 bytes; taken as it is
    /// written, upper and lower case differ.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// The attributes of users. Written into a new store; an existing one must have been created with the same.
    #[must_use]
    pub fn users(mut self, schema: IndexMap<String, AttributeSchema>) -> Self {
        self.users = Some(schema);
        self
    }

    /// The attributes of groups. Written into a new store; an existing one must have been created with the same.
    #[must_use]
    pub fn groups(mut self, schema: IndexMap<String, AttributeSchema>) -> Self {
        self.groups = Some(schema);
        self
    }

    /// Most records, or assignments, in a page: 1 to 10,000; what lies outside counts as the nearer of the two.
    #[must_use]
    pub fn page_size(mut self, records: usize) -> Self {
        self.page_size = records.clamp(1, 10_000);
        self
    }

    /// How long a statement waits for a lock that another connection holds, before the item of a batch, or the read, fails
    /// as [`Transient`](crate::ErrorKind::Transient). Whole milliseconds, at least one.
    #[must_use]
    pub fn lock_timeout(mut self, wait: Duration) -> Self {
        self.lock_timeout = wait;
        self
    }

    /// How long the server works on one statement, before the item of a batch, or the read, fails as
    /// [`Transient`](crate::ErrorKind::Transient).
    /// Whole milliseconds, at least one. A batch is several statements; but the delete of a group is one, with all its members:
    /// where there may be tens of millions in one group, give it more.
    #[must_use]
    pub fn statement_timeout(mut self, wait: Duration) -> Self {
        self.statement_timeout = wait;
        self
    }

    /// How long a call may take in all, connecting included, before its connection is given up and it fails as
    /// [`Transient`](crate::ErrorKind::Transient). It is what ends a call whose connection has gone silent.
    #[must_use]
    pub fn call_timeout(mut self, wait: Duration) -> Self {
        self.call_timeout = wait;
        self
    }
}
