//! Assignment sets with one fault, and the checks that find them out.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use identity_sync::testing::conformance::{self, AssignmentBuilder, BuildError};
use identity_sync::{
    AssignmentError, AssignmentPage, AssignmentSet, ErrorKind, ExternalId, PageEnd, PageToken, Principal,
};
use pollster::block_on;

use super::{Paging, caught, network, page};

/// What is wrong with a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Pages(Paging),
    /// Principals by store id are skipped.
    DropsStored,
    /// Whatever the issuer, it is taken for ours.
    OneIssuer,
    /// Anchors are kept in lower case.
    FoldsAnchors,
    /// An empty set is an error.
    EmptyIsError,
    /// What it could not see is not there.
    PartialAsComplete,
    OwnPage,
    BusyForEver,
    /// The first answer is kept for ever.
    Caches,
}

struct Bent {
    principals: Mutex<Vec<Principal>>,
    wrong: Wrong,
    busy: AtomicBool,
    partial: bool,
}

impl Bent {
    fn kept(&self, principal: &Principal) -> Option<Principal> {
        match (self.wrong, principal) {
            (Wrong::DropsStored, Principal::Stored(_)) => None,
            (Wrong::OneIssuer, Principal::External(id)) => {
                Some(Principal::External(ExternalId::new("corp", id.value.clone())))
            }
            (Wrong::FoldsAnchors, Principal::External(id)) => {
                let lower = id.value.as_str().to_lowercase();
                Some(Principal::External(ExternalId::new(id.issuer.clone(), lower)))
            }
            (_, principal) => Some(principal.clone()),
        }
    }
}

#[async_trait]
impl AssignmentSet for Bent {
    async fn read_assignments(
        &self,
        at: Option<&PageToken>,
        out: &mut AssignmentPage,
    ) -> Result<PageEnd, AssignmentError> {
        if self.wrong == Wrong::BusyForEver && self.busy.swap(true, Ordering::SeqCst) {
            return Err(AssignmentError::new(ErrorKind::Transient, "the connection is busy"));
        }
        network().await;
        self.busy.store(false, Ordering::SeqCst);
        let principals = self.principals.lock().unwrap().clone();
        if self.wrong == Wrong::EmptyIsError && principals.is_empty() {
            return Err(AssignmentError::new(ErrorKind::NotFound, "no assignments"));
        }
        if self.wrong == Wrong::OwnPage {
            *out = AssignmentPage::default();
        }
        let kept =
            principals.iter().skip(usize::from(self.partial)).filter_map(|principal| self.kept(principal));
        let rows = kept.enumerate().map(|(number, principal)| (format!("{number:06}"), principal));
        let paging = if let Wrong::Pages(paging) = self.wrong { paging } else { Paging::Right };
        let (rows, end) = page(paging, rows, at);
        rows.into_iter().for_each(|(_, principal)| out.assign(principal));
        Ok(match end {
            PageEnd::Last(_) if self.partial && self.wrong != Wrong::PartialAsComplete => {
                PageEnd::partial("a table is locked")
            }
            end => end,
        })
    }
}

struct Builder(Wrong);

#[async_trait]
impl AssignmentBuilder for Builder {
    type Set = Bent;

    async fn holding(&self, principals: &[Principal]) -> Result<Bent, BuildError> {
        let principals = Mutex::new(principals.to_vec());
        Ok(Bent { principals, wrong: self.0, busy: AtomicBool::new(false), partial: false })
    }

    fn many(&self) -> usize {
        30
    }

    async fn changed(&self, set: Bent, principals: &[Principal]) -> Result<Bent, BuildError> {
        if self.0 != Wrong::Caches {
            *set.principals.lock().unwrap() = principals.to_vec();
        }
        Ok(set)
    }

    async fn partial(&self, principals: &[Principal]) -> Result<Bent, BuildError> {
        Ok(Bent { partial: true, ..self.holding(principals).await? })
    }
}

#[track_caller]
fn found_out(wrong: Wrong, check: &str) {
    caught(wrong, check, &block_on(conformance::assignments(&Builder(wrong))));
}

#[test]
fn the_set_without_a_fault_conforms() {
    let report = block_on(conformance::assignments(&Builder(Wrong::Nothing)));
    report.assert_conforming();
    assert_eq!(crate::open(&report), [""; 0], "{report}");
}

#[test]
fn faults_of_sets_are_found_out() {
    // rules C1, C2, E1, E11, M2
    found_out(Wrong::Pages(Paging::DropsLastRow), "many_assignments_are_all_read");
    found_out(Wrong::Pages(Paging::SameToken), "page_tokens_lead_to_the_end");
    found_out(Wrong::Pages(Paging::CutAndComplete), "many_assignments_are_all_read");
    found_out(Wrong::DropsStored, "every_stored_principal_is_read");
    found_out(Wrong::OneIssuer, "issuers_are_kept_apart");
    found_out(Wrong::FoldsAnchors, "principals_come_back_byte_for_byte");
    found_out(Wrong::EmptyIsError, "an_empty_set_reads_as_complete_and_empty");
    found_out(Wrong::PartialAsComplete, "what_cannot_be_seen_is_not_called_complete");
    found_out(Wrong::OwnPage, "a_page_is_only_added_to");
    found_out(Wrong::BusyForEver, "a_dropped_read_leaves_the_next_one_whole");
    found_out(Wrong::Caches, "an_assignment_that_was_taken_back_is_not_read");
}

#[test]
fn an_assignment_that_comes_twice_is_no_fault() {
    // The same principal may come many times.
    let report = block_on(conformance::assignments(&Builder(Wrong::Pages(Paging::RepeatsRow))));
    report.assert_conforming();
}
