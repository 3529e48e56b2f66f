//! The checks of an assignment set.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::super::directory::{AnchorForm, odd_anchors};
use super::any::{AnySet, Sets};
use super::finding::{Finding, Outcome, demand, refused, run, some};
use super::paging::{self, Hampered, Reading, Row, walk_complete};
use super::report::Report;
use crate::assignment::{AssignmentPage, AssignmentSet};
use crate::error::AssignmentError;
use crate::id::{ExternalId, StoreId};
use crate::model::Principal;
use crate::page::{PageEnd, PageToken};

const OURS: &str = "corp";
const THEIRS: &str = "partner";
const LOST: &str = "whoever is not read is entitled no more, and loses all access (rules C2, E1)";
const STRANGE: &str = "somebody gets access whom nobody gave it (rule E1)";

/// Runs all checks of a set, each on a set of its own.
pub(super) async fn suite(builder: Sets<'_>) -> Report {
    let mut report = Report::new("assignment set");
    macro_rules! check {
        ($($name:ident),+ $(,)?) => {
            $(Box::pin(run(&mut report, stringify!($name), $name(builder))).await;)+
        };
    }
    check! {
        an_empty_set_reads_as_complete_and_empty,
        every_external_principal_is_read,
        every_stored_principal_is_read,
        issuers_are_kept_apart,
        principals_come_back_byte_for_byte,
        many_assignments_are_all_read,
        page_tokens_lead_to_the_end,
        a_page_asked_again_is_the_same,
        a_page_is_only_added_to,
        a_dropped_read_leaves_the_next_one_whole,
        reads_at_once_do_not_disturb_each_other,
        what_cannot_be_seen_is_not_called_complete,
        an_assignment_that_was_taken_back_is_not_read,
    }
    report
}

/// A principal, comparable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Assigned {
    shown: String,
    principal: Principal,
}

impl Row for Assigned {
    fn key(&self) -> &str {
        &self.shown
    }
}

struct All<'s, S>(&'s S);

#[async_trait]
impl<S: AssignmentSet> Reading for All<'_, S> {
    type Row = Assigned;

    fn what(&self) -> &'static str {
        "the assignments"
    }

    async fn page(&self, at: Option<&PageToken>) -> Result<(Vec<Assigned>, PageEnd), AssignmentError> {
        let mut page = AssignmentPage::default();
        let end = self.0.read_assignments(at, &mut page).await?;
        let row =
            |principal: &Principal| Assigned { shown: principal.to_string(), principal: principal.clone() };
        Ok((page.principals().iter().map(row).collect(), end))
    }
}

fn external(issuer: &str, anchor: impl Into<crate::SourceAnchor>) -> Principal {
    Principal::External(ExternalId::new(issuer, anchor))
}

fn stored(number: usize) -> Principal {
    Principal::Stored(StoreId::from(format!("record-{number}")))
}

/// UUIDs, since a set may belong to one kind of directory.
fn anchored(numbers: std::ops::Range<usize>) -> Vec<Principal> {
    numbers.map(|number| external(OURS, AnchorForm::Uuid.anchor(number))).collect()
}

/// Reads the set and demands these principals and no others; the same one may come again.
async fn gives<S: AssignmentSet>(set: &S, wanted: &[Principal]) -> Outcome {
    let rows = walk_complete(&All(set)).await?;
    let seen: BTreeSet<&Principal> = rows.iter().map(|row| &row.principal).collect();
    let wanted: BTreeSet<&Principal> = wanted.iter().collect();
    let missing: Vec<&&Principal> = wanted.difference(&seen).collect();
    demand(
        missing.is_empty(),
        format!("all {} assignments are read", wanted.len()),
        || format!("{} are missing: {}", missing.len(), some(&missing)),
        LOST,
    )?;
    let strange: Vec<&&Principal> = seen.difference(&wanted).collect();
    demand(
        strange.is_empty(),
        format!("nobody is read but the {} who were given access", wanted.len()),
        || format!("also: {}", some(&strange)),
        STRANGE,
    )
}

async fn holds(builder: Sets<'_>, principals: &[Principal]) -> Outcome {
    gives(&builder.holding(principals).await?, principals).await
}

