//! Assignment sets with one fault, and the checks that find them out.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use identity_sync::testing::conformance::{self, AssignmentBuilder, BuildError, Report};
use identity_sync::{
    AssignmentError, AssignmentPage, AssignmentSet, ErrorKind, ExternalId, PageEnd, PageToken, Principal,
};
use pollster::block_on;

use super::{Cursor, Paging, caught, network, page};

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
    /// The first row is taken for a heading.
    SkipsFirst,
    /// Pages come from a cursor that the set keeps: whoever asks gets the next one.
    OwnCursor,
    /// Of two principals with the same text the second is left out, though one is a store id and one an anchor.
    TextOnce,
}

struct Bent {
    principals: Mutex<Vec<Principal>>,
    wrong: Wrong,
    busy: AtomicBool,
    partial: bool,
    cursor: Cursor,
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

fn text(principal: &Principal) -> String {
    match principal {
        Principal::External(id) => id.value.to_string(),
        Principal::Stored(id) => id.to_string(),
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
        let left_out = usize::from(self.partial || self.wrong == Wrong::SkipsFirst);
        let mut texts = BTreeSet::new();
        let kept = principals.iter().skip(left_out).filter_map(|principal| self.kept(principal));
        let kept = kept.filter(|principal| texts.insert(text(principal)) || self.wrong != Wrong::TextOnce);
        let rows = kept.enumerate().map(|(number, principal)| (format!("{number:06}"), principal));
        let paging = if let Wrong::Pages(paging) = self.wrong { paging } else { Paging::Right };
        let (rows, end) = match self.wrong {
            Wrong::OwnCursor => self.cursor.page(rows, at),
            _ => page(paging, rows, at),
        };
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
        Ok(Bent {
            principals,
            wrong: self.0,
            busy: AtomicBool::new(false),
            partial: false,
            cursor: Cursor::default(),
        })
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

/// The report on the set without a fault.
pub(super) fn right() -> Report {
    block_on(conformance::assignments(&Builder(Wrong::Nothing)))
}

#[test]
fn the_set_without_a_fault_conforms() {
    let report = right();
    report.assert_conforming();
    assert_eq!(crate::open(&report), [""; 0], "{report}");
}

found_out! {
    // rules C1, C2, E1, E11, M2
    faults_of_sets_are_found_out:
        Wrong::Pages(Paging::DropsLastRow) => "many_assignments_are_all_read",
        Wrong::Pages(Paging::SameToken) => "page_tokens_lead_to_the_end",
        Wrong::Pages(Paging::CutAndComplete) => "many_assignments_are_all_read",
        Wrong::DropsStored => "every_stored_principal_is_read",
        Wrong::OneIssuer => "issuers_are_kept_apart",
        Wrong::FoldsAnchors => "principals_come_back_byte_for_byte",
        Wrong::EmptyIsError => "an_empty_set_reads_as_complete_and_empty",
        Wrong::PartialAsComplete => "what_cannot_be_seen_is_not_called_complete",
        Wrong::OwnPage => "a_page_is_only_added_to",
        Wrong::BusyForEver => "a_dropped_read_leaves_the_next_one_whole",
        Wrong::Caches => "an_assignment_that_was_taken_back_is_not_read",
        Wrong::SkipsFirst => "every_external_principal_is_read",
        Wrong::OwnCursor => "a_page_asked_again_is_the_same",
        Wrong::OwnCursor => "reads_at_once_do_not_disturb_each_other",
        Wrong::TextOnce => "every_stored_principal_is_read";
}

#[test]
fn an_assignment_that_comes_twice_is_no_fault() {
    // The same principal may come many times.
    let report = block_on(conformance::assignments(&Builder(Wrong::Pages(Paging::RepeatsRow))));
    report.assert_conforming();
}
