//! Reading everything.

use std::collections::BTreeSet;

use super::super::any::{AnyStore, Stores};
use super::super::builder::Unmanaged;
use super::super::finding::{Finding, Outcome, demand, refused};
use super::super::paging::{self, Hampered, exactly};
use super::records::Records;
use super::subject::{BOTH, Subject};
use crate::error::StoreError;
use crate::id::StoreId;
use crate::model::Kind;
use crate::store::{IdentityStore, MemberPage, Members, StoreSelect, StoredGroupPage, StoredUserPage};

// rules P7, X5
pub(super) async fn the_capabilities_are_sound(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    subject.create(&subject.wish(Kind::User, 1)).await?;
    let later = subject.store.capabilities();
    demand(
        later == subject.can,
        "a store declares the same capabilities whenever it is asked",
        || "they are others after a write".to_owned(),
        "a plan made for one store is refused by another; under a changing name none is applied (rule P7)",
    )?;
    demand(
        !later.identity.is_empty() && later.batch > 0 && later.members_per_write > 0,
        "a store has a name, and takes at least one item and one member at once",
        || {
            let (batch, members) = (later.batch, later.members_per_write);
            format!("name `{}`, {batch} items, {members} members", later.identity)
        },
        "a plan for another store could be applied to this one (rule P7), or nothing be written at all (rule X5)",
    )
}

// rules C1, C5
pub(super) async fn an_empty_store_reads_as_complete_and_empty(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        let rows = subject.read(kind, StoreSelect::All).await?;
        exactly("the records of an empty store", &rows, &BTreeSet::new())?;
    }
    Ok(())
}

/// A store with more than one page of each kind.
async fn filled(builder: Stores<'_>) -> Result<(Subject<'_>, [Vec<StoreId>; 2]), Finding> {
    let subject = Subject::fresh(builder).await?;
    let users = subject.create_all(Kind::User, 0..builder.many()).await?;
    let groups = subject.create_all(Kind::Group, 0..builder.many()).await?;
    Ok((subject, [users, groups]))
}

fn all<'s, 'b>(subject: &'s Subject<'b>, kind: Kind) -> Records<'s, AnyStore<'b>> {
    Records { store: &subject.store, kind, select: StoreSelect::All }
}

// rule C5
pub(super) async fn every_record_is_read_exactly_once(builder: Stores<'_>) -> Outcome {
    let (subject, made) = filled(builder).await?;
    for (kind, ids) in BOTH.into_iter().zip(&made) {
        let rows = subject.read(kind, StoreSelect::All).await?;
        let wanted: BTreeSet<&str> = ids.iter().map(StoreId::as_str).collect();
        exactly(&format!("every {kind}"), &rows, &wanted)?;
        for (number, id) in ids.iter().enumerate() {
            if let Some(record) = rows.iter().find(|record| record.id == id.as_str()) {
                subject.fulfils(record, &subject.wish(kind, number))?;
            }
        }
    }
    Ok(())
}

// rule C1
pub(super) async fn page_tokens_lead_to_the_end(builder: Stores<'_>) -> Outcome {
    let (subject, _) = filled(builder).await?;
    for kind in BOTH {
        paging::tokens_lead_on(&all(&subject, kind)).await?;
    }
    Ok(())
}

// rules C1, X3
pub(super) async fn a_page_asked_again_is_the_same(builder: Stores<'_>) -> Outcome {
    let (subject, _) = filled(builder).await?;
    for kind in BOTH {
        paging::asked_again_is_the_same(&all(&subject, kind)).await?;
    }
    Ok(())
}

// rule S1
pub(super) async fn a_page_is_only_added_to(builder: Stores<'_>) -> Outcome {
    const THERE: &str = "was there before";
    let subject = Subject::fresh(builder).await?;
    subject.create(&subject.wish(Kind::User, 1)).await?;
    let group = subject.create(&subject.wish(Kind::Group, 1)).await?.id;
    let failed = |error: StoreError| refused("reading a page", &error);
    let (mut users, mut groups, mut members) =
        (StoredUserPage::default(), StoredGroupPage::default(), MemberPage::default());
    users.user(THERE);
    groups.group(THERE);
    members.member(THERE);
    subject.store.read_users(StoreSelect::All, None, &mut users).await.map_err(failed)?;
    subject.store.read_groups(StoreSelect::All, None, &mut groups).await.map_err(failed)?;
    if subject.can.members == Members::PerGroup {
        subject.store.read_members(&group, None, &mut members).await.map_err(failed)?;
    }
    let first = [users.ids().next(), groups.ids().next(), members.iter().next()];
    demand(
        first == [Some(THERE); 3],
        "the page belongs to the caller: rows are added to it, and nothing else happens to it",
        || "what was on it is gone".to_owned(),
        "who reads several things onto one page loses the first: it looks missing (rules C5, S1)",
    )
}

// rule X6
pub(super) async fn a_dropped_read_leaves_the_next_one_whole(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        subject.create_all(kind, 0..5).await?;
        paging::dropped_leaves_the_next_whole(&all(&subject, kind)).await?;
    }
    Ok(())
}

// rules C1, J4
pub(super) async fn reads_at_once_do_not_disturb_each_other(builder: Stores<'_>) -> Outcome {
    let (subject, _) = filled(builder).await?;
    for kind in BOTH {
        paging::at_once_is_the_same(&all(&subject, kind)).await?;
    }
    Ok(())
}

// rule M7
pub(super) async fn records_that_somebody_else_made_are_read(builder: Stores<'_>) -> Outcome {
    let subject = Subject::fresh(builder).await?;
    for kind in BOTH {
        let ours = subject.create(&subject.wish(kind, 1)).await?.id;
        let wish = subject.wish(kind, 2);
        let attributes: Vec<_> = wish.values.into_iter().collect();
        let record = Unmanaged { kind, attributes: attributes.clone(), active: true };
        let theirs = builder.put_unmanaged(&subject.store, &record).await?;
        let rows = subject.read(kind, StoreSelect::All).await?;
        exactly(&format!("every {kind}"), &rows, &[ours.as_str(), theirs.as_str()].into())?;
        let found = subject.get(kind, &theirs).await?;
        demand(
            found.links.is_empty(),
            format!("a {kind} that somebody else made has no external id"),
            || format!("{:?}", found.links),
            "a record that is not ours is taken for ours, and written or deleted (rule M7)",
        )?;
        for (name, values) in &attributes {
            let held = found.values.get(name).map(Vec::as_slice).unwrap_or_default();
            demand(
                subject.is_same(kind, name, values, held),
                format!("its attribute {name} is read: {values:?}"),
                || format!("{held:?}"),
                "a name that somebody holds counts as free, and the create fails on every run (rules M6, M7)",
            )?;
        }
    }
    Ok(())
}

// rule C5
pub(super) async fn what_cannot_be_seen_is_not_called_complete(builder: Stores<'_>) -> Outcome {
    let mut subject = Subject::fresh(builder).await?;
    let mut made = Vec::new();
    for kind in BOTH {
        made.push(subject.create_all(kind, 0..5).await?);
    }
    subject.store = builder.partial(subject.store).await?;
    let mut reads = Vec::new();
    for (kind, ids) in BOTH.into_iter().zip(&made) {
        let wanted = ids.iter().map(StoreId::as_str).collect();
        reads.push(Hampered::read(&all(&subject, kind), &wanted).await);
    }
    paging::admits_what_is_missing(&reads)
}