async fn many(builder: Sets<'_>) -> Result<AnySet<'_>, Finding> {
    Ok(builder.holding(&anchored(0..builder.many())).await?)
}

// rules C1, C4
async fn an_empty_set_reads_as_complete_and_empty(builder: Sets<'_>) -> Outcome {
    holds(builder, &[]).await
}

// rule E1
async fn every_external_principal_is_read(builder: Sets<'_>) -> Outcome {
    holds(builder, &anchored(0..5)).await
}

// rule E11
async fn every_stored_principal_is_read(builder: Sets<'_>) -> Outcome {
    let principals: Vec<Principal> = (0..5).map(stored).collect();
    holds(builder, &principals).await?;
    // An anchor may read like a store id; both were given access.
    let text = AnchorForm::Uuid.anchor(1);
    holds(builder, &[external(OURS, text.as_str()), Principal::Stored(StoreId::from(text))]).await
}

// rules E11, M7
async fn issuers_are_kept_apart(builder: Sets<'_>) -> Outcome {
    let shared = AnchorForm::Uuid.anchor(1);
    let own = external(OURS, AnchorForm::Uuid.anchor(2));
    // The one anchor at the other issuer only, and one at both.
    let both = [external(OURS, shared.as_str()), external(THEIRS, shared.as_str())];
    holds(builder, &[own.clone(), external(THEIRS, shared.as_str())]).await?;
    holds(builder, &[own, both[0].clone(), both[1].clone()]).await
}

// rule M2
async fn principals_come_back_byte_for_byte(builder: Sets<'_>) -> Outcome {
    let principals: Vec<Principal> =
        odd_anchors().iter().map(|anchor| external(OURS, anchor.as_str())).collect();
    holds(builder, &principals).await
}

// rule C1
async fn many_assignments_are_all_read(builder: Sets<'_>) -> Outcome {
    gives(&many(builder).await?, &anchored(0..builder.many())).await
}

// rule C1
async fn page_tokens_lead_to_the_end(builder: Sets<'_>) -> Outcome {
    paging::tokens_lead_on(&All(&many(builder).await?)).await
}

// rules C1, X3
async fn a_page_asked_again_is_the_same(builder: Sets<'_>) -> Outcome {
    paging::asked_again_is_the_same(&All(&many(builder).await?)).await
}

// rule C1
async fn a_page_is_only_added_to(builder: Sets<'_>) -> Outcome {
    let set = builder.holding(&anchored(0..3)).await?;
    let mut page = AssignmentPage::default();
    page.assign(stored(0));
    set.read_assignments(None, &mut page).await.map_err(|error| refused("reading a page", &error))?;
    demand(
        page.principals().first() == Some(&stored(0)),
        "the page belongs to the caller: principals are added to it, and nothing else happens to it",
        || "what was on it is gone".to_owned(),
        LOST,
    )
}

// rule X6
async fn a_dropped_read_leaves_the_next_one_whole(builder: Sets<'_>) -> Outcome {
    let set = builder.holding(&anchored(0..20)).await?;
    paging::dropped_leaves_the_next_whole(&All(&set)).await
}

// rule C1
async fn reads_at_once_do_not_disturb_each_other(builder: Sets<'_>) -> Outcome {
    paging::at_once_is_the_same(&All(&many(builder).await?)).await
}

// rules C1, C2
async fn what_cannot_be_seen_is_not_called_complete(builder: Sets<'_>) -> Outcome {
    let set = builder.partial(&anchored(0..20)).await?;
    let given: Vec<String> = anchored(0..20).iter().map(ToString::to_string).collect();
    let given = given.iter().map(String::as_str).collect();
    paging::admits_what_is_missing(&[Hampered::read(&All(&set), &given).await])
}

// rules C2, E1
async fn an_assignment_that_was_taken_back_is_not_read(builder: Sets<'_>) -> Outcome {
    let set = builder.holding(&anchored(0..10)).await?;
    gives(&set, &anchored(0..10)).await?;
    let set = builder.changed(set, &anchored(5..12)).await?;
    gives(&set, &anchored(5..12)).await
}
