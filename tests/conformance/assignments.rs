//! Assignments in memory.

use async_trait::async_trait;
use identity_sync::memory::MemoryAssignments;
use identity_sync::testing::conformance::{self, AssignmentBuilder, BuildError};
use identity_sync::{Completeness, Principal};
use pollster::block_on;

use crate::{open, spawned};

struct InMemory;

pub(crate) fn of(principals: &[Principal]) -> MemoryAssignments {
    let mut set = MemoryAssignments::of("corp", &[]);
    set.principals = principals.to_vec();
    set
}

#[async_trait]
impl AssignmentBuilder for InMemory {
    type Set = MemoryAssignments;

    async fn holding(&self, principals: &[Principal]) -> Result<MemoryAssignments, BuildError> {
        Ok(of(principals))
    }

    async fn changed(
        &self,
        _: MemoryAssignments,
        principals: &[Principal],
    ) -> Result<MemoryAssignments, BuildError> {
        Ok(of(principals))
    }

    async fn partial(&self, principals: &[Principal]) -> Result<MemoryAssignments, BuildError> {
        let read = Completeness::partial("a table is locked");
        Ok(MemoryAssignments { read, ..of(principals) })
    }
}

#[test]
fn assignments_in_memory_conform() {
    let report = block_on(conformance::assignments(&InMemory));
    report.assert_conforming();
    // They fit on one page, however many they are.
    assert_eq!(open(&report), ["page_tokens_lead_to_the_end"], "{report}");
}

#[test]
fn a_closure_is_a_builder() {
    let report = spawned(conformance::assignments(&|principals: &[Principal]| Ok(of(principals))));
    report.assert_conforming();
}
