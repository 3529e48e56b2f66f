//! Assignments in memory.

use async_trait::async_trait;

use crate::assignment::{AssignmentPage, AssignmentSet};
use crate::error::AssignmentError;
use crate::id::{ExternalId, SourceAnchor};
use crate::model::{Completeness, Principal};
use crate::page::{PageEnd, PageToken};

/// Assignments in memory.
#[derive(Clone, Debug)]
pub struct MemoryAssignments {
    /// Who was given access.
    pub principals: Vec<Principal>,
    /// How the next read ends.
    pub read: Completeness,
}

impl MemoryAssignments {
    /// These anchors of this issuer were given access.
    pub fn of(issuer: &str, anchors: &[&str]) -> Self {
        let principals = anchors.iter().map(|&anchor| Principal::External(ExternalId::new(issuer, anchor)));
        Self { principals: principals.collect(), read: Completeness::Complete }
    }

    /// Gives access.
    pub fn assign(&mut self, issuer: &str, anchor: impl Into<SourceAnchor>) {
        self.principals.push(Principal::External(ExternalId::new(issuer, anchor)));
    }
}

#[async_trait]
impl AssignmentSet for MemoryAssignments {
    async fn read_assignments(
        &self,
        _at: Option<&PageToken>,
        page: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError> {
        self.principals.iter().for_each(|principal| page.assign(principal.clone()));
        Ok(PageEnd::Last(self.read.clone()))
    }
}
