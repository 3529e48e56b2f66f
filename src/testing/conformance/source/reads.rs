//! Pages, tries, and reads at once.

use super::super::any::AnySource;
use super::super::finding::{Finding, Outcome, demand, refused};
use super::super::paging::{self, Hampered, walk};
use super::rows::{group_rows, joined, user_rows};
use super::{Bench, Groups, Users, group_anchors, user_anchors};
use crate::error::AdapterError;
use crate::limits::Limits;
use crate::source::{DirectorySource, GroupPage, Read, Select, UserPage};

async fn source<'b>(bench: &Bench<'b>) -> Result<AnySource<'b>, Finding> {
    let many = bench.builder.many();
    let mut directory = bench.people(many, many);
    for (number, group) in directory.groups.iter_mut().enumerate() {
        group.members.push(bench.object(number + 1));
    }
    bench.holding(&directory).await
}

fn all<S>(source: &S) -> (Users<'_, S>, Groups<'_, S>) {
    (Users { source, select: Select::All }, Groups { source, select: Select::All })
}

// rule C1
pub(super) async fn page_tokens_lead_to_the_end(bench: &Bench<'_>) -> Outcome {
    let source = source(bench).await?;
    let (users, groups) = all(&source);
    paging::tokens_lead_on(&users).await?;
    paging::tokens_lead_on(&groups).await
}

// rules C1, X3
pub(super) async fn a_page_asked_again_is_the_same(bench: &Bench<'_>) -> Outcome {
    let source = source(bench).await?;
    let (users, groups) = all(&source);
    paging::asked_again_is_the_same(&users).await?;
    paging::asked_again_is_the_same(&groups).await
}

// rule S1
pub(super) async fn a_page_is_only_added_to(bench: &Bench<'_>) -> Outcome {
    const THERE: &str = "was there before";
    let source = bench.holding(&bench.company()).await?;
    let limits = Limits { value_bytes: 12_345, ..Limits::default() };
    let failed = |error: AdapterError| refused("reading a page", &error);
    let mut users = UserPage::with_limits(limits);
    users.user(THERE);
    source.read_users(Read::ALL, &mut users).await.map_err(failed)?;
    let mut groups = GroupPage::with_limits(limits);
    groups.group(THERE).members_complete();
    source.read_groups(Read::ALL, &mut groups).await.map_err(failed)?;
    let kept = user_rows(&users).first().is_some_and(|row| row.anchor == THERE)
        && group_rows(&groups).first().is_some_and(|row| row.anchor == THERE && row.members.is_empty());
    demand(
        kept && users.limits == limits && groups.limits == limits,
        "the page belongs to the caller: rows are added to it, and nothing else happens to it",
        || "what was on it is gone, or its bounds are others".to_owned(),
        "with a page of the adapter's own the bounds of the host are lost (rule S1)",
    )
}

// rule X6
pub(super) async fn a_dropped_read_leaves_the_next_one_whole(bench: &Bench<'_>) -> Outcome {
    let source = bench.holding(&bench.company()).await?;
    let (users, groups) = all(&source);
    paging::dropped_leaves_the_next_whole(&users).await?;
    paging::dropped_leaves_the_next_whole(&groups).await
}

// rules C1, J4
pub(super) async fn reads_at_once_do_not_disturb_each_other(bench: &Bench<'_>) -> Outcome {
    let source = source(bench).await?;
    let (users, groups) = all(&source);
    paging::at_once_is_the_same(&users).await?;
    paging::at_once_is_the_same(&groups).await
}

// rules C1, C2
pub(super) async fn what_cannot_be_seen_is_not_called_complete(bench: &Bench<'_>) -> Outcome {
    let directory = bench.company();
    let source = bench.builder.partial(&directory).await?;
    let (users, groups) = all(&source);
    let mut reads = vec![
        Hampered::read(&users, &user_anchors(&directory)).await,
        Hampered::read(&groups, &group_anchors(&directory)).await,
    ];
    // A group whose list is cut is honest, too.
    if let Ok(walk) = walk(&groups).await {
        let lists = joined(walk.rows);
        let (whole, cut): (Vec<_>, Vec<_>) = lists.iter().partition(|list| list.is_whole());
        let short = whole.into_iter().filter(|list| {
            let expected = directory.groups.iter().find(|group| group.anchor == list.anchor);
            let given = list.members.len() + list.unresolved.len();
            expected.is_some_and(|expected| given < expected.members.len())
        });
        let missing: Vec<String> = short.map(|list| format!("members of {}", list.anchor)).collect();
        let admitted = !cut.is_empty() && missing.is_empty();
        reads.push(Hampered { what: "the lists of members", admitted, missing });
    }
    paging::admits_what_is_missing(&reads)
}
