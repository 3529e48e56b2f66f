//! Directories in memory, with every capability that a source may declare or lack.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use identity_sync::memory::{MemoryAssignments, MemoryDirectory, MemoryStore};
use identity_sync::testing::conformance::{self, BuildError, SourceBuilder};
use identity_sync::testing::{Directory, Knobs, Vocabulary};
use identity_sync::{
    ApplyOptions, Completeness, Generation, Host, Options, Run, SourceCapabilities, apply, reconcile,
};
use pollster::block_on;

use crate::{open, spawned};

/// Builds directories with these capabilities.
pub(crate) struct InMemory {
    pub(crate) capabilities: SourceCapabilities,
    pub(crate) words: Vocabulary,
}

impl InMemory {
    pub(crate) fn full() -> Self {
        let select = NonZeroUsize::new(50).unwrap();
        let capabilities = SourceCapabilities::default().with_select(select).with_existence();
        Self { capabilities, words: Vocabulary::default() }
    }

    pub(crate) fn build(&self, directory: &Directory) -> MemoryDirectory {
        let mut memory =
            MemoryDirectory::from(directory).with_capabilities(self.capabilities.clone()).with_page_size(7);
        memory.generation = Some(Generation::new("one", directory.users.len() as u64));
        memory
    }
}

#[async_trait]
impl SourceBuilder for InMemory {
    type Source = MemoryDirectory;

    async fn holding(&self, directory: &Directory) -> Result<MemoryDirectory, BuildError> {
        Ok(self.build(directory))
    }

    fn vocabulary(&self) -> Vocabulary {
        self.words.clone()
    }

    fn many(&self) -> usize {
        60
    }

    async fn changed(
        &self,
        _: MemoryDirectory,
        directory: &Directory,
    ) -> Result<MemoryDirectory, BuildError> {
        Ok(self.build(directory))
    }

    async fn partial(&self, directory: &Directory) -> Result<MemoryDirectory, BuildError> {
        let mut memory = self.build(directory);
        memory.users_read = Completeness::partial("a right is missing");
        Ok(memory)
    }
}

#[test]
fn a_directory_in_memory_with_everything_conforms() {
    let report = block_on(conformance::source(&InMemory::full()));
    report.assert_conforming();
    assert_eq!(open(&report), [""; 0], "{report}");
}

#[test]
fn a_directory_that_is_only_read_whole_conforms() {
    let builder = InMemory { capabilities: SourceCapabilities::default(), ..InMemory::full() };
    let report = block_on(conformance::source(&builder));
    report.assert_conforming();
    assert!(open(&report).contains(&"the_largest_selection_is_served"), "{report}");
    assert!(open(&report).contains(&"a_deleted_object_is_gone"), "{report}");
}

#[test]
fn a_directory_that_takes_one_anchor_at_a_time_conforms() {
    let capabilities = SourceCapabilities::default().with_select(NonZeroUsize::MIN).without_account_state();
    let mut words = Vocabulary::with_uuids();
    (words.nesting, words.user_lists) = (false, Vec::new());
    let report = block_on(conformance::source(&InMemory { capabilities, words }));
    report.assert_conforming();
    assert!(open(&report).contains(&"account_states_are_true"), "{report}");
    assert!(open(&report).contains(&"cycles_of_groups_are_given_as_they_are"), "{report}");
}

#[test]
fn a_closure_is_a_builder() {
    let report = spawned(conformance::source(&|directory: &Directory| Ok(MemoryDirectory::from(directory))));
    report.assert_conforming();
    assert!(open(&report).contains(&"a_deletion_is_seen_by_the_next_read"), "{report}");
}

#[test]
fn a_generated_directory_is_synchronised_and_comes_to_rest() {
    // rules E5, E9, P4
    for seed in 0..20 {
        let directory = Directory::generate(seed, &Knobs::default());
        let memory = MemoryDirectory::from(&directory);
        let groups: Vec<&str> = directory.groups.iter().map(|group| group.anchor.as_str()).collect();
        let (assignments, store) = (MemoryAssignments::of("corp", &groups), MemoryStore::new("app"));
        let (options, host) = (Options::default(), Host::default());
        for round in 0..2 {
            let run = Run::default();
            let plan =
                block_on(reconcile(&memory, &store, &assignments, &options, &run, &host)).unwrap().plan;
            assert_eq!(plan.is_empty(), round == 1, "{plan}");
            block_on(apply(&plan, &store, &ApplyOptions::default(), &host)).unwrap();
        }
    }
}
