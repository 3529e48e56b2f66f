//! Records that the host itself puts into a store, and how much a store holds.

use std::fmt;

use crate::id::ExternalId;
use crate::model::Origin;

/// A user or group that the host adds: one of its own, a service account, or one that a sign-in brought.
///
/// Without an external id of the engine's issuer it is *unmanaged*: no reconcile touches it (rule M7).
#[derive(Clone)]
pub struct NewRecord {
    pub(in crate::adapter) attributes: Vec<(String, String)>,
    pub(in crate::adapter) external_ids: Vec<ExternalId>,
    pub(in crate::adapter) active: bool,
    pub(in crate::adapter) origin: Option<Origin>,
}

impl NewRecord {
    /// An active record with these attributes; several values of one attribute are several pairs.
    pub fn new<N: Into<String>, V: Into<String>>(attributes: impl IntoIterator<Item = (N, V)>) -> Self {
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { attributes: attributes.collect(), external_ids: Vec::new(), active: true, origin: None }
    }

    /// Adds a link to an object of a directory.
    #[must_use]
    pub fn external_id(mut self, id: ExternalId) -> Self {
        self.external_ids.push(id);
        self
    }

    /// How a user came here (rule J2); groups have no origin.
    #[must_use]
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// A user that may not use the application, by the host's will: no reconcile makes it active, unless told to
    /// (rule A7). Groups are always active.
    #[must_use]
    pub fn inactive(mut self) -> Self {
        self.active = false;
        self
    }
}

impl fmt::Debug for NewRecord {
    /// Names of attributes only, no values (rule S2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.attributes.iter().map(|(name, _)| name).collect();
        f.debug_struct("NewRecord")
            .field("attributes", &names)
            .field("external_ids", &self.external_ids.len())
            .field("active", &self.active)
            .field("origin", &self.origin)
            .finish()
    }
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Users, active or not.
    pub users: u64,
    /// Groups.
    pub groups: u64,
    /// Users in groups.
    pub memberships: u64,
    /// Assignments.
    pub assignments: u64,
}
